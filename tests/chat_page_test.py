"""Chats through the page of `throng serve` in headless Chromium: with the embedded model, and with a made-up server that thinks, writes Markdown
and markup, is slow, fails, and wants a key. Usage: chat_page_test.py THRONG SOURCE [--screenshot FILE.png]

With axe-core of npm in tests/clients/node_modules the page is also checked by its rules."""

import argparse
import json
import re
import subprocess
import tempfile
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from browser import Browser, skip_without_browser

ENTER, SHIFT, ESCAPE, TAB = "\ue007", "\ue008", "\ue00c", "\ue004"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
KEY = "sesame"
TURNS = "return Array.from(document.querySelectorAll('#log > li')).map((item) => [item.className, item.querySelector('.text').innerText])"
MARKUP = '<img src=x onerror="window.hit=1"><script>window.hit=1</script> [x](javascript:window.hit=1) [y](https://example.org/a_b)'
MARKDOWN = """# Tea & more

Some **strong *and* tea**, *emphasis*, `co<b>de`, 2 * 3 * 4.
Next line.

- one
- two
  more

3. three
4. four

```js
if (a < b) {

  c();
}
```
A head | *b* \\| c
--- | :-:
| 1 | `<i>` |
| 2 |
> so
> said
End"""


class MadeUp(BaseHTTPRequestHandler):
    """The page's files from the source tree, and answers by what the last message says."""

    protocol_version = "HTTP/1.1"
    web = None
    asked = []  # bodies of requests
    key = ""
    gone = threading.Event()  # a client has left in the middle of an answer

    def log_message(self, *_):
        pass

    def reply(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status, message):
        self.reply(status, "application/json", json.dumps({"error": {"message": message}}).encode())

    def do_GET(self):
        if self.path == "/v1/models":
            if self.key and self.headers["Authorization"] != f"Bearer {self.key}":
                return self.refuse(401, "Authorization: the API key is missing or wrong")
            return self.reply(200, "application/json", b'{"data": [{"id": "made-up"}]}')
        file = self.web / ("chat/index.html" if self.path == "/" else self.path[1:])
        return self.reply(200, TYPES[file.suffix], file.read_bytes())

    def event(self, data):
        text = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(text), text))
        self.wfile.flush()

    def comment(self):
        self.wfile.write(b"3\r\n:\n\n\r\n")
        self.wfile.flush()

    def piece(self, finish=None, **delta):
        self.event(json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}))

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(request)
        word = request["messages"][-1]["content"]
        if self.key and self.headers["Authorization"] != f"Bearer {self.key}":
            return self.refuse(401, "Authorization: the API key is missing or wrong")
        if word == "refuse":
            return self.refuse(400, "messages: the prompt has 9000 tokens, more than the context of 4096")
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            self.answer(word)
        except OSError:
            self.gone.set()
            self.close_connection = True
            return None
        self.event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")
        return None

    def answer(self, word):
        self.piece(role="assistant", content="")
        self.comment()
        if word == "think":
            self.piece(reasoning_content="\nHm, <b>tea</b>?")
        if word == "ponder":
            for _ in range(300):
                self.piece(reasoning_content=" hm")
                time.sleep(0.1)
        if word == "slow":
            self.piece(content="It begins")
            for _ in range(300):
                time.sleep(0.1)
                self.piece(content=" and goes on")
        if word == "fail":
            self.piece(content="Half")
            self.event(json.dumps({"error": {"message": "engine: out of memory"}}))
        if word == "break":
            self.piece(content="Half")
            self.wfile.flush()
            self.connection.shutdown(2)
            raise OSError
        text = {"markup": MARKUP, "markdown": MARKDOWN, "empty": ""}.get(word, f"You said {word}. ü")
        for letter in text:
            self.piece(content=letter)
        self.piece(finish="length" if word == "long" else "stop")


class Page:
    def __init__(self, browser, url):
        self.browser = browser
        browser.open(url)
        self.wait("document.getElementById('model').textContent || document.getElementById('error').textContent")

    def js(self, expression, *arguments):
        return self.browser.run(f"return {expression}", *arguments)

    def wait(self, expression, seconds=60):
        deadline = time.monotonic() + seconds
        while not (value := self.js(expression)):
            assert time.monotonic() < deadline, f"{expression}: not after {seconds} s; {self.state()}"
            time.sleep(0.02)
        return value

    def state(self):
        return self.js("document.body.innerText"), self.browser.console()

    def turns(self):
        return self.browser.run(TURNS)

    def focus(self):
        return self.js("document.activeElement.id")

    def click(self, name):
        self.js("document.getElementById(arguments[0]).click()", name)

    def begin(self, text):
        assert self.focus() == "message", self.focus()
        self.browser.type(*text, ENTER)

    def ended(self):
        self.wait("document.getElementById('stop').hidden && document.getElementById('log').childElementCount % 2 === 0")

    def say(self, text):
        """Types it, and returns the HTML of the answer."""
        self.begin(text)
        self.ended()
        return self.js("document.querySelector('#log > li:last-child .text')?.innerHTML")

    def error(self):
        return self.browser.text("error")

    def fresh(self):
        self.click("fresh")
        assert self.turns() == []


def check_answers(page):
    assert page.browser.text("model") == "made-up"
    assert page.focus() == "message"
    page.browser.type(*"one", [SHIFT, ENTER], *"two")
    assert page.js("document.getElementById('message').value") == "one\ntwo"
    page.browser.type(ENTER)
    page.ended()
    assert page.turns() == [["user", "one\ntwo"], ["assistant", "You said one\ntwo. ü"]], page.turns()
    assert page.focus() == "message" and page.js("document.getElementById('message').value") == ""
    assert page.browser.text("status") == "The answer is complete."
    assert MadeUp.asked[-1] == {"messages": [{"role": "user", "content": "one\ntwo"}], "stream": True}, MadeUp.asked[-1]
    page.browser.resize(600, 300)
    page.say("again")
    assert page.js("(({bottom}) => bottom <= document.getElementById('scroll').getBoundingClientRect().bottom)("
                   "document.getElementById('regenerate').getBoundingClientRect())")  # at the end, all of it
    page.browser.resize(1280, 890)
    assert [message["role"] for message in MadeUp.asked[-1]["messages"]] == ["user", "assistant", "user"]
    page.click("regenerate")
    page.ended()
    assert MadeUp.asked[-1] == MadeUp.asked[-2] and len(page.turns()) == 4
    page.fresh()


def check_reload(page):
    """The conversation is there again, what was written of an answer too, and goes on."""
    page.say("one")
    page.say("think")
    turns = page.turns()
    page = Page(page.browser, page.js("location.href"))
    assert page.turns() == turns and len(turns) == 4, page.turns()
    assert page.js("document.querySelector('details').lastChild.textContent") == "Hm, <b>tea</b>?"
    page.say("two")
    assert [message["content"] for message in MadeUp.asked[-1]["messages"]] == ["one", "You said one. ü", "think", "You said think. ü", "two"]
    page.begin("slow")
    page.wait("document.querySelector('#log > li:last-child .text').innerText.includes('goes on')")
    page = Page(page.browser, page.js("location.href"))
    assert len(page.turns()) == 8 and page.turns()[7][1].startswith("It begins and goes on"), page.turns()
    assert page.error() == "" and page.js("document.getElementById('stop').hidden")
    page.fresh()
    page = Page(page.browser, page.js("location.href"))
    assert page.turns() == []


def check_composing(page):
    """An Enter that ends a word of an input method sends nothing."""
    page.browser.type(*"k")
    for how in ("isComposing: true", "keyCode: 229"):
        page.js(f"document.getElementById('message').dispatchEvent(new KeyboardEvent('keydown', {{key: 'Enter', {how}}}))")
    assert page.turns() == [] and page.js("document.getElementById('message').value") == "k"
    page.js("document.getElementById('message').value = ''")


def check_texts(page):
    html = page.say("markup")
    assert "<img" not in html and "<script" not in html and "javascript:" not in page.js("Array.from(document.links).map(String).join()"), html
    assert page.js("window.hit === undefined")
    assert page.js("Array.from(document.links).map((link) => link.href + link.rel)") == ["https://example.org/a_bnoopener noreferrer"]
    html = page.say("markdown")
    expected = ("<h3>Tea &amp; more</h3><p>Some <strong>strong <em>and</em> tea</strong>, <em>emphasis</em>, <code>co&lt;b&gt;de</code>, 2 * 3 * 4.\n"
                'Next line.</p><ul><li>one</li><li>two\nmore</li></ul><ol start="3"><li>three</li><li>four</li></ol>'
                '<pre tabindex="0"><code>if (a &lt; b) {\n\n  c();\n}</code></pre>'
                '<div class="table" tabindex="0"><table><thead><tr><th>A head</th><th><em>b</em> | c</th></tr></thead><tbody><tr><td>1</td>'
                '<td><code>&lt;i&gt;</code></td></tr><tr><td>2</td></tr></tbody></table></div><blockquote>so\nsaid</blockquote><p>End</p>')
    assert html == expected, html
    page.say("think")
    box = page.js("(({open, lastChild}) => [open, lastChild.textContent])(document.querySelector('details'))")
    assert box == [False, "Hm, <b>tea</b>?"], box
    page.say("long")
    assert "Cut off" in page.js("document.querySelector('#log > li:last-child .note').textContent")
    page.say("empty")
    assert "said nothing" in page.js("document.querySelector('#log > li:last-child .note').textContent")
    page.fresh()


def check_stop(page):
    for stop in (lambda: page.browser.type(ESCAPE), lambda: page.click("stop")):
        MadeUp.gone.clear()
        page.begin("slow")
        page.wait("document.querySelector('#log > li:last-child .text').innerText.includes('goes on')")
        page.browser.type(*"next")
        page.browser.type(ENTER)  # one answer at a time
        assert len(page.turns()) == 2 and page.js("document.getElementById('message').value") == "next"
        stop()
        page.ended()
        assert MadeUp.gone.wait(10), "the request goes on"
        assert page.turns()[1][1].startswith("It begins and goes on") and page.browser.text("status") == "Stopped."
        assert page.error() == "" and page.focus() == "message"
        page.js("document.getElementById('message').value = ''")
        page.fresh()
    page.begin("ponder")
    page.wait("document.querySelector('#log summary')?.textContent === 'Thinking\u2026'")
    page.browser.type(ESCAPE)
    page.ended()
    assert page.browser.text("log").startswith("You" + "ponder" + "Model" + "Thoughts"), page.browser.text("log")
    page.fresh()
    page.begin("slow")
    page.wait("document.querySelector('#log > li:last-child .text').innerText.includes('goes on')")
    page.fresh()  # in the middle of an answer
    assert "You said after" in page.say("after") and len(page.turns()) == 2
    page.fresh()


def check_faults(page):
    page.say("hello")
    page.say("refuse")
    assert page.error() == "messages: the prompt has 9000 tokens, more than the context of 4096"
    assert len(page.turns()) == 2 and page.js("document.getElementById('message').value") == "refuse"  # to be mended
    page.js("document.getElementById('message').value = ''")
    assert "You said so" in page.say("so") and page.error() == ""
    assert page.say("fail") == "<p>Half</p>" and page.error() == "engine: out of memory"
    assert page.say("break") == "<p>Half</p>" and page.error() == "The connection was lost while the model answered.", page.error()
    page.fresh()
    page.browser.console()  # it complains of statuses and connections


def check_settings(page):
    page.click("open-settings")
    assert page.focus() == "system"
    page.browser.type(*"Be nice.", TAB, *"0.5", TAB, *"12")
    page.browser.type(ESCAPE)
    assert not page.js("document.getElementById('settings').open") and page.focus() == "message"
    page.say("hi")
    asked = MadeUp.asked[-1]
    assert asked["messages"][0] == {"role": "system", "content": "Be nice."} and asked["temperature"] == 0.5 and asked["max_tokens"] == 12, asked
    page = Page(page.browser, page.js("location.href"))
    assert page.js("document.getElementById('system').value") == "Be nice.", "settings are lost"
    page.js("localStorage.clear()")


def check_key(browser, url):
    MadeUp.key = KEY
    page = Page(browser, url)
    assert page.error() == "The server wants an API key, or another one: enter it in the settings.", page.error()
    assert page.focus() == "key"
    browser.type(*KEY, ENTER)
    page.wait("document.getElementById('model').textContent === 'made-up'")
    assert page.error() == ""
    assert "You said hi" in page.say("hi")
    MadeUp.key = ""
    browser.console()


def check_looks(page, axe):
    """Both schemes, wide and narrow: nothing is cut off, and axe finds nothing."""
    page.say("markdown")
    page.say("think")
    page.js("document.querySelector('details').open = true")
    colours = set()
    for scheme in ("light", "dark"):
        page.browser.emulate(prefers_color_scheme=scheme)
        for width, height in ((1280, 890), (360, 640)):
            page.browser.resize(width, height)
            wide, high, button = page.js("[document.documentElement.scrollWidth, document.documentElement.scrollHeight, "
                                         "document.getElementById('send').getBoundingClientRect().right]")
            assert wide <= width and high <= height and button <= width, (wide, high, button)
            colours.add(page.js("getComputedStyle(document.body).backgroundColor"))
            for opens in (False, True) if axe else ():
                if opens:
                    page.click("open-settings")
                page.browser.run(axe)
                found = page.browser.call("POST", "/execute/async", {"args": [], "script":
                    "axe.run().then(({violations}) => arguments[0](violations.map(({id, nodes}) => [id, nodes.map((node) => node.html)])))"})
                assert not found, found
                if opens:
                    page.browser.type(ESCAPE)
    assert len(colours) == 2, colours
    page.browser.resize(1280, 890)


def check_model(browser, url):
    """The embedded model: what the page shows is what the API says."""
    page = Page(browser, url)
    page.click("open-settings")
    browser.type(TAB, *"0", TAB, *"20", ENTER)
    page.say("Where do you go?")
    body = {"messages": [{"role": "user", "content": "Where do you go?"}], "temperature": 0, "max_tokens": 20}
    request = urllib.request.Request(url + "/v1/chat/completions", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=60) as reply:
        expected = json.load(reply)["choices"][0]["message"]["content"]
    shown = page.turns()[1][1]
    assert re.findall(r"\w+", shown) == re.findall(r"\w+", expected) and shown, (shown, expected)  # but for marks of lists
    complaints = browser.console()
    assert not complaints, complaints


def main():
    flags = argparse.ArgumentParser()
    flags.add_argument("throng", type=Path)
    flags.add_argument("source", type=Path)
    flags.add_argument("--screenshot", type=Path, help="PNG file for a picture of the page")
    flags = flags.parse_args()
    skip_without_browser()
    axe = flags.source / "tests/clients/node_modules/axe-core/axe.min.js"
    rules = axe.read_text() if axe.exists() else None
    MadeUp.web = flags.source / "web"
    made_up = ThreadingHTTPServer(("127.0.0.1", 0), MadeUp)
    threading.Thread(target=made_up.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{made_up.server_address[1]}/"
    server = subprocess.Popen([flags.throng.resolve(), "serve", "--port", "0"], stderr=subprocess.PIPE, text=True)
    try:
        address = next(line for line in server.stderr if " at http" in line).split(" at ")[1].split("/v1")[0]
        threading.Thread(target=server.stderr.read, daemon=True).start()
        with tempfile.TemporaryDirectory() as folder:
            browser = Browser(Path(folder) / "profile")
            try:
                page = Page(browser, url)
                for check in (check_answers, check_reload, check_composing, check_texts, check_stop):
                    check(page)
                complaints = browser.console()
                assert not complaints, complaints
                check_faults(page)
                check_settings(page)
                check_looks(Page(browser, url), rules)
                if flags.screenshot:
                    flags.screenshot.write_bytes(browser.screenshot())
                check_key(browser, url)
                check_model(browser, address)
            finally:
                browser.close()
    finally:
        server.terminate()
        server.wait()
    print("the page chats" + ("" if rules else "; SKIPPED: the rules of axe-core, which is not in tests/clients/node_modules"))


if __name__ == "__main__":
    main()
