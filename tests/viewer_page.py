"""The viewer of a run in headless Chromium, for tests and screenshots."""

import contextlib
import re
import sqlite3
import subprocess
import threading
import time

# From now on `drawn` holds the texts of the last picture of the map, and `drawnAt` where each is: [text, left, base line, width].
RECORD_TEXTS = """
  window.drawn = [];
  window.drawnAt = [];
  const pen = CanvasRenderingContext2D.prototype, fillText = pen.fillText, {map} = viewer.sides[0], paint = map.draw.bind(map);
  pen.fillText = function(text, x, y) {
    if (this.canvas.id === 'map') {
      const {width} = this.measureText(text);
      drawn.push(text);
      drawnAt.push([text, x - (this.textAlign === 'center' ? width / 2 : 0), y, width]);
    }
    return fillText.call(this, text, x, y);
  };
  map.draw = () => { drawn.length = drawnAt.length = 0; paint(); };
"""
# For each [x, y] in tiles, the point of the page at its middle and the colour there.
READ_COLOURS = """
  viewer.page.drawNow();
  const map = document.getElementById('map'), corner = map.getBoundingClientRect(), ratio = devicePixelRatio, {camera} = viewer;
  const copy = new OffscreenCanvas(map.width, map.height).getContext('2d', {willReadFrequently: true});
  copy.drawImage(map, 0, 0);
  return arguments[0].map(([x, y]) => {
    const left = camera.x + (x + 0.5) * camera.scale, top = camera.y + (y + 0.5) * camera.scale;
    const colour = copy.getImageData(left * ratio, top * ratio, 1, 1).data;
    return {point: [Math.round(corner.x + left), Math.round(corner.y + top)], colour: Array.from(colour.slice(0, 3))};
  });
"""
MOVE_SLIDER = """
  const slider = document.getElementById('step');
  slider.value = arguments[0];
  slider.dispatchEvent(new Event('input'));
  viewer.page.drawNow();
"""
CHOOSE = """
  const list = document.getElementById(arguments[0]);
  list.value = Array.from(list.options).find((option) => option.text === arguments[1]).value;
  list.dispatchEvent(new Event('change'));
  viewer.page.drawNow();
"""
# From now on `saved` holds what the page has let the browser save.
RECORD_SAVES = """
  window.saved = [];
  URL.createObjectURL = (blob) => { saved.push({blob}); return '#'; };
  HTMLAnchorElement.prototype.click = function() { saved.at(-1).name = this.download; };
"""
VIOLATIONS = """
  axe.run().then(({violations}) => arguments[0](violations.map(({id, nodes}) => [id, nodes.map((node) => node.html)])))
"""


class Journal:
    """What a journal says."""

    def __init__(self, path):
        self.database = sqlite3.connect(path)
        self.agents = dict(self.rows("SELECT agent, name FROM agents"))
        self.steps = self.rows("SELECT max(step) + 1 FROM steps")[0][0]

    def rows(self, query, *values):
        return self.database.execute(query, values).fetchall()

    def places(self, step):
        """agent -> (x, y) at the start of a step"""
        places = {agent: (x, y) for agent, x, y in self.rows("SELECT agent, x, y FROM agents")}
        for agent, x, y in self.rows("SELECT agent, x, y FROM bodies WHERE step <= ? ORDER BY step", step):
            places[agent] = (x, y)
        return places

    def silent_step(self, least):
        """The first step from `least` on of which, and of the 40 before, nobody's words are on the map."""
        spoken = {step for step, in self.rows("SELECT step FROM conversations")}
        return next(step for step in range(least, self.steps) if not spoken & set(range(step - 40, step + 1)))


class Viewer:
    """The page, used as its users do."""

    def __init__(self, browser, url):
        self.browser = browser
        browser.open(url)

    def js(self, expression, *arguments):
        return self.browser.run(f"return {expression}", *arguments)

    def wait(self, expression, *arguments, seconds=60):
        deadline = time.monotonic() + seconds
        while not (value := self.js(expression, *arguments)):
            assert time.monotonic() < deadline, f"{expression}: not after {seconds} s; {self.text('message')}, {self.browser.console()}"
            time.sleep(0.02)
        return value

    def wait_until_loaded(self):
        self.wait("globalThis.viewer?.sides.every(({run}) => run.isComplete)")
        self.wait("/ answers$/.test(document.getElementById('progress').textContent)")  # the page has been made of it

    def text(self, element):
        return self.browser.text(element)

    def click(self, element):
        self.js("document.getElementById(arguments[0]).click()", element)

    def tab(self, name):
        self.click(f"tab-{name}")

    def move(self, step):
        self.browser.run(MOVE_SLIDER, step)

    def choose(self, name, field="agent"):
        self.browser.run(CHOOSE, field, name)

    def items(self, element, selector="li"):
        return self.js("Array.from(document.querySelectorAll(`#${arguments[0]} ${arguments[1]}`)).map((item) => item.textContent)", element, selector)

    def violations(self, axe):
        self.browser.run(axe)
        return self.browser.call("POST", "/execute/async", {"args": [], "script": VIOLATIONS})


def load_axe(source):
    """The rules of axe-core, if npm has installed it; else None."""
    file = source / "tests/clients/node_modules/axe-core/axe.min.js"
    return file.read_text() if file.exists() else None


@contextlib.contextmanager
def serving(throng, journal, *flags, port="0"):
    """The address of `throng serve --journal`."""
    server = subprocess.Popen([throng, "serve", "--journal", journal, "--port", port, *flags], stderr=subprocess.PIPE, text=True)
    try:
        url = next(re.search(r"viewer of .* at (http\S+)", line)[1] for line in server.stderr if "viewer of" in line)
        threading.Thread(target=server.stderr.read, daemon=True).start()
        yield url
    finally:
        server.terminate()
        server.wait()
