"""Reporters and frames: what they measure, in every mode, and what they refuse."""

import contextlib
import csv
import os
import sqlite3
import tempfile
import traceback
import unittest

import support
import throng

SLOW = "fake:latency=1,spread=0.9"
MODES = ("single", "lockstep", "ooo", "speculative")


class Family(throng.World):
    """Agent 0 bears agent 1 in step 2; agent 2 leaves in step 4; an event from outside brings agent 3 at step 5."""

    width = height = 40
    perception_radius = 2

    def agents(self):
        return [throng.Agent("mother", (0, 0), mind=0), throng.Agent("child", (0, 0), present=False),
                throng.Agent("guest", (30, 30), mind=0), throng.Agent("late", (20, 20), present=False)]

    def proceed(self, view, agent):
        yield throng.Call(f"{agent.name} {view.step}", max_tokens=4)
        return throng.Intent(mind=(agent.mind or 0) + 1, write={agent.pos: f"{agent.name} {view.step}"})

    def resolve(self, step, members, commit):
        super().resolve(step, members, commit)
        for agent in members:
            if agent.id == 0 and step == 2:
                commit.birth(1, (0, 1), mind=0)
            if agent.id == 2 and step == 4:
                commit.remove(2)

    def intervene(self, change, what):
        change.add(3, (20, 20), mind=100)


MINDS = throng.Reporters(
    agent={"mind": lambda agent: repr(agent.mind), "x": lambda agent: agent.pos.x,
           "status": lambda agent: agent.status},
    model={"agents": lambda state: len(state.agents), "cells": lambda state: str(sorted(state.cells.items())),
           "events": lambda state: str(state.events)})


class ReportersTest(unittest.TestCase):
    def test_every_mode_measures_the_same(self):
        for make_world in (support.Line, lambda: support.Line(8, 3)):
            results = [throng.run(make_world(), SLOW, mode=mode, steps=20, reporters=MINDS) for mode in MODES]
            self.assertGreater(results[2].max_spread, 0)
            for result in results[1:]:
                self.assertEqual(result.frame("agents"), results[0].frame("agents"))
                self.assertEqual(result.frame("model"), results[0].frame("model"))

    def test_it_is_the_state_after_the_step(self):
        frames = []
        for steps in (1, 2, 3, 4):
            result = throng.run(support.Line(), SLOW, steps=steps, reporters=MINDS)
            last = result.frame("agents").where(step=steps - 1)
            self.assertEqual(last["mind"], [repr(agent.mind) for agent in result.agents])
            self.assertEqual(last["status"], [agent.status for agent in result.agents])
            self.assertEqual(result.frame("model")["cells"][-1], str(sorted(result.cells.items())))
            frames.append(result.frame("agents"))
        for step in range(3):
            self.assertEqual(frames[step], throng.Frame((name, values[:6 * (step + 1)])
                                                        for name, values in frames[3].items()))

    def test_they_come_in_the_order_of_steps_and_agents(self):
        calls = []
        throng.run(support.Line(), SLOW, steps=10, reporters=throng.Reporters(
            agent={"x": lambda agent: calls.append(agent.id)},
            model={"x": lambda state: calls.append(("step", state.step))}))
        expected = [call for step in range(10) for call in (*range(6), ("step", step))]
        self.assertEqual(calls, expected)

    def test_births_deaths_and_events_from_outside(self):
        for mode in MODES:
            result = throng.run(Family(), SLOW, mode=mode, steps=8, events=[(5, "late arrives")], reporters=MINDS)
            agents = result.frame("agents")
            there = [agents.where(step=step)["name"] for step in range(8)]
            self.assertEqual(there, [["mother", "guest"]] * 2 + [["mother", "child", "guest"]] * 2
                             + [["mother", "child"]] + [["mother", "child", "late"]] * 3)
            self.assertEqual(agents.where(name="late")["mind"], ["101", "102", "103"])
            self.assertEqual(result.frame("model")["agents"], [2, 2, 3, 3, 2, 3, 3, 3])

    def test_every_so_many_steps(self):
        result = throng.run(support.Line(), "fake", steps=25, reporters=throng.Reporters(
            model={"count": lambda state: len(state.agents)}, every=10))
        self.assertEqual(result.frame("model"), {"step": [9, 19], "count": [6, 6]})
        with self.assertRaisesRegex(throng.Error, "'agents'.*steps"):
            throng.run(support.Line(), "fake", steps=1).frame("agents")

    def test_a_resumed_run_measures_from_the_start(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.journal")
            throng.run(support.Line(), "fake", steps=12, journal=path)
            result = throng.run(support.Line(), "fake", steps=12, journal=path, resume=True, reporters=MINDS)
        self.assertEqual(result.frame("agents"),
                         throng.run(support.Line(), "fake", steps=12, reporters=MINDS).frame("agents"))

    def test_a_journal_keeps_what_is_measured(self):
        def measure(factor=1):
            return throng.Reporters(agent={"x": lambda agent: agent.pos.x * factor},
                                    model={"half": lambda state: state.step / 2, "none": lambda state: None}, every=2)

        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.journal")
            result = throng.run(support.Line(), SLOW, steps=6, journal=path, reporters=measure())
            for mode in ("lockstep", "speculative"):  # the same again, and nothing more
                throng.run(support.Line(), SLOW, steps=6, mode=mode, journal=path, resume=True, reporters=measure())
            with contextlib.closing(sqlite3.connect(path)) as database:
                rows = database.execute("SELECT step, agent, name, value FROM data").fetchall()
            with self.assertRaisesRegex(throng.Error, "of agent . in step 1 came out differently"):
                throng.run(support.Line(), SLOW, steps=6, journal=path, resume=True, reporters=measure(factor=2))
        agents, model = result.frame("agents"), result.frame("model")
        expected = {(step, agent, "x", x) for step, agent, _, x in agents.rows()}
        expected |= {(step, None, name, model[name][i]) for i, step in enumerate(model["step"])
                     for name in ("half", "none")}
        self.assertEqual(set(rows), expected)
        self.assertEqual(len(rows), len(expected))

    def test_exceptions_say_where(self):
        text = ""
        try:
            throng.run(support.Line(), "fake", steps=3, reporters=throng.Reporters(
                agent={"wealth": lambda agent: agent.mind["no such key"]}))
        except TypeError:
            text = traceback.format_exc()
        self.assertIn("in the reporter 'wealth' of agent 0 (a0)", text)
        self.assertIn("reporters, step 0", text)

    def test_misuse_is_refused(self):
        with self.assertRaisesRegex(TypeError, "a reporter returned .1, 2., allowed is"):
            throng.run(support.Line(), "fake", steps=1, reporters=throng.Reporters(model={"x": lambda state: [1, 2]}))
        with self.assertRaisesRegex(ValueError, "every=0"):
            throng.Reporters(every=0)
        with self.assertRaisesRegex(TypeError, "agent={'wealth': 'mind'} is no function, such as lambda agent: agent.mind"):
            throng.Reporters(agent={"wealth": "mind"})
        with self.assertRaisesRegex(ValueError, "every table has a column 'name'"):
            throng.Reporters(agent={"name": lambda agent: agent.name})


class FrameTest(unittest.TestCase):
    def test_calls(self):
        class Asking(support.Line):
            def proceed(self, view, agent):
                yield throng.Call("one", max_tokens=4, function="first")
                yield throng.Call("two", max_tokens=4, function="second")

        frames = [throng.run(Asking(3), SLOW, mode=mode, steps=4).frame("calls") for mode in MODES]
        timeless = [{name: values for name, values in frame.items() if not name.endswith("_s")} for frame in frames]
        for frame in timeless[1:]:
            self.assertEqual(frame, timeless[0])
        self.assertEqual(list(zip(frames[0]["step"], frames[0]["agent"], frames[0]["call"], frames[0]["function"])),
                         [(step, agent, call, function) for step in range(4) for agent in range(3)
                          for call, function in enumerate(("first", "second"))])
        for frame in frames:
            self.assertTrue(all(asked <= answered for asked, answered in zip(frame["asked_s"], frame["answered_s"])))
        self.assertGreater(sum(frames[0]["output_tokens"]), 0)

    def test_calls_of_a_journal_are_the_same(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.journal")
            first = throng.run(support.Line(), SLOW, steps=9, mode="speculative", journal=path)
            again = throng.run(support.Line(), SLOW, steps=9, journal=path, resume=True)
        self.assertEqual(again.frame("calls")["text"], first.frame("calls")["text"])
        self.assertEqual(again.frame("calls").num_rows, first.calls)
        self.assertEqual(again.replayed_calls, first.calls)

    def test_steps_and_events(self):
        result = throng.run(support.Line(), "fake", steps=5)
        steps, events, calls = result.frame("steps"), result.frame("events"), result.frame("calls")
        self.assertEqual(steps["step"], [0, 1, 2, 3, 4])
        self.assertEqual(steps["hash"], result.step_hashes)
        self.assertEqual(steps["events"], [6] * 5)
        self.assertEqual(sum(steps["calls"]), result.calls)
        self.assertEqual(sum(steps["prompt_tokens"]), sum(calls["prompt_tokens"]))
        self.assertEqual(events["name"][:2], ["a0", "a1"])
        self.assertEqual([tuple(event) for event in result.events],
                         list(zip(*(events[name] for name in ("step", "agent", "kind", "text")))))

    def test_csv(self):
        frame = throng.Frame(step=[0, 1], text=['say "hi", Ben', None])
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.csv")
            frame.to_csv(path)
            with open(path, newline="") as file:
                self.assertEqual(list(csv.reader(file)), [["step", "text"], ["0", 'say "hi", Ben'], ["1", ""]])

    def test_pandas(self):
        try:
            import pandas
        except ImportError:
            self.skipTest("pandas is missing (python3-pandas)")
        table = throng.run(support.Line(), "fake", steps=2).frame("events").to_pandas()
        self.assertIs(type(table), pandas.DataFrame)
        self.assertEqual(list(table.columns), ["step", "agent", "name", "kind", "text"])
        self.assertEqual(len(table), 12)

    def test_an_empty_frame(self):
        frame = throng.Frame(x=[])
        self.assertEqual((frame.num_rows, list(frame.rows()), repr(frame)), (0, [], "x"))
        self.assertEqual((throng.Frame().num_rows, repr(throng.Frame())), (0, ""))


if __name__ == "__main__":
    unittest.main()
