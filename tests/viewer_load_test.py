"""How long the viewer takes to open a long run of many agents, in headless Chromium: until the first picture of the map, and until
everything is there. Usage: viewer_load_test.py THRONG [--agents N] [--steps N] [--journal FILE] [--most SECONDS]

The figure of docs/viewer.md: --agents 1000 --steps 8640"""

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

from browser import Browser, skip_without_browser
from viewer_page import Viewer, serving


def measure(browser, url):
    begin = time.monotonic()
    viewer = Viewer(browser, url)
    viewer.wait("globalThis.viewer?.sides[0].run.loaded > 0", seconds=600)
    first = time.monotonic() - begin
    viewer.wait_until_loaded()
    return first, time.monotonic() - begin, viewer


def main():
    flags = argparse.ArgumentParser()
    flags.add_argument("throng", type=Path)
    flags.add_argument("--agents", type=int, default=100)
    flags.add_argument("--steps", type=int, default=2000)
    flags.add_argument("--journal", type=Path, help="of such a run; default: made here")
    flags.add_argument("--most", type=float, default=60, help="seconds until everything must be there")
    flags = flags.parse_args()
    skip_without_browser()
    throng = flags.throng.resolve()
    with tempfile.TemporaryDirectory() as folder:
        journal = flags.journal or Path(folder) / "day.journal"
        if not journal.exists():
            subprocess.run([throng, "run", "--agents", str(flags.agents), "--steps", str(flags.steps), "--llm", "fake", "--quiet", "--journal", journal], check=True,
                           stdout=subprocess.DEVNULL)
        with serving(throng, journal) as url:
            browser = Browser(Path(folder) / "profile")
            try:
                first, all_there, viewer = measure(browser, url)
                steps, changes = viewer.js("(({run}) => [run.loaded, run.agents.reduce((sum, {steps}) => sum + steps.length, 0)])(viewer.sides[0])")
                frame = viewer.js("(() => { const begin = performance.now(); viewer.page.setStep(viewer.view.step + 1); viewer.page.drawNow(); return performance.now() - begin; })()")
                assert viewer.js("document.getElementById('clock-wall').disabled") == viewer.js("viewer.sides[0].lens.progress.end === 0")
                browser.type("t")
                assert (viewer.js("viewer.view.time") is None) == viewer.js("document.getElementById('clock-wall').disabled")
                complaints = browser.console()
                assert not complaints, complaints
            finally:
                browser.close()
    print(f"{flags.agents} agents, {steps} steps, {changes} changes of place: first picture after {first:.1f} s, all after {all_there:.1f} s, a frame in {frame:.0f} ms")
    assert all_there <= flags.most, f"it took {all_there:.1f} s, allowed: {flags.most}"


if __name__ == "__main__":
    main()
