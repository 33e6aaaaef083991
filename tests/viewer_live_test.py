"""The viewer where runs are not finished, not alone, not friendly or not open: it follows a run that is being written, comes back when
its server does, shows what the run waits for, lets something happen, marks where two runs part, shows markup of a journal as text, and asks for a key.
Usage: viewer_live_test.py THRONG SOURCE"""

import contextlib
import json
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from browser import Browser, skip_without_browser
from viewer_page import RECORD_SAVES, Journal, Viewer, load_axe, serving

ENTER = "\ue007"
KEY = "sesame"
MARKUP = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>'
# The beginning of the saved film.
READ_FILM = "const done = arguments[0]; saved[1].blob.slice(0, 1000).arrayBuffer().then((bytes) => done(Array.from(new Uint8Array(bytes))));"
# The saved picture's size, in how many bytes its parts are other than the page's maps, and whether these differ.
COMPARE_PICTURE = """
  const done = arguments[0];
  createImageBitmap(saved[0].blob).then((picture) => {
    const bytesOf = (image, x, width, height) => {
      const pen = new OffscreenCanvas(width, height).getContext('2d');
      pen.drawImage(image, -x, 0);
      return pen.getImageData(0, 0, width, height).data;
    };
    const maps = ['map', 'map-beside'].map((id) => document.getElementById(id));
    const shown = maps.map((map) => bytesOf(map, 0, map.width, map.height));
    const parts = maps.map((map, index) => bytesOf(picture, index * (maps[0].width + 2), map.width, map.height));
    const apart = (a, b) => a.reduce((count, byte, index) => count + (byte !== b[index]), 0);
    done([[picture.width, picture.height], parts.map((part, index) => apart(part, shown[index])), apart(...shown) > 0]);
  });
"""


def make(throng, journal, *flags):
    subprocess.run([throng, "run", "--agents", "5", "--llm", "fake:latency=1,spread=0.9", "--quiet", "--journal", journal, *flags], check=True, stdout=subprocess.DEVNULL)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def steps_of(path):
    """Of a run that has perhaps not begun."""
    if not path.exists():
        return 0
    with contextlib.closing(sqlite3.connect(path)) as database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'steps'").fetchone():
            return 0
        return database.execute("SELECT count(*) FROM steps").fetchone()[0]


def check_pause(viewer, journal, axe):
    """By button and by key; what stands still does no more steps, and goes on."""
    said = "document.getElementById('pause-said').textContent"
    viewer.click("pause-run")
    viewer.wait(f"{said}.startsWith('paused since')")
    steps = steps_of(journal)
    time.sleep(1)
    assert steps_of(journal) == steps, "a paused run went on"
    assert viewer.text("pause-run") == "Let the run go on"
    assert not axe or not viewer.violations(axe)
    viewer.js("document.getElementById('pause-run').blur()")
    viewer.browser.type("p")
    viewer.wait(f"{said} === ''")
    viewer.wait("viewer.sides[0].run.steps > arguments[0]", steps)


def check_people(throng, browser, journal, axe):
    """A question that waits in a journal is answered in the page, once."""
    make(throng, journal, "--steps", "20")
    with contextlib.closing(sqlite3.connect(journal)) as database:
        database.execute("DELETE FROM manifest WHERE key = 'hash'")
        database.execute("DELETE FROM hashes WHERE step >= 10")
        for call, question, choices in ((900, "Where to?", ["home", "work"]), (901, "What do you say?", [])):
            database.execute("INSERT INTO questions VALUES(12, 1, ?, ?, ?, NULL)", (call, question, json.dumps(choices)))
            database.execute("INSERT INTO question_times VALUES(12, 1, ?, '2026-01-31T09:30:00Z')", (call,))
        database.commit()
        answers = "SELECT answer FROM questions ORDER BY call"
        with serving(throng, journal) as url:
            viewer = Viewer(browser, url)
            viewer.wait("document.querySelectorAll('#people-questions li').length === 2")
            shown = viewer.text("people-questions")
            assert "Ben" in shown and "Where to?" in shown and "since" in shown, shown
            assert not axe or not viewer.violations(axe)
            viewer.js("Array.from(document.querySelectorAll('#people-questions button')).find((one) => one.textContent === 'work').click()")
            viewer.wait("document.getElementById('people-said').textContent === 'Answered: work'")
            database.execute("UPDATE questions SET answer = 'hello' WHERE call = 901")  # somebody else is faster
            database.commit()
            viewer.js("document.querySelector('#people-questions input').value = 'good day'")
            viewer.js("document.querySelector('#people-questions form').requestSubmit()")
            viewer.wait("document.getElementById('people-said').textContent.includes('somebody else has answered it')")
            viewer.wait("document.getElementById('people-title').textContent === 'Nothing waits for you'")
        assert [answer for answer, in database.execute(answers)] == ["work", "hello"]
    browser.open("about:blank")
    browser.console()


def check_live(throng, browser, journal, axe):
    run = subprocess.Popen([throng, "run", "--agents", "20", "--steps", "3000", "--llm", "fake:latency=0.1,spread=0.9", "--real-time", "--quiet", "--journal", journal],
                           stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while steps_of(journal) < 20:
            assert time.monotonic() < deadline, "the run does not begin"
            time.sleep(0.1)
        port = free_port()
        with serving(throng, journal, port=port) as url:
            viewer = Viewer(browser, url)
            viewer.wait("globalThis.viewer?.sides[0].run.told > 0")
            viewer.click("live")
            first = viewer.wait("viewer.view.step")
            viewer.wait("viewer.view.step > arguments[0]", first)
            assert not viewer.js("viewer.sides[0].run.isDone"), "the run has ended too early for the test"
            viewer.tab("run")
            viewer.wait("document.getElementById('inject').checkVisibility()")
            for words, said in (("leave Nobody", "nobody has this name"), ("leave Ben", "The run will take it")):
                viewer.js("document.getElementById('inject-what').value = arguments[0]", words)
                viewer.js("document.getElementById('inject').requestSubmit()")
                viewer.wait("document.getElementById('inject-said').textContent.includes(arguments[0])", said)
            place = viewer.js("viewer.sides[0].run.agents.findIndex(({name}) => name === 'Ben')")
            viewer.wait("!viewer.sides[0].run.isPresent(arguments[0], viewer.sides[0].run.loaded)", place)
            check_pause(viewer, journal, axe)
        viewer.wait("document.getElementById('message').textContent.includes('does not answer')")
        loaded = viewer.js("viewer.sides[0].run.loaded")
        with serving(throng, journal, port=port):
            viewer.wait("viewer.sides[0].run.loaded > arguments[0]", loaded)
            viewer.wait("document.getElementById('message').textContent === ''")
            assert viewer.js("viewer.view.step >= arguments[0]", loaded), "it no longer follows the end"
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
    browser.open("about:blank")
    browser.console()  # it has complained of lost connections
    return loaded


def waits(path):
    """Whether the run has said what it waits for."""
    if not path.exists():
        return False
    with contextlib.closing(sqlite3.connect(path)) as database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'in_flight'").fetchone():
            return False
        return database.execute("SELECT 1 FROM in_flight WHERE calls <> '[]'").fetchone() is not None


def check_in_flight(throng, browser, journal, axe):
    """Calls are shown before they are answered; and that nobody says any more whether they still wait."""
    run = subprocess.Popen([throng, "run", "--agents", "5", "--llm", "fake:latency=600", "--real-time", "--quiet", "--journal", journal], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not waits(journal):
            assert time.monotonic() < deadline, "the run asks nothing"
            time.sleep(0.1)
        with serving(throng, journal) as url:
            viewer = Viewer(browser, url)
            count = viewer.wait("globalThis.viewer?.sides[0].run.openCalls().length")
            viewer.wait("document.getElementById('standing').textContent.endsWith(arguments[0])", f"{count} in flight")
            place = viewer.js("viewer.sides[0].run.openCalls()[0].place")
            viewer.js("viewer.page.setAgent(arguments[0])", place)
            viewer.tab("calls")
            viewer.wait("document.querySelector('#calls button')?.textContent.includes('plan: in flight for')")
            viewer.js("document.querySelector('#calls button').click()")
            viewer.wait("document.getElementById('call').textContent.includes('in flight for')")
            assert not axe or not viewer.violations(axe)
            end = viewer.js("viewer.sides[0].lens.progress.end")
            viewer.wait("viewer.sides[0].lens.progress.end > arguments[0]", end)  # the bars grow
            for kind in ("calls of each agent", "who is how far"):
                viewer.choose(kind, "timeline-kind")
            viewer.choose("time of the run", "clock-kind")
            viewer.click("live")
            viewer.wait("viewer.sides[0].lens.isWaiting(arguments[0])", place)
            viewer.tab("run")
            viewer.wait("document.querySelectorAll('#facts table')[0].rows.length === arguments[0] + 1", count)
            assert not axe or not viewer.violations(axe)
            run.send_signal(signal.SIGKILL)
            run.wait()
            viewer.wait("document.getElementById('facts').textContent.includes('in flight when the run last said so')")
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
    browser.open("about:blank")
    complaints = browser.console()
    assert not complaints, complaints


def check_saved_beside(viewer):
    """A picture and a film hold both maps as they are on the page, with their names."""
    viewer.browser.run(RECORD_SAVES)
    left, right, height = viewer.js("(([a, b]) => [a.width, b.width, a.height])(['map', 'map-beside'].map((id) => document.getElementById(id)))")
    viewer.click("frame")
    viewer.wait("saved.length === 1 && saved[0].name")
    size, apart, differs = viewer.browser.call("POST", "/execute/async", {"args": [], "script": COMPARE_PICTURE})
    assert size == [left + 2 + right, height], (size, left, right, height)
    assert apart == [0, 0] and differs, (apart, differs)
    viewer.choose("state", "coloured-by")
    size[1] += 20  # the legend, in one row
    viewer.click("film")
    viewer.wait("viewer.view.step > arguments[0] + 40", viewer.js("viewer.view.step"))  # two seconds
    viewer.click("film")
    viewer.wait("saved.length === 2 && saved[1].name")
    film = bytes(viewer.browser.call("POST", "/execute/async", {"args": [], "script": READ_FILM}))
    track = re.search(rb"\xb0\x82(..)\xba\x82(..)", film, re.DOTALL)  # WebM's PixelWidth and PixelHeight
    assert [int.from_bytes(side, "big") for side in track.groups()] == size, (track, size)


def check_beside(throng, browser, folder):
    journal, other = folder / "one.journal", folder / "other.journal"
    make(throng, journal, "--until", "07:00")
    subprocess.run([throng, "journal", "fork", journal, "--at", "100", "--seed", "7", "-o", other], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([throng, "resume", other, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    done = subprocess.run([throng, "journal", "diff", journal, other], capture_output=True, text=True)
    with serving(throng, journal, "--beside", other) as url:
        viewer = Viewer(browser, url)
        viewer.wait_until_loaded()
        viewer.wait("document.getElementById('parting').textContent.startsWith('They part')")
        assert viewer.js("[document.getElementById('map').ariaLabel, document.getElementById('map-beside').ariaLabel]") == \
            [f"Map of {name}; arrow keys move it" for name in ("one.journal", "other.journal")]
        viewer.click("parting")
        step = viewer.js("viewer.view.step")
        assert step >= 100 and f"step {step}" in done.stdout, (step, done.stdout)
        middle, slider, width = viewer.js("(([mark, slider]) => [mark.left + mark.width / 2, slider.left, slider.width])"
                                          "(['mark', 'step'].map((id) => document.getElementById(id).getBoundingClientRect()))")
        thumb = slider + 8 + (width - 16) * step / 360  # its middle; it is 16 pixels wide
        assert abs(middle - thumb) <= 1, (middle, thumb, step)
        theirs, steps = Journal(other), (step, 350)
        for place, agent in enumerate(theirs.agents):
            for at in steps:
                x, y = theirs.places(at)[agent]
                shown = viewer.js("(({x, y}) => [x, y])(viewer.sides[1].run.stateAt(arguments[0], arguments[1]))", place, at)
                assert shown == [x, y], (agent, at, shown, x, y)
        widths = viewer.js("['map', 'map-beside'].map((id) => document.getElementById(id).clientWidth)")
        assert min(widths) > 300, widths
        check_saved_beside(viewer)
    return step


def check_hostile(throng, browser, folder, axe):
    """Whatever a journal says is shown as text."""
    journal = folder / "hostile.journal"
    make(throng, journal, "--until", "08:00", "--price", "1,2")
    with contextlib.closing(sqlite3.connect(journal)) as database:
        database.execute("UPDATE starts SET name = ? || agent, status = ?", (MARKUP, MARKUP))
        for change in ("chronicle SET text = ?", "bodies SET status = ?", "parts SET text = ?", "answers SET text = ?, function = 'x' || ?1", "servers SET name = ?",
                       "sessions SET outcome = ?", "manifest SET value = ? WHERE key IN ('world', 'backend', 'hash')"):
            database.execute(f"UPDATE {change}", (MARKUP,))
        database.execute("INSERT INTO collected VALUES(1, -1, ?, 5)", (MARKUP,))
        database.execute("INSERT INTO cells VALUES(1, 3, 3, ?)", (MARKUP,))
        database.execute("INSERT OR REPLACE INTO bodies VALUES(2, 0, 9223372036854775807, -9223372036854775808, '')")
        database.commit()
        step, agent, call = database.execute("SELECT step, agent, call FROM answers LIMIT 1").fetchone()
    with serving(throng, journal) as url:
        viewer = Viewer(browser, f"{url}#step={step}&agent={agent}&call={call}")
        viewer.wait_until_loaded()
        viewer.wait("document.querySelector('#call pre')")
        assert MARKUP in viewer.text("call") and MARKUP in viewer.text("run") and MARKUP in viewer.text("agent")
        for tab in ("log", "mind", "run"):
            viewer.tab(tab)
        viewer.wait("document.querySelector('#charts figure')")
        viewer.js("document.getElementById('search-text').value = 'onerror'")
        viewer.js("document.getElementById('search').requestSubmit()")
        viewer.wait("document.querySelectorAll('#hits li').length > 10")
        viewer.move(50)
        assert viewer.js("document.images.length === 0 && document.scripts.length === 1 && window.hit === undefined")
        assert not axe or not viewer.violations(axe)
        complaints = browser.console()
        assert not complaints, complaints


def check_key(throng, browser, journal):
    with serving(throng, journal, "--api-key", KEY) as url:
        try:
            urllib.request.urlopen(f"{url}/api/positions?from=0&to=10")
            raise AssertionError("positions are given without a key")
        except urllib.error.HTTPError as error:
            assert error.code == 401
        viewer = Viewer(browser, url)
        viewer.wait("document.getElementById('ask-key').open")
        assert not viewer.js("document.getElementById('key-refused').checkVisibility()")
        browser.type(*"wrong", ENTER)
        viewer.wait("document.getElementById('key-refused').checkVisibility()")
        browser.type(*KEY, ENTER)
        viewer.wait_until_loaded()
        browser.open("about:blank")
        viewer = Viewer(browser, f"{url}#key={KEY}&step=7")
        viewer.wait_until_loaded()
        assert viewer.js("viewer.view.step") == 7
        assert KEY not in viewer.js("location.href"), "the key stays in the address"
    browser.console()


def check_reach(throng, journal):
    """Whoever reaches a server on a network without a key changes no run."""
    with serving(throng, journal, "--host", "0.0.0.0") as url:
        address = url.replace("0.0.0.0", "127.0.0.1")
        with urllib.request.urlopen(f"{address}/api/run") as reply:
            info = json.load(reply)
        assert (info["may_inject"], info["may_interview"], info["may_change"]) == (False, False, False), info
        for path, body in (("pause", {"paused": True}), ("answer", {"agent": 0, "step": 0, "call": 0, "answer": "home"}), ("events", {"what": "leave Ben"}), ("interview", {"agent": 0, "step": 0, "question": "Who?"})):
            request = urllib.request.Request(f"{address}/api/{path}", json.dumps(body).encode())
            try:
                urllib.request.urlopen(request)
                raise AssertionError(f"{path} was taken without a key")
            except urllib.error.HTTPError as error:
                assert error.code == 403, error.code


def main():
    throng, source = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    skip_without_browser()
    axe = load_axe(source)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        browser = Browser(folder / "profile")
        try:
            loaded = check_live(throng, browser, folder / "live.journal", axe)
            check_in_flight(throng, browser, folder / "in_flight.journal", axe)
            step = check_beside(throng, browser, folder)
            check_hostile(throng, browser, folder, axe)
            check_people(throng, browser, folder / "people.journal", axe)
            check_key(throng, browser, folder / "one.journal")
            check_reach(throng, folder / "one.journal")
        finally:
            browser.close()
    print(f"followed to step {loaded} and on; two runs part at step {step}; markup is text; a key is asked for")


if __name__ == "__main__":
    main()
