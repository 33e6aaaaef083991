"""Opens the viewer of a run in headless Chromium, and compares what it draws with the journal: everybody's place at several steps, the
clock, a conversation. Usage: viewer_test.py THRONG [--journal FILE] [--screenshot FILE.png]"""

import argparse
import colorsys
import re
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path

from browser import Browser, skip_without_browser

# From now on `drawn` holds the texts of the last picture.
RECORD_TEXTS = """
  window.drawn = [];
  const pen = CanvasRenderingContext2D.prototype, fillText = pen.fillText, paint = draw;
  pen.fillText = function(text, ...rest) { drawn.push(text); return fillText.call(this, text, ...rest); };
  draw = () => { drawn.length = 0; paint(); };
"""
# For each [x, y] in tiles, the point of the page at its middle and the colour there.
READ_COLOURS = """
  const map = document.getElementById('map'), corner = map.getBoundingClientRect(), ratio = devicePixelRatio;
  const copy = new OffscreenCanvas(map.width, map.height).getContext('2d', {willReadFrequently: true});
  copy.drawImage(map, 0, 0);
  return arguments[0].map(([x, y]) => {
    const left = view.x + (x + 0.5) * view.scale, top = view.y + (y + 0.5) * view.scale;
    const colour = copy.getImageData(left * ratio, top * ratio, 1, 1).data;
    return {point: [Math.round(corner.x + left), Math.round(corner.y + top)], colour: Array.from(colour.slice(0, 3))};
  });
"""
MOVE_SLIDER = """
  const slider = document.getElementById('step');
  slider.value = arguments[0];
  slider.dispatchEvent(new Event('input'));
"""
CHOOSE_AGENT = """
  const list = document.getElementById('agent');
  list.value = Array.from(list.options).find((option) => option.text === arguments[0]).value;
  list.dispatchEvent(new Event('change'));
"""


class Run:
    """What a journal says."""

    def __init__(self, journal):
        self.database = sqlite3.connect(journal)
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


def colour_of(agent):
    return [round(255 * part) for part in colorsys.hls_to_rgb(agent * 137 % 360 / 360, 0.45, 0.70)]


def uncovered(places):
    """Those whom neither another agent nor the name below one can cover."""

    def covers(other, x, y):
        right, below = x - other[0], y - other[1]
        return max(abs(right), abs(below)) <= 2 or (abs(right) <= 5 and 0 < below <= 4)

    return [agent for agent, (x, y) in places.items() if not any(covers(places[b], x, y) for b in places if b != agent)]


def check_places(browser, run, step):
    """At `step` everybody is drawn where the journal says. Returns the places that were compared, and their points of the page."""
    browser.run(MOVE_SLIDER, step)
    minutes = 6 * 60 + step // 6  # steps of 10 seconds, from 06:00
    clock = f"{minutes // 60:02}:{minutes % 60:02}, step {step} of {run.steps}"
    assert browser.text("clock") == clock, (browser.text("clock"), clock)
    places = run.places(step)
    agents = uncovered(places)
    assert 2 * len(agents) >= len(places), f"step {step}: only {len(agents)} of {len(places)} agents are uncovered"
    points = {}
    for agent, seen in zip(agents, browser.run(READ_COLOURS, [places[agent] for agent in agents])):
        wanted = colour_of(agent)
        assert max(abs(a - b) for a, b in zip(seen["colour"], wanted)) <= 3, (step, run.agents[agent], seen, wanted)
        points[agent] = seen["point"]
    names = set(browser.run("return drawn"))
    assert names >= set(run.agents.values()), (step, set(run.agents.values()) - names)
    return {agent: places[agent] for agent in agents}, points


def check_conversation(browser, run):
    """The first line of the run is on the map, and its conversation in the lists of both who lead it."""
    step, speaker, line = run.rows("SELECT step, name, text FROM conversations ORDER BY step, seq, agent LIMIT 1")[0]
    hearer = re.match(r"to ([^:]+): ", line)[1]
    browser.run(MOVE_SLIDER, step)
    said = {name: [text for text, in run.rows("SELECT text FROM conversations WHERE step = ? AND name = ? ORDER BY seq", step, name)]
            for name in (speaker, hearer)}
    for name in (speaker, hearer):
        browser.run(CHOOSE_AGENT, name)
        log = browser.run("return Array.from(document.querySelectorAll('#log li:not(.later)')).map((item) => item.textContent)")
        for other, texts in said.items():
            lines = [entry.split(f"{other}:", 1)[1] for entry in log if re.match(rf"\d\d:\d\d{other}:", entry)]
            assert lines[-len(texts):] == texts if texts else True, (name, other, lines, texts)
        words = "".join(browser.run("return drawn")).replace(" ", "")
        last = said[name][-1].split(": ", 1)[1].replace(" ", "") if said[name] else ""
        assert last in words, (name, last, words)
    browser.run(MOVE_SLIDER, step - 1)
    pale = browser.run("return Array.from(document.querySelectorAll('#log .later')).map((item) => item.textContent)")
    assert any(said[speaker][0] in entry for entry in pale), "lines that are yet to come are not pale"
    return step


def check_controls(browser, run, points):
    agent, (x, y) = next(iter(points.items()))
    browser.click(x, y)
    status = browser.text("status")
    assert status.startswith(run.agents[agent] + " at "), (run.agents[agent], status)
    before = browser.text("clock")
    browser.run("document.getElementById('play').click()")
    deadline = time.monotonic() + 30
    while browser.text("clock") == before:
        assert time.monotonic() < deadline, "Play does not move the clock"
        time.sleep(0.1)
    browser.run("document.getElementById('play').click()")


def check(browser, url, run):
    browser.open(url)
    deadline = time.monotonic() + 60
    while not browser.text("clock").endswith(f" of {run.steps}"):
        assert time.monotonic() < deadline, f"not loaded after 60 s: {browser.text('message')}, {browser.console()}"
        time.sleep(0.1)
    assert browser.text("run") == f"town, {len(run.agents)} agents", browser.text("run")
    browser.run(RECORD_TEXTS)
    check_places(browser, run, 0)
    assert "cafe" in browser.run("return drawn"), "places have no names"
    steps = [run.silent_step(run.steps * part // 4) for part in (1, 3)]
    for step in steps:
        places, points = check_places(browser, run, step)
        assert any(place != run.places(0)[agent] for agent, place in places.items()), f"nobody has moved by step {step}"
    check_controls(browser, run, points)
    spoken = check_conversation(browser, run)
    complaints = browser.console()
    assert not complaints, complaints
    print(f"{len(run.agents)} agents at steps 0, {steps[0]} and {steps[1]}, a conversation at step {spoken}: as the journal says")


def take_picture(browser, run):
    """A conversation in the busiest place late in the run."""
    step, name = run.rows("SELECT step, min(name) FROM conversations WHERE step > ? GROUP BY step ORDER BY count(*) DESC LIMIT 1", run.steps // 2)[0]
    browser.run(CHOOSE_AGENT, name)
    browser.run(MOVE_SLIDER, step + 1)
    return browser.screenshot()


def main():
    flags = argparse.ArgumentParser()
    flags.add_argument("throng", type=Path)
    flags.add_argument("--journal", type=Path, help="of a run of the built-in town; default: a short one, made here")
    flags.add_argument("--screenshot", type=Path, help="PNG file for a picture of the viewer")
    flags = flags.parse_args()
    skip_without_browser()
    throng = flags.throng.resolve()
    with tempfile.TemporaryDirectory() as folder:
        journal = flags.journal or Path(folder) / "town.journal"
        if not flags.journal:
            subprocess.run([throng, "run", "--agents", "10", "--until", "09:00", "--quiet", "--journal", journal], check=True, stdout=subprocess.DEVNULL)
        server = subprocess.Popen([throng, "serve", "--journal", journal, "--port", "0"], stderr=subprocess.PIPE, text=True)
        try:
            url = server.stderr.readline().split()[-1]
            run = Run(journal)
            browser = Browser(Path(folder) / "profile")
            try:
                check(browser, url, run)
                if flags.screenshot:
                    flags.screenshot.write_bytes(take_picture(browser, run))
            finally:
                browser.close()
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
