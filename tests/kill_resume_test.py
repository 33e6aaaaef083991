"""Kills runs at random moments (kill -9) and resumes them: nothing that the journal had may be lost or asked again, and
the journal must end up the same as that of a run which nobody disturbed."""

import argparse
import json
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Columns that no order of execution and no interruption may change.
CANONICAL = {
    "manifest": "SELECT key, value FROM manifest WHERE key IN ('world','scenario','agents','steps','seed','hash') ORDER BY key",
    "agents": "SELECT * FROM agents ORDER BY agent",
    "completions": "SELECT step, agent, call, function, prompt_digest, finish, text, prompt_tokens, output_tokens "
    "FROM completions ORDER BY step, agent, call",
    "commits": "SELECT * FROM commits ORDER BY step, first",
    "bodies": "SELECT * FROM bodies ORDER BY step, agent",
    "cells": "SELECT * FROM cells ORDER BY step, x, y",
    "events": "SELECT * FROM events ORDER BY step, agent, seq",
    "steps": "SELECT * FROM steps ORDER BY step",
}


def rows(path, query):
    """What survived; nothing if the process died before the tables were there."""
    database = sqlite3.connect(path)
    try:
        assert database.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        return database.execute(query).fetchall()
    except sqlite3.OperationalError as error:
        assert "no such table" in str(error), error
        return []
    finally:
        database.close()


def canonical(path):
    return {table: rows(path, query) for table, query in CANONICAL.items()}


def finish(command):
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stderr}"
    return json.loads(done.stdout)


def start_and_kill(command, seconds):
    """False if the process ended by itself before."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(timeout=seconds)
        return False
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("throng", type=lambda path: Path(path).resolve(), help="the program")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0, help="longest time between two kills")
    parser.add_argument("--agents", default="24")
    parser.add_argument("--steps", default="1500")
    parser.add_argument("--llm", default="fake:latency=0.1,spread=0.9")
    arguments = parser.parse_args()
    random.seed(arguments.seed)

    with tempfile.TemporaryDirectory() as folder:
        world = ["--agents", arguments.agents, "--steps", arguments.steps, "--llm", arguments.llm, "--quiet", "--json"]
        reference = Path(folder) / "reference.journal"
        expected = finish([arguments.throng, "run", *world, "--journal", reference])
        slow = [] if arguments.llm == "local" else ["--real-time"]
        kills = 0
        runs = 0
        while kills < arguments.kills:
            runs += 1
            journal = Path(folder) / f"killed{runs}.journal"
            command = [arguments.throng, "run", *world, *slow, "--journal", journal]
            answers = {}
            while start_and_kill(command, random.uniform(0.02, arguments.seconds)):
                kills += 1
                if journal.exists():
                    found = {row[:3]: row for row in rows(journal, CANONICAL["completions"])}
                    lost = [key for key, row in answers.items() if found.get(key) != row]
                    assert not lost, f"answers are gone or changed: {lost[:5]}"
                    answers = found
                if kills >= arguments.kills:
                    break
                if journal.exists() and rows(journal, "SELECT 1 FROM manifest"):
                    command = [arguments.throng, "resume", journal, "--quiet", "--json"]
                else:
                    journal.unlink(missing_ok=True)  # it had not begun
            if not journal.exists() or not rows(journal, "SELECT 1 FROM manifest"):
                continue
            before = len(rows(journal, CANONICAL["completions"]))
            result = finish([arguments.throng, "resume", journal, "--quiet", "--json"])
            assert result["hash"] == expected["hash"], "the resumed run came out differently"
            assert result["replayed_calls"] == before, f"{before} answers were kept, {result['replayed_calls']} used"
            assert result["llm_calls"] == expected["llm_calls"]
            assert canonical(journal) == canonical(reference), "the journals differ"
        print(f"{kills} kills in {runs} runs of {expected['llm_calls']} calls: nothing lost, nothing asked twice")


if __name__ == "__main__":
    start = time.monotonic()
    main()
    print(f"{time.monotonic() - start:.0f} s", file=sys.stderr)
