"""Pauses runs over HTTP at random moments, in three modes: a paused run does nothing and says so, can be stopped and killed, and ends
with the hash of an undisturbed one.
Usage: pause_test.py THRONG"""

import contextlib
import json
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from viewer_page import serving

WORLD = ["--agents", "10", "--steps", "700", "--llm", "fake:latency=0.1,spread=0.9"]
WAIT_S = 60


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stderr}"
    return done.stdout


def hash_of(output):
    return json.loads(output)["hash"]


class Live:
    """A run in another process, and the server of its page."""

    def __init__(self, throng, journal, *command):
        self.throng, self.journal = throng, journal
        self.process = subprocess.Popen([throng, *command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        self.wait(lambda: self.count("sessions"), "the run does not begin")
        self.url = self.stack.enter_context(serving(self.throng, self.journal))
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.communicate()
        self.stack.close()

    def count(self, table):
        if not self.journal.exists():
            return 0
        with contextlib.closing(sqlite3.connect(self.journal)) as database:
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone():
                return 0
            return database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]

    def wait(self, condition, what):
        deadline = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < deadline, what
            time.sleep(0.02)

    def info(self):
        with urllib.request.urlopen(f"{self.url}/api/run") as reply:
            return json.load(reply)

    def pause(self, paused):
        """The status of the reply. Waits until the run stands still, or is done."""
        request = urllib.request.Request(f"{self.url}/api/pause", json.dumps({"paused": paused}).encode())
        try:
            urllib.request.urlopen(request)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)["error"]
        if paused:
            self.wait(lambda: (self.info()["pause"] or {}).get("begun") or self.process.poll() is not None, "it does not stand still")
        return 200, ""


def check_mode(throng, folder, mode, wanted):
    journal = folder / f"{mode}.journal"
    pauses = 0
    with Live(throng, journal, "run", *WORLD, "--real-time", "--mode", mode, "--journal", journal) as live:
        while live.process.poll() is None:
            time.sleep(random.random() * 0.3)
            status, _ = live.pause(True)
            if status != 200 or live.process.poll() is not None:
                break
            pauses += 1
            steps = live.count("commits")
            time.sleep(0.3)
            assert live.count("commits") == steps, f"{mode}: a paused run went on"
            live.pause(False)
        assert hash_of(live.process.communicate(timeout=WAIT_S)[0]) == wanted, f"{mode}: another hash"
    assert pauses > 0, f"{mode}: it was never paused"
    return pauses


def check_end(throng, folder, wanted):
    """Killed and stopped while it stands still."""
    journal = folder / "killed.journal"
    with Live(throng, journal, "run", *WORLD, "--real-time", "--journal", journal) as live:
        assert live.pause(True)[0] == 200
    with Live(throng, journal, "resume", journal) as live:
        live.wait(lambda: live.count("sessions") == 2, "it is not resumed")
        assert live.pause(True)[0] == 200
        live.process.send_signal(signal.SIGINT)
        _, errors = live.process.communicate(timeout=WAIT_S)
        assert live.process.returncode != 0 and "stopped at step" in errors, errors
        status, message = live.pause(True)
        assert status == 400 and "no program runs it" in message, (status, message)
    assert hash_of(run(throng, "resume", journal, "--quiet", "--json")) == wanted, "resumed: another hash"


def main():
    throng = Path(sys.argv[1]).resolve()
    wanted = hash_of(run(throng, "run", *WORLD, "--mode", "lockstep", "--no-journal", "--quiet", "--json"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pauses = {mode: check_mode(throng, folder, mode, wanted) for mode in ("lockstep", "ooo", "speculative")}
        check_end(throng, folder, wanted)
    print(f"pauses {pauses}, and always the same hash")


if __name__ == "__main__":
    main()
