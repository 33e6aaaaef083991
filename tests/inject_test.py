"""Lets things happen in a run from another process, while it runs and while it is stopped. What came out must be what a
lock-step run makes of the same events at the same steps."""

import json
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORLD = ["--agents", "20", "--steps", "1500", "--llm", "fake:latency=0.1,spread=0.9"]


def rows(journal, query):
    database = sqlite3.connect(journal)
    try:
        return database.execute(query).fetchall()
    finally:
        database.close()


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stderr}"
    return done.stdout


def wait_for(journal, query, number):
    """Until the running program has committed so many rows."""
    for _ in range(600):
        if journal.exists() and rows(journal, "SELECT 1 FROM sqlite_master WHERE name = 'steps'"):
            if rows(journal, query)[0][0] >= number:
                return
        time.sleep(0.05)
    raise AssertionError(f"{query} did not reach {number} in 30 s")


def main():
    throng = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as name:
        journal = Path(name) / "live.journal"
        decided = "SELECT count(*) FROM interventions WHERE step IS NOT NULL"
        process = subprocess.Popen(
            [throng, "run", *WORLD, "--real-time", "--quiet", "--journal", journal], stdout=subprocess.DEVNULL
        )
        try:
            wait_for(journal, "SELECT count(*) FROM steps", 50)
            run(throng, "journal", "inject", journal, "leave Ben")
            run(throng, "journal", "inject", journal, "at cafe for 30: a fire", "--at", "1200")
            wait_for(journal, decided, 2)
            refused = subprocess.run(
                [throng, "journal", "inject", journal, "leave Nobody"], capture_output=True, text=True
            )
            assert refused.returncode == 1 and "nobody has this name" in refused.stderr, refused.stderr
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        begun = max(rows(journal, f"SELECT max(step) FROM {table}")[0][0] for table in ("calls", "commits"))
        run(throng, "journal", "inject", journal, "arrive Ben at park")  # as soon as possible: nobody was there yet
        result = json.loads(run(throng, "resume", journal, "--real-time=false", "--quiet", "--json"))
        events = rows(journal, "SELECT step, what FROM interventions ORDER BY step, id")
        assert [what for _, what in events if what != "at cafe for 30: a fire"] == ["leave Ben", "arrive Ben at park"]
        steps = {what: step for step, what in events}
        assert 50 < steps["leave Ben"], events
        assert steps["arrive Ben at park"] == max(begun + 1, steps["leave Ben"]), (events, begun)
        assert steps["at cafe for 30: a fire"] == 1200, events
        flags = [flag for step, what in events for flag in ("--event", f"{step} {what}")]
        lockstep = json.loads(
            run(throng, "run", *WORLD, "--mode", "lockstep", *flags, "--no-journal", "--quiet", "--json")
        )
        assert lockstep["events"] == result["events"] == 3, (lockstep["events"], result["events"])
        assert lockstep["hash"] == result["hash"], "the live run and its repetition in lock-step differ"
        print(f"events at steps {sorted(steps.values())}, the same hash")


if __name__ == "__main__":
    main()
