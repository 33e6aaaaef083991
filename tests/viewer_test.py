"""Opens the viewer of a run in headless Chromium, and compares what it shows with the journal: everybody's place at several steps, a
conversation, calls and what they cost, who ran ahead; and uses it by keyboard, by links, in dark and on a phone.
Usage: viewer_test.py THRONG SOURCE [--journal FILE]

With axe-core of npm in tests/clients/node_modules the page is also checked by its rules."""

import argparse
import colorsys
import re
import subprocess
import tempfile
from pathlib import Path

from browser import Browser, skip_without_browser
from viewer_page import READ_COLOURS, RECORD_SAVES, RECORD_TEXTS, Journal, Viewer, load_axe, serving

RIGHT, SHIFT, HOME, END = "\ue014", "\ue008", "\ue011", "\ue010"
LOG = "return Array.from(document.querySelectorAll('#log li:not(.later)')).map((item) => item.textContent)"
READ_GROUND = """
  const copy = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
  copy.drawImage(document.getElementById('timeline'), -1, -60);
  return Array.from(copy.getImageData(0, 0, 1, 1).data);
"""
CAMERA = "(({scale, x, y}) => [scale, x, y])(viewer.camera)"


def colour_of(agent):
    return [round(255 * part) for part in colorsys.hls_to_rgb(agent * 137 % 360 / 360, 0.45, 0.70)]


def uncovered(places):
    """Those whom neither another agent nor the name below one can cover."""

    def covers(other, x, y):
        right, below = x - other[0], y - other[1]
        return max(abs(right), abs(below)) <= 2 or (abs(right) <= 5 and 0 < below <= 4)

    return [agent for agent, (x, y) in places.items() if not any(covers(places[b], x, y) for b in places if b != agent)]


def check_names(viewer, journal, step):
    """Most have their names on the map, which do not cover each other."""
    names = [text for text in viewer.js("drawnAt") if text[0] in journal.agents.values()]
    assert len(names) >= 0.8 * len(journal.agents), (step, names)
    for index, (name, left, line, width) in enumerate(names):
        for other, its_left, its_line, its_width in names[:index]:
            assert abs(line - its_line) > 8 or left + width <= its_left or its_left + its_width <= left, (step, name, other)


def check_places(viewer, journal, step):
    """At `step` everybody is drawn where the journal says. Returns the places that were compared, and their points of the page."""
    viewer.move(step)
    minutes = 6 * 60 + step // 6  # steps of 10 seconds, from 06:00
    clock = f"{minutes // 60:02}:{minutes % 60:02}, step {step} of {journal.steps}"
    assert viewer.text("clock") == clock, (viewer.text("clock"), clock)
    places = journal.places(step)
    agents = uncovered(places)
    assert 2 * len(agents) >= len(places), f"step {step}: only {len(agents)} of {len(places)} agents are uncovered"
    points = {}
    for agent, seen in zip(agents, viewer.browser.run(READ_COLOURS, [places[agent] for agent in agents])):
        wanted = colour_of(agent)
        assert max(abs(a - b) for a, b in zip(seen["colour"], wanted)) <= 3, (step, journal.agents[agent], seen, wanted)
        points[agent] = seen["point"]
    check_names(viewer, journal, step)
    return {agent: places[agent] for agent in agents}, points


def check_map(viewer, journal):
    check_places(viewer, journal, 0)
    assert "cafe" in viewer.js("drawn"), "places have no names"
    for part in (1, 3):
        step = journal.silent_step(journal.steps * part // 4)
        places, points = check_places(viewer, journal, step)
        assert any(place != journal.places(0)[agent] for agent, place in places.items()), f"nobody has moved by step {step}"
    agent, (x, y) = next(iter(points.items()))
    viewer.browser.click(x, y)
    status = viewer.text("status")
    assert status.startswith(journal.agents[agent] + " at "), (journal.agents[agent], status)
    scale, left, top = viewer.js(CAMERA)
    viewer.browser.touch([[300, 300]], [[310, 320]])
    assert viewer.js(CAMERA) == [scale, left + 10, top + 20], (viewer.js(CAMERA), scale, left, top)
    viewer.browser.touch([[300, 300], [400, 300]], [[300, 300], [500, 300]])
    assert abs(viewer.js(CAMERA)[0] - 2 * scale) < 1e-6, (viewer.js(CAMERA), scale)
    viewer.click("follow")
    viewer.js("viewer.page.drawNow()")
    centre = viewer.js("(({x, y}, map) => [x - map.clientWidth / 2, y - map.clientHeight / 2])(viewer.sides[0].map.pointOf(viewer.view.agent), document.getElementById('map'))")
    assert max(map(abs, centre)) < 1, centre
    viewer.click("reset")
    assert viewer.js(CAMERA) == [scale, left, top], "Reset does not show all"
    height = viewer.js("document.getElementById('map').clientHeight")
    assert top >= viewer.js("document.getElementById('map-tools').getBoundingClientRect().bottom - document.getElementById('map').getBoundingClientRect().top"), top
    inner = viewer.js("[innerWidth, innerHeight]")
    viewer.browser.resize(inner[0], inner[1] - 90)
    viewer.wait("document.getElementById('map').clientHeight < arguments[0] && viewer.camera.scale < arguments[1]", height, scale)
    viewer.click("zoom-in")
    moved = viewer.js(CAMERA)
    viewer.browser.resize(*inner)
    viewer.wait("document.getElementById('map').clientHeight === arguments[0]", height)
    viewer.js("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert viewer.js(CAMERA) == moved, "a resized window takes back what was moved by hand"
    viewer.click("reset")


def check_colours(viewer, journal):
    """By state, those who do the same have one colour, which the legend has too: in both schemes, by list and by key."""
    step = journal.silent_step(journal.steps // 2)
    places = journal.places(step)
    legend = "Array.from(document.querySelectorAll('#map-legend span')).map((span) => [span.textContent, getComputedStyle(span.firstChild).backgroundColor])"
    assert not viewer.js("document.getElementById('map-legend').checkVisibility()")
    seen = set()
    for scheme in ("light", "dark"):
        viewer.browser.emulate(prefers_color_scheme=scheme)
        viewer.choose("state", "coloured-by")
        viewer.move(step)
        colours = dict(viewer.js(legend))
        assert list(colours) == ["asleep", "talking", "on the way", "something else"], colours
        seen.add(str(colours))
        agents = uncovered(places)
        for agent, drawn in zip(agents, viewer.browser.run(READ_COLOURS, [places[agent] for agent in agents])):
            status = viewer.js("(({run}) => run.stateAt(run.places.get(arguments[0]), arguments[1]).status)(viewer.sides[0])", agent, step)
            text = "asleep" if status == "sleep" else "talking" if status.startswith("talk") else "on the way" if status.startswith("walk") else None
            wanted = [colours[text]] if text else [colours["something else"], colours["on the way"]]
            assert f"rgb({', '.join(map(str, drawn['colour']))})" in wanted, (agent, status, drawn, wanted)
    assert len(seen) == 2, "the colours are the same in the dark"
    viewer.browser.emulate(prefers_color_scheme="light")
    viewer.js("document.activeElement.blur()")
    viewer.browser.type("t")
    assert viewer.items("map-legend", "span")[:2] == ["waiting for a call", "ahead of the last"], viewer.items("map-legend", "span")
    viewer.browser.type("t", "c")
    assert viewer.js("document.getElementById('coloured-by').value") == "agent" and not viewer.js("document.getElementById('map-legend').checkVisibility()")


def check_conversation(viewer, journal):
    """The first line of the run is on the map, and its conversation in the lists of both who lead it."""
    step, speaker, line = journal.rows("SELECT step, name, text FROM conversations ORDER BY step, seq, agent LIMIT 1")[0]
    hearer = re.match(r"to ([^:]+): ", line)[1]
    viewer.move(step)
    said = {name: [text for text, in journal.rows("SELECT text FROM conversations WHERE step = ? AND name = ? ORDER BY seq", step, name)]
            for name in (speaker, hearer)}
    for name in (speaker, hearer):
        viewer.choose(name)
        log = [entry.removesuffix(" why") for entry in viewer.browser.run(LOG)]
        for other, texts in said.items():
            lines = [entry.split(f"{other}:", 1)[1] for entry in log if re.match(rf"\d\d:\d\d{other}:", entry)]
            assert lines[-len(texts):] == texts if texts else True, (name, other, lines, texts)
        words = "".join(viewer.js("drawn")).replace(" ", "")
        last = said[name][-1].split(": ", 1)[1].replace(" ", "") if said[name] else ""
        assert last in words, (name, last, words)
    viewer.move(step - 1)
    pale = viewer.items("log", ".later")
    assert any(said[speaker][0] in entry for entry in pale), "lines that are yet to come are not pale"
    return speaker, hearer


def check_calls(viewer, journal, speaker, hearer):
    """What the panels say of the calls of one who speaks is what the journal says, from the words to their prompt."""
    step, text, call = journal.rows("SELECT step, text, call FROM conversations WHERE name = ? ORDER BY step LIMIT 1", speaker)[0]
    viewer.choose(speaker)
    viewer.move(step)
    viewer.tab("log")
    viewer.js("Array.from(document.querySelectorAll('#log li')).find((item) => item.textContent.includes(arguments[0])).querySelector('button:not(.time)').click()", text)
    assert viewer.js("document.getElementById('calls-panel').checkVisibility()")
    prompt, answer, cost = journal.rows("SELECT prompt, answer, cost FROM calls WHERE step = ? AND name = ? AND call = ?", step, speaker, call)[0]
    viewer.wait("document.querySelector('#call pre')")
    shown = viewer.items("call", "pre")
    assert shown == [answer, prompt], (shown, answer, prompt)
    assert f"Cost{cost:.6f}" in viewer.text("call"), (cost, viewer.text("call"))
    memories = journal.rows("SELECT text FROM memories WHERE step = ? AND name = ? AND call = ?", step, speaker, call)
    assert all(memory in viewer.text("call") for memory, in memories) and memories, memories
    calls, tokens = journal.rows("SELECT calls, prompt_tokens + output_tokens FROM agent_usage WHERE name = ?", speaker)[0]
    assert viewer.text("calls-sum").startswith(f"{calls} calls, {tokens} tokens, cost "), viewer.text("calls-sum")
    assert len(viewer.items("calls")) == calls
    viewer.move(step + 1)
    viewer.tab("mind")
    viewer.click("recall")
    viewer.wait("document.querySelectorAll('#mind ol').length === 2")
    assert text.split(": ", 1)[1] in viewer.text("mind") or hearer in viewer.text("mind"), viewer.text("mind")
    assert any(item.startswith(hearer) for item in viewer.items("relations")), viewer.items("relations")
    ask = {"agent": viewer.js("viewer.sides[0].run.agents.find(({name}) => name === arguments[0]).id", speaker), "step": step + 1}
    for question in ("Where is the concert?", "<b>Who?</b>"):
        viewer.js("document.getElementById('question').value = arguments[0]", question)
        viewer.js("document.getElementById('interview').requestSubmit()")
        viewer.wait("document.querySelector('#answers dd').textContent !== '...'")
        assert viewer.items("answers", "dt")[0].endswith(f" {speaker}{question}"), viewer.items("answers", "dt")
        answer = viewer.js("fetch('api/interview', {method: 'POST', body: JSON.stringify(arguments[0])}).then((reply) => reply.json())", {**ask, "question": question})["answer"]
        assert viewer.items("answers", "dd")[0] == answer != "", (viewer.items("answers", "dd"), answer)
    viewer.tab("run")
    viewer.wait("document.querySelector('#costs td')")
    wanted = [[name, str(calls)] for name, calls in journal.rows("SELECT function, calls FROM function_usage ORDER BY function")]
    rows = viewer.js("Array.from(document.querySelector('#costs tbody').rows).map((row) => Array.from(row.cells).slice(0, 2).map((cell) => cell.textContent))")
    assert rows == wanted, (rows, wanted)
    viewer.tab("log")


def check_timeline(viewer, journal):
    """In the time of the run, agents are at steps of their own: those of their calls."""
    moment, = journal.rows("SELECT avg(issued_s) FROM calls")[0]
    begin, = journal.rows("SELECT min(issued_s) FROM calls")[0]
    viewer.js("viewer.page.setTime(arguments[0])", moment - begin)
    waiting = journal.rows("SELECT agent, step FROM calls WHERE issued_s <= ?1 AND issued_s + latency_s > ?1", moment)
    assert waiting, "nobody waits: the test needs another moment"
    for agent, step in waiting:
        found = viewer.js("viewer.sides[0].lens.stepOf(viewer.sides[0].run.places.get(arguments[0]))", agent)
        assert found == step, (agent, found, step, moment - begin)
    low, high, in_flight = map(int, re.match(r"steps (\d+) to (\d+), (\d+) calls in flight; ahead: ", viewer.text("standing")).groups())
    steps = [step for _, step in waiting]
    assert in_flight == len(waiting) and low <= min(steps) and max(steps) <= high and low < high, (viewer.text("standing"), waiting)
    viewer.js("viewer.page.setAgent(viewer.sides[0].lens.progress.standing(viewer.sides[0].lens.present(), viewer.view.time).ahead[0].place)")
    assert re.search(rf"\({high - low} steps ahead of the last; nearest of those behind: \w+, \d+ tiles away, \d+ steps behind\)", viewer.text("status")), viewer.text("status")
    assert any(re.match(r"\+\d+$", text) for text in viewer.js("viewer.page.drawNow() ?? drawn")), "nobody is drawn ahead"
    viewer.choose("calls of each agent", "timeline-kind")
    agent, step = waiting[0]
    point = viewer.js("(({x, y, width}, place) => [Math.round(x + 44 + (width - 44) * arguments[1] / viewer.sides[0].lens.progress.end), Math.round(y + 30 + 11 * place + 4)])"
                      "(document.getElementById('timeline').getBoundingClientRect(), viewer.sides[0].run.places.get(arguments[0]))", agent, moment - begin)
    viewer.browser.click(*point)
    assert viewer.js("[viewer.sides[0].run.agents[viewer.view.agent].id, viewer.view.call.step]") == [agent, step], viewer.js("viewer.view")
    viewer.choose("simulated time", "clock-kind")
    viewer.choose("who is how far", "timeline-kind")
    viewer.tab("log")
    viewer.click("clusters")
    step, = journal.rows("SELECT step FROM commits WHERE members LIKE '%,%' LIMIT 1")[0]
    viewer.move(step)
    viewer.wait("viewer.sides[0].lens.clustersOf()")
    wanted = [list(map(int, members.split(","))) for members, in journal.rows("SELECT members FROM commits WHERE step = ? AND members LIKE '%,%' ORDER BY first", step)]
    assert viewer.js("viewer.sides[0].lens.clustersOf()") == wanted
    viewer.click("clusters")


def check_search_and_links(viewer, journal, url):
    step, agent, call, word = journal.rows("SELECT step, agent, call, answer FROM calls WHERE length(answer) > 20 LIMIT 1")[0]
    viewer.tab("search")
    viewer.js("document.getElementById('search-text').value = arguments[0]", word[:20])
    viewer.js("document.getElementById('search').requestSubmit()")
    viewer.wait("document.querySelector('#hits button')")
    viewer.js("Array.from(document.querySelectorAll('#hits button')).find((item) => item.textContent.includes('call:')).click()")
    assert viewer.js("viewer.view.call") == {"step": step, "call": call}, viewer.js("viewer.view.call")
    viewer.wait("location.hash === arguments[0]", f"#step={step}&agent={agent}&call={call}")
    last = max(journal.agents)
    viewer.browser.open("about:blank")
    viewer.browser.open(f"{url}#step={journal.steps - 5}&agent={last}")
    viewer.wait_until_loaded()
    viewer.wait("viewer.view.step === arguments[0]", journal.steps - 5)
    assert viewer.text("status").startswith(journal.agents[last]), viewer.text("status")


def check_keys(viewer, journal):
    viewer.js("document.activeElement.blur()")
    viewer.browser.type(HOME)
    viewer.browser.type(RIGHT, RIGHT)
    assert viewer.js("viewer.view.step") == 2
    viewer.browser.type([SHIFT, RIGHT])
    assert viewer.js("viewer.view.step") == 62
    viewer.browser.type(END)
    assert viewer.js("viewer.view.step") == journal.steps
    place = viewer.js("viewer.view.agent")
    viewer.browser.type("]")
    assert viewer.js("viewer.view.agent") == (place + 1) % len(journal.agents)
    viewer.browser.type("t")
    assert viewer.js("viewer.view.time") is not None
    viewer.browser.type("t", HOME)
    before = viewer.text("clock")
    viewer.browser.type(" ")
    viewer.wait("document.getElementById('clock').textContent !== arguments[0]", before, seconds=30)
    viewer.browser.type(" ")
    assert viewer.text("play") == "Play"
    viewer.js("document.getElementById('step').focus()")  # as after a click on the slider
    viewer.browser.type(" ")
    assert viewer.text("play") == "Pause", "space does not play from the slider"
    viewer.browser.type(" ", HOME, [SHIFT, RIGHT])
    assert viewer.js("viewer.view.step") == 60
    viewer.browser.type("/")
    viewer.browser.type(*"t x")  # letters and spaces of a field are its own
    assert viewer.js("document.getElementById('search-text').value") == "t x" and viewer.js("viewer.view.time") is None
    viewer.tab("log")


def check_saves(viewer):
    viewer.browser.run(RECORD_SAVES)
    viewer.click("frame")
    viewer.wait("saved.length === 1 && saved[0].name")
    assert viewer.js("saved[0].blob.type + saved[0].name.replace(/\\d+/, 'N')") == "image/pngthrong-N.png"
    assert viewer.js("saved[0].blob.size") > 1000
    viewer.click("film")
    first = viewer.js("viewer.view.step")
    viewer.wait("viewer.view.step > arguments[0] + 40", first)  # two seconds
    viewer.click("film")
    viewer.wait("saved.length === 2 && saved[1].name")
    assert viewer.js("saved[1].blob.type") == "video/webm" and viewer.js("saved[1].blob.size") > 1000, viewer.js("saved[1].blob.size")
    assert not viewer.js("viewer.view.isPlaying")


def check_looks(viewer, axe):
    """Both schemes, wide and narrow: nothing is cut off, and axe finds nothing in any panel."""
    viewer.choose("state", "coloured-by")
    grounds = set()
    for scheme in ("light", "dark"):
        viewer.browser.emulate(prefers_color_scheme=scheme)
        for width, height in ((1280, 890), (360, 740)):
            viewer.browser.resize(width, height)
            assert viewer.js("document.documentElement.scrollWidth") <= width, (width, viewer.js("document.documentElement.scrollWidth"))
            assert viewer.js("['map', 'play', 'agent', 'step'].every((id) => document.getElementById(id).getBoundingClientRect().right <= innerWidth)")
            assert viewer.js("document.getElementById('map').clientHeight") >= 150, viewer.js("document.getElementById('map').clientHeight")
            viewer.js("viewer.page.drawNow()")
            grounds.add(str(viewer.browser.run(READ_GROUND)))
            for tab in ("log", "calls", "mind", "run", "search") if axe else ():
                viewer.tab(tab)
                found = viewer.violations(axe)
                assert not found, (scheme, width, tab, found)
    assert len(grounds) == 2, grounds
    viewer.browser.resize(1280, 890)
    viewer.browser.emulate(prefers_color_scheme="light")


def check(browser, url, journal, axe):
    viewer = Viewer(browser, url)
    viewer.wait_until_loaded()
    assert viewer.text("run") == f"town, {len(journal.agents)} agents", viewer.text("run")
    browser.run(RECORD_TEXTS)
    check_map(viewer, journal)
    check_colours(viewer, journal)
    speaker, hearer = check_conversation(viewer, journal)
    check_calls(viewer, journal, speaker, hearer)
    check_timeline(viewer, journal)
    check_search_and_links(viewer, journal, url)
    check_keys(viewer, journal)
    check_saves(viewer)
    check_looks(viewer, axe)
    complaints = browser.console()
    assert not complaints, complaints
    print(f"{len(journal.agents)} agents, {speaker} talks with {hearer}: as the journal says")


def main():
    flags = argparse.ArgumentParser()
    flags.add_argument("throng", type=Path)
    flags.add_argument("source", type=Path)
    flags.add_argument("--journal", type=Path, help="of a run of the built-in town with a price; default: a short one, made here")
    flags = flags.parse_args()
    skip_without_browser()
    throng = flags.throng.resolve()
    with tempfile.TemporaryDirectory() as folder:
        journal = flags.journal or Path(folder) / "town.journal"
        if not flags.journal:
            subprocess.run([throng, "run", "--agents", "10", "--until", "09:00", "--price", "1,2", "--quiet", "--journal", journal], check=True, stdout=subprocess.DEVNULL)
        with serving(throng, journal) as url:
            browser = Browser(Path(folder) / "profile")
            try:
                check(browser, url, Journal(journal), load_axe(flags.source))
            finally:
                browser.close()


if __name__ == "__main__":
    main()
