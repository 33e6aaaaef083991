"""Kills runs and replays at random moments (kill -9) and resumes them, from their start or from a snapshot, of which some
were being written and some are damaged: nothing that the journal had may be lost or asked again, and the journal must end
up the same as that of a run which nobody disturbed."""

import argparse
import itertools
import json
import random
import shutil
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
    "calls": "SELECT step, agent, call, function, digest, system, prompt, finish, answer, error, prompt_tokens, output_tokens "
    "FROM calls ORDER BY step, agent, call",
    "memories": "SELECT * FROM memories ORDER BY step, agent, call, seq",
    "commits": "SELECT * FROM commits ORDER BY step, first",
    "bodies": "SELECT * FROM bodies ORDER BY step, agent",
    "cells": "SELECT * FROM cells ORDER BY step, x, y",
    "events": "SELECT * FROM events ORDER BY step, agent, seq",
    "presence": "SELECT * FROM presence ORDER BY step, agent",
    "interventions": "SELECT step, what FROM interventions ORDER BY step, id",
    "steps": "SELECT * FROM steps ORDER BY step",
}
# With the times of asking and arrival: an answer that was asked for again would have others.
ANSWERS = "SELECT * FROM calls ORDER BY step, agent, call"
ANSWER_STEPS = "SELECT step FROM calls"
SNAPSHOTS = "SELECT step FROM snapshots ORDER BY step"
# A run that was killed after its last word is repeated from its start: nothing of it is left to do.
IS_DONE = "SELECT 1 FROM manifest WHERE key = 'hash'"
# So close to each other that some runs are killed while one is written.
SNAPSHOT_EVERY = ["--snapshot-every", "10"]
# What happens in the town from outside.
EVENTS = ["100 leave Ben", "400 at cafe for 60: a fire", "600 arrive Ben at park", "700 announce Radio said: it rains."]

# Other spaces than the town's grid: a plane and a network.
EXAMPLES = [("plaza", "speculative"), ("followers", "ooo")]


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


def has_begun(path):
    return path.exists() and rows(path, "SELECT 1 FROM manifest")


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


def write_trace(path, agents=20, steps=2500):
    """A recorded day of walkers who begin something new now and then, and talk with the next one."""
    chance = random.Random(7)
    names = [f"walker{i}" for i in range(agents)]
    places = [[chance.randrange(60), chance.randrange(60)] for _ in names]
    lines = [{"agents": names, "steps": steps, "sec_per_step": 10, "grid": [60, 60]}]
    for step in range(steps):
        moved = []
        for agent, place in enumerate(places):
            if step > 0 and chance.random() < 0.5:
                continue
            place[0] = min(59, max(0, place[0] + chance.choice([-1, 0, 1]) * (step > 0)))
            place[1] = min(59, max(0, place[1] + chance.choice([-1, 0, 1]) * (step > 0)))
            moved.append([agent, *place])
        lines.append({"s": step, "m": moved})
        for agent in range(agents):
            if step == 0 or chance.random() < 0.003:
                lines.append({"s": step, "a": agent, "action": f"task {step} (part {agent})", "chat": None})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def damage_snapshot(path, step):
    database = sqlite3.connect(path)
    with database:
        content = bytearray(database.execute("SELECT content FROM snapshot_parts WHERE step = ?", (step,)).fetchone()[0])
        content[random.randrange(len(content))] ^= 0x41
        database.execute("UPDATE snapshot_parts SET content = ? WHERE step = ?", (bytes(content), step))
    database.close()


class Subject:
    """A command whose runs are killed, and what an undisturbed one leaves."""

    def __init__(self, throng, name, start, folder, seconds):
        self.throng, self.name, self.start, self.folder, self.seconds = throng, name, start, folder, seconds
        self.reference = folder / f"{name}.journal"
        begin = time.monotonic()
        self.expected = finish([throng, *start, *SNAPSHOT_EVERY, "--journal", self.reference])
        self.duration = time.monotonic() - begin
        self.canonical = canonical(self.reference)
        self.kills = self.runs = self.from_snapshots = 0
        self.check_resumed(self.copy(self.reference))

    def resume(self, journal, *flags):
        return [self.throng, "resume", journal, "--quiet", "--json", *flags]

    def next_journal(self):
        return self.folder / f"{self.name}{self.runs}.journal"

    def copy(self, journal):
        """What is left of a journal, as a file; None: its run had not begun, and nothing is left any more."""
        copy = self.folder / "copy.journal"
        for part in self.folder.glob(journal.name + "*"):
            shutil.copy(part, self.folder / part.name.replace(journal.name, copy.name))
        if has_begun(copy):
            return copy
        for part in [*self.folder.glob(journal.name + "*"), *self.folder.glob(copy.name + "*")]:
            part.unlink()
        return None

    def check_resumed(self, copy):
        """Goes on with a copy, in virtual time, to the end."""
        before = rows(copy, ANSWERS)
        steps = [step for step, in rows(copy, ANSWER_STEPS)]
        snapshots = [step for step, in rows(copy, SNAPSHOTS)]
        how = random.choice(["from its start", "from a snapshot", "beside a damaged snapshot"])
        if how == "beside a damaged snapshot" and snapshots:
            damage_snapshot(copy, snapshots.pop())
        flags = ["--from-start"] if how == "from its start" else []
        first = snapshots[-1] if snapshots and not flags and not rows(copy, IS_DONE) else 0
        self.from_snapshots += first > 0
        result = finish(self.resume(copy, "--real-time=false", *flags))
        assert result["hash"] == self.expected["hash"], f"{self.name}: the resumed run came out differently"
        used = sum(step >= first for step in steps)
        assert result["replayed_calls"] == used, f"{used} answers from step {first} on, {result['replayed_calls']} used"
        assert result["llm_calls"] == self.expected["llm_calls"]
        assert set(before) <= set(rows(copy, ANSWERS)), "an answer that was kept was asked for again"
        assert canonical(copy) == self.canonical, f"{self.name}: the journals differ"
        for part in self.folder.glob(copy.name + "*"):
            part.unlink()

    def kill_one_run(self, kills):
        """Kills one run again and again, at most so many times; each time what is left is resumed to the end."""
        self.runs += 1
        journal = self.next_journal()
        command = [self.throng, *self.start, *SNAPSHOT_EVERY, *self.slow(), "--journal", journal]
        answers = set()
        while kills > 0 and start_and_kill(command, random.uniform(0.01, self.seconds or self.duration)):
            copy = self.copy(journal)
            if copy is None:  # a kill that shows nothing: it does not count
                continue
            kills -= 1
            self.kills += 1
            found = set(rows(copy, ANSWERS))
            assert answers <= found, "answers are gone or changed"
            answers = found
            self.check_resumed(copy)
            command = self.resume(journal)

    def slow(self):
        return ["--real-time"] if "run" in self.start and "local" not in self.start else []


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("throng", type=lambda path: Path(path).resolve(), help="the program")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--modes", default="lockstep,ooo,speculative")
    parser.add_argument("--seconds", type=float, default=1.5, help="longest time between two kills of a run")
    parser.add_argument("--agents", default="24")
    parser.add_argument("--steps", default="1500")
    parser.add_argument("--llm", default="fake:latency=0.1,spread=0.9")
    arguments = parser.parse_args()
    random.seed(arguments.seed)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trace = folder / "trace.jsonl"
        write_trace(trace)
        world = ["--agents", arguments.agents, "--steps", arguments.steps, "--llm", arguments.llm, "--quiet", "--json"]
        starts = []
        for mode in arguments.modes.split(","):
            run = ["run", *world, "--mode", mode, *(flag for event in EVENTS for flag in ("--event", event))]
            starts.append((f"run-{mode}", run, arguments.seconds))
            starts.append((f"replay-{mode}", ["replay", trace, "--json", "--mode", mode], None))
        embeds = ["run", *world, "--mode", "speculative", "--embed", "fake"]
        starts.append(("embeds-speculative", embeds, arguments.seconds))
        for scenario, mode in EXAMPLES:
            run = ["run", "--scenario", scenario, "--llm", arguments.llm, "--quiet", "--json", "--mode", mode]
            starts.append((f"{scenario}-{mode}", run, arguments.seconds))
        if arguments.kills < len(starts):
            parser.error(f"--kills: found {arguments.kills}, allowed: {len(starts)} or more, one of each that is killed")
        subjects = [Subject(arguments.throng, name, start, folder, seconds) for name, start, seconds in starts]
        each_at_once = min(3, arguments.kills // len(subjects))
        for subject in itertools.cycle(subjects):
            left = arguments.kills - sum(each.kills for each in subjects)
            if left <= 0:
                break
            subject.kill_one_run(min(left, each_at_once))
        assert arguments.kills < 20 or sum(subject.from_snapshots for subject in subjects) > 0
        for subject in subjects:
            print(
                f"{subject.name}: {subject.kills} kills in {subject.runs} runs of {subject.expected['llm_calls']} calls: "
                f"nothing lost, nothing asked twice, the same hash, {subject.from_snapshots} times from a snapshot"
            )


if __name__ == "__main__":
    start = time.monotonic()
    main()
    print(f"{time.monotonic() - start:.0f} s", file=sys.stderr)
