"""Kills runs whose agents use tools at random moments (kill -9), and resumes them: what is done at commit must never be
done twice, nothing else may be lost, and what was interrupted must be told as unknown, in the journal and in the report."""

import argparse
import collections
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import throng

AGENTS, STEPS = 6, 25


def append(name, agent, step):
    """One line for one use, written at once: what a killed process has written stays."""
    end = os.open(os.path.join(os.environ["EFFECTS_FOLDER"], name), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(end, f"{agent} {step}\n".encode())
    os.close(end)


@throng.tool(effect="at-commit")
def pay(agent, step):
    append("pay", agent, step)
    time.sleep(0.004)
    return "paid"


@throng.tool(effect="idempotent")
def save(agent, step):
    append("save", agent, step)
    return step


@throng.tool(effect="pure")
def flaky(step):
    time.sleep(0.002)
    if os.urandom(1)[0] < 60:
        raise OSError("no luck")
    return os.urandom(2).hex()


class Payers(throng.World):
    width, height, perception_radius = 60, 1, 2
    tools = [pay, save, flaky, throng.CommandTool(
        "mail", ["sh", "-c", 'read line; [ -n "$line" ] || exit 1; echo "$line" | tr -dc "0-9 \\n" >> "$EFFECTS_FOLDER/mail"; sleep 0.003'])]

    def agents(self):
        return [throng.Agent(f"a{i}", (4 * i, 0), mind=()) for i in range(AGENTS)]

    def proceed(self, view, agent):
        mind = agent.mind
        try:
            luck = yield throng.Tool("flaky", {"step": view.step})
        except throng.ToolError as error:
            luck = str(error)
        name = ("pay", "save", "mail")[view.random.randrange(3)]
        try:
            yield throng.Tool(name, {"agent": agent.id, "step": view.step})
        except throng.ToolError as error:
            assert error.code == "unknown", error
            mind = (*mind, (name, view.step))
        near = len(view.neighbours())
        answer = yield throng.Call(f"{luck}, {near} near. Left?", choices=["yes", "no"])
        x = agent.pos.x + (-1 if answer == "yes" else 1)
        return throng.Intent(pos=(min(59, max(0, x)), 0), mind=mind)


def run(journal, mode):
    """What one process does; prints what it knows in the end."""
    result = throng.run(Payers(), "fake:latency=0.01,spread=0.9", steps=STEPS, mode=mode, journal=journal, resume=True)
    unknown = [[agent.id, step] for agent in result.agents for _, step in agent.mind]
    print(json.dumps({"hash": result.hash, "effects": result.effects, "unknown_effects": result.unknown_effects,
                      "unknown": unknown}))


def rows(path, query):
    database = sqlite3.connect(path)
    try:
        return database.execute(query).fetchall()
    except sqlite3.OperationalError as error:
        assert "no such table" in str(error), error
        return []
    finally:
        database.close()


def sessions(journal):
    """How often a run has begun on it, or gone on."""
    found = rows(journal, "SELECT count(*) FROM sessions") if journal.exists() else []
    return found[0][0] if found else 0


def uses(folder, name):
    path = folder / name
    lines = path.read_text().splitlines() if path.exists() else []
    return collections.Counter(tuple(map(int, line.split())) for line in lines)


def play(folder, mode, most_kills, longest):
    """Kills one run again and again, then lets it end; returns the numbers of kills and of unknown effects."""
    journal = folder / "a.journal"
    command = [sys.executable, __file__, "--child", mode, str(journal)]
    environment = {**os.environ, "EFFECTS_FOLDER": str(folder)}
    kills = 0
    while True:
        before = sessions(journal)
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            # Starting takes a while, in which there is nothing to interrupt.
            while kills < most_kills and process.poll() is None and sessions(journal) == before:
                time.sleep(0.005)
            out, err = process.communicate(timeout=random.uniform(0, longest) if kills < most_kills else None)
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += 1
    assert process.returncode == 0, err
    result = json.loads(out)
    time.sleep(0.05)  # commands outlive the process that started them
    paid, mailed, saved = uses(folder, "pay"), uses(folder, "mail"), uses(folder, "save")
    twice = [use for name in (paid, mailed) for use, count in name.items() if count != 1]
    assert not twice, f"done more than once: {twice}"
    asked = collections.defaultdict(dict)
    for step, agent, tool, outcome in rows(journal, "SELECT step, agent, function, outcome FROM effects"):
        asked[tool][agent, step] = outcome
    assert sum(map(len, asked.values())) == result["effects"] == 2 * AGENTS * STEPS
    for tool, done in (("pay", paid), ("mail", mailed), ("save", saved)):
        outcomes = asked[tool]
        assert set(outcomes.values()) <= {"done", "unknown"}, outcomes
        missing = [use for use, outcome in outcomes.items() if outcome == "done" and use not in done]
        assert not missing, f"{tool} is said to be done, but is not: {missing}"
        assert set(done) <= set(outcomes), f"{tool} was done for nobody: {set(done) - set(outcomes)}"
    unknown = sorted([*use] for outcomes in asked.values() for use, outcome in outcomes.items() if outcome == "unknown")
    assert unknown == sorted(result["unknown"]) and len(unknown) == result["unknown_effects"], (unknown, result)
    assert "unknown" not in asked["save"].values()
    again = json.loads(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert again == result and uses(folder, "pay") == paid, "a run that was done is not the same when it is repeated"
    return kills, len(unknown)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", nargs=2, metavar=("MODE", "JOURNAL"))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.8, help="longest time from a run's begin to its end, at first")
    arguments = parser.parse_args()
    if arguments.child:
        return run(arguments.child[1], arguments.child[0])
    random.seed(arguments.seed)
    kills, unknown, runs = 0, 0, 0
    modes = ("ooo", "speculative", "lockstep")
    while kills < arguments.kills:
        with tempfile.TemporaryDirectory() as folder:
            wanted = min(7, arguments.kills - kills)
            some, of_them_unknown = play(Path(folder), modes[runs % 3], wanted, arguments.seconds)
        if some < wanted:
            arguments.seconds *= 0.6  # this machine ends a run sooner
        kills, unknown, runs = kills + some, unknown + of_them_unknown, runs + 1
        assert runs < 10 + arguments.kills, "the runs end before they are killed"
    assert unknown > 0 or arguments.kills < 20, "no kill has hit an effect: it has tested nothing"
    print(f"{kills} kills in {runs} runs of {2 * AGENTS * STEPS} effects: none at commit done twice, {unknown} unknown, all told")


if __name__ == "__main__":
    main()
