"""throng.run and throng.verify: one result in every mode, journals, exceptions, misuse."""

import collections.abc
import contextlib
import copy
import enum
import importlib
import inspect
import json
import os
import pickle
import platform
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import unittest
from dataclasses import dataclass

import throng
from support import Line

MODES = ("single", "lockstep", "ooo")
SLOW = "fake:latency=1,spread=0.9"


class Talkers(Line):
    """Neighbours talk in resolve; some ask two things at once."""

    def proceed(self, view, agent):
        near = [other.id for other in view.neighbours()]
        first, second = yield [throng.Call(f"{agent.name} sees {len(near)}", max_tokens=8),
                               throng.Call("Which?", json_schema={"enum": [1, 2, 3]}, temperature=1.0)]
        return near, first + second, view.random.choice((-1, 1))

    def resolve(self, step, members, commit):
        said = {agent.id: "" for agent in members}
        for agent in members:
            for other in agent.intent[0]:
                said[agent.id] += yield throng.Call(f"{agent.name} to {other}", agent=agent.id, max_tokens=6)
                said[other] += said[agent.id][-9:]
        for agent in members:
            commit.move(agent, (min(max(agent.pos.x + agent.intent[2], 0), 79), 1))
            commit.set_status(agent, said[agent.id][-5:])
            commit.set_mind(agent, {"said": [said[agent.id]], "asked": agent.intent[1]})
            commit.event(agent, "say", said[agent.id] + str(commit.random.random()))


class ModesTest(unittest.TestCase):
    def check(self, make_world, llm, steps):
        results = [throng.run(make_world(), llm, mode=mode, steps=steps) for mode in MODES]
        for result in results:
            self.assertEqual(result.hash, results[0].hash)
            self.assertEqual(result.step_hashes, results[0].step_hashes)
            self.assertEqual(result.agents, results[0].agents)
            self.assertEqual(result.cells, results[0].cells)
            self.assertEqual(result.events, results[0].events)
            self.assertEqual(result.calls, results[0].calls)
        return results

    def test_all_modes_come_to_the_same(self):
        results = self.check(Line, SLOW, 30)
        self.assertLess(results[2].backend_s, results[0].backend_s)
        self.assertGreater(results[2].parallelism, 1)
        self.assertGreater(results[2].max_spread, 0)
        self.check(lambda: Line(8, 3), SLOW, 12)

    def test_conversations_and_several_calls_at_once(self):
        self.check(lambda: Talkers(7, 3), SLOW, 8)

    def test_with_the_embedded_model(self):
        model = throng.Model(kv="flashq4", threads=2)
        results = self.check(lambda: Talkers(5, 3), model, 3)
        self.assertGreater(results[0].prompt_tokens, 0)

    def test_with_a_python_function(self):
        def answer(call):
            return call.choices[(len(call.prompt) + call.agent) % len(call.choices)]

        self.check(Line, answer, 10)

    def test_verify(self):
        report = throng.verify(lambda: Talkers(5, 3), steps=6, shuffled=2)
        self.assertTrue(report, report.difference)
        self.assertEqual(list(report.runs), ["single", "lockstep", "ooo", "speculative", "ooo, shuffled 1",
                                             "speculative, shuffled 1", "ooo, shuffled 2", "speculative, shuffled 2",
                                             "another process", "another process 2", "another process 3"])
        self.assertIn("equal in all runs", str(report))
        runs = report.runs
        self.assertEqual((runs["ooo"].speculated_calls, runs["ooo"].wasted_tokens), (0, 0))
        self.assertGreater(runs["speculative"].speculated_calls, 0)

    def test_hashes_are_the_same_in_every_process(self):
        code = "import support, throng; print(throng.run(support.Line(), 'fake', steps=5).hash)"
        hashes = set()
        for hash_seed in ("1", "2"):
            environment = dict(os.environ, PYTHONHASHSEED=hash_seed)
            hashes.add(subprocess.run([sys.executable, "-c", code], cwd=os.path.dirname(os.path.abspath(__file__)),
                                      env=environment, capture_output=True, text=True, check=True).stdout)
        self.assertEqual(len(hashes), 1)

    def test_other_seeds_are_other_runs(self):
        self.assertNotEqual(throng.run(Line(), "fake", steps=5, seed=1).hash,
                            throng.run(Line(), "fake", steps=5, seed=2).hash)


class JournalTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = os.path.join(self.folder.name, "a.journal")

    def manifest(self, key):
        with contextlib.closing(sqlite3.connect(self.path)) as database:
            row = database.execute("SELECT value FROM manifest WHERE key = ?", (key,)).fetchone()
        return row and row[0]

    def outcomes(self):
        with contextlib.closing(sqlite3.connect(self.path)) as database:
            return [row[0] for row in database.execute("SELECT outcome FROM sessions ORDER BY id")]

    def test_sessions_end_with_what_went_wrong(self):
        class Failing(Line):
            wrong = "raise"

            def proceed(self, view, agent):
                if view.step == 5 and self.wrong == "raise":
                    raise RuntimeError("enough\nof this")
                if view.step == 5 and self.wrong == "jump":
                    return throng.Intent(pos=(79, 1))
                return (yield from super().proceed(view, agent))

        with self.assertRaises(RuntimeError):
            throng.run(Failing(), "fake", mode="single", steps=8, journal=self.path)
        Failing.wrong = "jump"
        with self.assertRaises(throng.Error) as raised:
            throng.run(Failing(), "fake", mode="single", steps=8, journal=self.path, resume=True)
        Failing.wrong = ""
        throng.run(Failing(), "fake", mode="single", steps=8, journal=self.path, resume=True)
        first, second, third = self.outcomes()
        self.assertRegex(first, r"agent 0 \(a0\), step 5: RuntimeError: enough$")
        self.assertTrue(str(raised.exception).endswith(second.split("step 5: ")[-1]), second)
        self.assertEqual(third, "done")

    def test_the_journal_counts_tokens_in_vain(self):
        world = lambda: Talkers(7, 3)
        result = throng.run(world(), SLOW, mode="speculative", steps=20, journal=self.path)
        self.assertGreater(result.wasted_tokens, 0)
        prompt, output = map(int, self.manifest("tokens_in_vain").split(","))
        self.assertGreater(prompt + output, 0)

    def test_a_journal_answers_its_run(self):
        world = lambda: Talkers(7, 3)
        result = throng.run(world(), SLOW, steps=12, journal=self.path)
        for mode in ("lockstep", "ooo", "speculative"):
            again = throng.run(world(), f"replay:{self.path}", mode=mode, steps=12)
            self.assertEqual(again.hash, result.hash)
        with self.assertRaisesRegex(throng.Error, "answers another question than call 0 "):
            throng.run(world(), f"replay:{self.path}", steps=12, seed=2)

    def test_a_run_goes_on_where_it_failed(self):
        class Failing(Line):
            fails = True

            def proceed(self, view, agent):
                if self.fails and view.step == 10:
                    raise RuntimeError("enough")
                return (yield from super().proceed(view, agent))

        world = Failing()
        with self.assertRaisesRegex(RuntimeError, "enough"):
            throng.run(world, "fake", steps=15, journal=self.path)
        with self.assertRaisesRegex(throng.Error, "exists"):
            throng.run(world, "fake", steps=15, journal=self.path)
        Failing.fails = False
        result = throng.run(world, "fake", steps=15, journal=self.path, resume=True)
        self.assertGreater(result.replayed_calls, 0)
        self.assertEqual(result.hash, throng.run(world, "fake", steps=15).hash)
        again = throng.run(world, "fake", mode="single", steps=15, journal=self.path, resume=True)
        self.assertEqual((again.hash, again.replayed_calls), (result.hash, result.calls))

    def test_a_run_goes_on_beyond_its_end(self):
        throng.run(Line(3), "fake", steps=5, journal=self.path)
        longer = throng.run(Line(3), "fake", steps=9, journal=self.path, resume=True)
        self.assertEqual(longer.hash, throng.run(Line(3), "fake", steps=9).hash)
        self.assertEqual(self.manifest("steps"), "9")
        with self.assertRaisesRegex(throng.Error, "allowed: as many or more"):
            throng.run(Line(3), "fake", steps=8, journal=self.path, resume=True)

    def test_a_fork_with_another_seed_goes_on(self):
        result = throng.run(Talkers(7, 3), "fake", steps=12, journal=self.path)
        fork = self.path + ".fork"
        shutil.copy(self.path, fork)
        with contextlib.closing(sqlite3.connect(fork)) as database, database:
            database.execute("UPDATE manifest SET value = '1,7@6' WHERE key = 'seed'")
            for table, column in (("answers", "step"), ("chronicle", "step"), ("commits", "step"), ("hashes", "step")):
                database.execute(f"DELETE FROM {table} WHERE {column} >= 6")
            for table in ("bodies", "cells"):
                database.execute(f"DELETE FROM {table} WHERE step > 6")
        other = throng.run(Talkers(7, 3), "fake", steps=12, journal=fork, resume=True)
        self.assertEqual(other.step_hashes[:6], result.step_hashes[:6])
        self.assertNotEqual(other.step_hashes[6:], result.step_hashes[6:])
        self.assertGreater(other.replayed_calls, 0)

    def test_events_lead_to_their_calls(self):
        throng.run(Talkers(7, 3), "fake", steps=12, journal=self.path)
        with contextlib.closing(sqlite3.connect(self.path)) as database:
            rows = database.execute("SELECT e.text, c.prompt, c.answer FROM events AS e JOIN calls AS c USING (step, agent, call) "
                                    "WHERE instr(c.prompt, ' to ')")
            rows = rows.fetchall()
        self.assertGreater(len(rows), 0)
        for text, prompt, answer in rows:
            self.assertTrue(prompt)
            self.assertIn(answer, text)

    def query(self, sql):
        with contextlib.closing(sqlite3.connect(self.path)) as database:
            return database.execute(sql).fetchall()

    def test_calls_say_which_memories_their_prompts_hold(self):
        class Diary(throng.World):
            def agents(self):
                return [throng.Agent("Ann", (0, 0), mind=())]

            def proceed(self, view, agent):
                recent = agent.mind[-2:]
                thought = yield throng.Call(" ".join(memory.text for memory in recent), memories=recent, choices=["a", "b"])
                more = throng.Memory(view.step, f"I thought {thought}.", len(agent.mind))
                return throng.Intent(mind=(*agent.mind, more), events=[("think", str(thought))])

        class Plain(Diary):
            def proceed(self, view, agent):
                yield throng.Call("?", memories=[(3, "It rained.")])

        throng.run(Diary(), "fake", steps=4, journal=self.path)
        rows = self.query("SELECT m.step, m.name, m.made, m.memory, m.text, c.prompt FROM events AS e JOIN memories AS m "
                          "USING (step, agent, call) JOIN calls AS c USING (step, agent, call) ORDER BY m.step, m.seq")
        self.assertEqual([row[:4] for row in rows], [(1, "Ann", 0, 0), (2, "Ann", 0, 0), (2, "Ann", 1, 1),
                                                     (3, "Ann", 1, 1), (3, "Ann", 2, 2)])
        for *_, text, prompt in rows:
            self.assertIn(text, prompt)
        self.path += ".plain"
        throng.run(Plain(), "fake", steps=1, journal=self.path)
        self.assertEqual(self.query("SELECT step, made, memory, text FROM memories"), [(0, 3, None, "It rained.")])
        for wrong in ("text", [3], [("now", "It rained.")], [(3, 4)], [(3, "It rained.", -1)], [(3,)], [(1, "a", 2, 3)]):
            Plain.proceed = lambda self, view, agent: (yield throng.Call("?", memories=wrong))
            with self.assertRaisesRegex((TypeError, throng.Error), "Call.memories", msg=wrong):
                throng.run(Plain(), "fake", steps=1)

    def test_a_finished_run_keeps_its_record(self):
        throng.run(Line(3), "fake", steps=6, journal=self.path)
        record = [self.query(f"SELECT * FROM {table}") for table in ("manifest", "sessions", "files")]
        throng.run(Line(3), lambda call: "left", steps=6, journal=self.path, resume=True, max_tokens_total=10**9)
        self.assertEqual([self.query(f"SELECT * FROM {table}") for table in ("manifest", "sessions", "files")], record)

    def test_another_backend_goes_on_if_it_is_named(self):
        def gone(call):
            if asked.append(call) or len(asked) > 7:
                raise RuntimeError("the server is gone")
            return "left"

        asked = []
        with self.assertRaisesRegex(RuntimeError, "gone"):
            throng.run(Line(3), gone, steps=12, journal=self.path)
        with self.assertRaisesRegex(throng.Error, "begun with backend function .*gone, and cannot go on with .*, unless "
                                                  "another backend is asked for"):
            throng.run(Line(3), steps=12, journal=self.path, resume=True)
        with self.assertWarnsRegex(RuntimeWarning, "function .*gone answered up to here, and from step .* on fake"):
            throng.run(Line(3), "fake", steps=12, journal=self.path, resume=True)
        first, second = self.query("SELECT id, backend FROM sessions ORDER BY id")
        self.assertRegex(first[1], "function .*gone$")
        self.assertRegex(second[1], "^fake")
        self.assertEqual(self.manifest("backend"), second[1])
        by = dict(self.query("SELECT session, count(*) FROM calls GROUP BY session"))
        self.assertEqual((by[first[0]], by[second[0]] > 0), (7, True))
        with self.assertWarns(RuntimeWarning):  # a backend for some calls is another one, too
            throng.run(Line(3), "fake", steps=14, journal=self.path, resume=True, model_for={"ask": lambda call: "left"})
        self.assertIn("ask: function", self.manifest("backend"))
        last = self.manifest("backend")
        throng.run(Line(3), steps=14, journal=self.path, resume=True)  # a run that is done asks nobody
        self.assertEqual(self.manifest("backend"), last)

    def test_a_journal_says_what_a_run_was_made_with(self):
        with self.assertRaises(throng.Stopped):
            throng.run(Line(4, gap=7), "fake", steps=8, journal=self.path, max_tokens_total=90, price=(1.5, 2),
                       call_timeout=60, interactive="a1", fallback="any")
        told = dict(self.query("SELECT key, value FROM manifest"))
        expected = {"max_tokens_total": "90", "price": "1.5,2", "call_timeout": "60", "call_attempts": "9",
                    "answer_attempts": "3", "max_wait": "300", "fallback": "any", "max_cost": "0", "interactive": "a1",
                    "target_ms": "1000", "class": "support.Line", "parameters": '{"num_agents": 4, "gap": 7}',
                    "python": platform.python_version(), "language": "Python", "prompts": "on"}
        self.assertEqual({key: told[key] for key in expected}, expected)
        source = inspect.getsourcefile(Line)
        ((name, digest, content),) = self.query("SELECT name, lower(hex(digest)), content FROM files")
        self.assertEqual((name, digest), (source, told["source_digest"]))
        self.assertEqual(told["source"], source)
        with open(source, encoding="utf-8") as file:
            self.assertEqual(content, file.read())
        self.assertTrue(self.query("SELECT cost FROM calls WHERE cost > 0"))
        throng.run(Line(4, gap=7), "fake", steps=8, journal=self.path, resume=True, price=(1.5, 2), call_attempts=3)
        changed = json.loads(self.query("SELECT parameters FROM sessions ORDER BY id")[1][0])
        self.assertEqual(changed, {"max_tokens_total": "0", "call_timeout": "0", "call_attempts": "3", "interactive": "",
                                   "fallback": "answer"})
        self.assertEqual(self.manifest("call_attempts"), "3")

    def test_a_source_that_changes_is_kept_in_both_versions(self):
        path = os.path.join(self.folder.name, "some_world.py")
        texts = ["import throng, support\nclass Mine(support.Line):\n    pass\n", ""]
        texts[1] = texts[0] + "# A better comment.\n"
        sys.path.insert(0, self.folder.name)
        self.addCleanup(sys.path.remove, self.folder.name)
        self.addCleanup(sys.modules.pop, "some_world", None)
        digests = []
        for steps, text in enumerate(texts, 2):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            sys.modules.pop("some_world", None)
            throng.run(importlib.import_module("some_world").Mine(), "fake", steps=steps, journal=self.path, resume=True)
            digests.append(self.manifest("source_digest"))
        self.assertNotEqual(*digests)
        kept = dict(self.query("SELECT name, content FROM files"))
        self.assertEqual(kept, {path: texts[0], f"{path}, {digests[1]}": texts[1],
                                inspect.getsourcefile(Line): kept[inspect.getsourcefile(Line)]})
        self.assertEqual(json.loads(self.query("SELECT parameters FROM sessions ORDER BY id")[1][0]),
                         {"source_digest": digests[1], "steps": "3"})

    def test_worlds_without_a_file_and_odd_attributes(self):
        class Odd(Line):
            def __init__(self):
                super().__init__(2)
                self.known = {"b", "a"}
                self.table = {(1, 2): object()}
                self.long = list(range(1000))
                self.odd = "\ud83d李"

            def parameters(self):
                return "\ud800"[:0], 7

        throng.run(Odd(), "fake", steps=1, journal=self.path, prompts=False)
        made = json.loads(self.manifest("parameters"))
        self.assertEqual((made["known"], made["table"], made["parameters()"]), (["a", "b"], "{(1, 2): <object object>}", ["", 7]))
        self.assertEqual(made["odd"], "\ud83d李")
        self.assertRegex(made["long"], r"^\[0, 1, .*\.\.\. \(4890 characters\)$")
        self.assertIn("Odd", self.manifest("class"))
        self.assertEqual(self.query("SELECT count(*) FROM calls WHERE prompt IS NOT NULL"), [(0,)])
        self.assertEqual(self.manifest("prompts"), "off")
        code = (f"import throng, sys; sys.path.insert(0, {os.path.dirname(os.path.abspath(__file__))!r})\n"
                "class Typed(throng.World):\n    def agents(self): return [throng.Agent('Ann', (0, 0))]\n"
                "    def proceed(self, view, agent): pass\n"
                f"throng.run(Typed(), 'fake', steps=1, journal={self.path + '.typed'!r})")
        subprocess.run([sys.executable, "-c", code], check=True)
        self.path += ".typed"
        self.assertEqual((self.manifest("class"), self.manifest("source"), self.manifest("source_digest")),
                         ("__main__.Typed", "", ""))
        self.assertEqual(self.query("SELECT count(*) FROM files"), [(0,)])

    def test_another_world_does_not_go_on(self):
        throng.run(Line(3), "fake", steps=3, journal=self.path)
        with self.assertRaisesRegex(throng.Error, "scenario|agents"):
            throng.run(Line(4), "fake", steps=3, journal=self.path, resume=True)


class ErrorsTest(unittest.TestCase):
    def run_with(self, proceed=None, **more):
        attributes = dict(more)
        if proceed is not None:
            attributes["proceed"] = proceed
        return throng.run(type("Wrong", (Line,), attributes)(), "fake", steps=3)

    def assert_error(self, pattern, *arguments, **more):
        with self.assertRaisesRegex(throng.Error, pattern):
            self.run_with(*arguments, **more)

    def test_exceptions_keep_their_traceback_and_say_where(self):
        def proceed(self, view, agent):
            yield throng.Call("x")
            if agent.id == 2 and view.step == 1:
                {}["missing key"]

        text = ""
        try:
            self.run_with(proceed)
        except KeyError:  # assertRaises would drop the traceback
            text = traceback.format_exc()
        self.assertIn('{}["missing key"]', text)
        self.assertIn("agent 2 (a2), step 1", text)

    def test_exceptions_in_resolve_and_before(self):
        with self.assertRaises(ZeroDivisionError):
            self.run_with(resolve=lambda self, step, members, commit: 1 // 0)
        with self.assertRaises(ZeroDivisionError):
            self.run_with(agents=lambda self: 1 // 0)

    def test_generators_are_closed_when_the_run_stops(self):
        closed = []

        def proceed(self, view, agent):
            try:
                if agent.id == 5:
                    raise RuntimeError("stop")
                yield throng.Call("x")
            finally:
                closed.append(agent.id)

        with self.assertRaisesRegex(RuntimeError, "stop"):
            self.run_with(proceed)
        self.assertEqual(sorted(closed), [0, 1, 2, 3, 4, 5])

    def test_the_rules_of_a_step_are_kept(self):
        self.assert_error("moves from", lambda self, view, agent: throng.Intent(pos=(40, 2)))
        self.assert_error("writes cell", lambda self, view, agent: throng.Intent(write={(79, 0): "x"}))
        self.assert_error("reads cell", lambda self, view, agent: view.cell((79, 0)))

    def test_misuse_is_told_in_a_sentence(self):
        def yields(value):
            def proceed(self, view, agent):
                yield value
            return proceed

        self.assert_error("agent 0 .a0., step 0: what was yielded is 'hello', allowed is a throng.Call",
                          yields("hello"))
        self.assert_error("Call.max_tokens is 'many'", yields(throng.Call("x", max_tokens="many")))
        self.assert_error("a call by agent 3 in the step of agent", yields(throng.Call("x", agent=3)))
        self.assert_error("Agent.pos is None", agents=lambda self: [throng.Agent("x", None)])
        self.assert_error("outside the space", agents=lambda self: [throng.Agent("x", (99, 0))])
        self.assert_error("no agents", agents=lambda self: [])
        self.assert_error("World.width is 0", width=0)
        self.assert_error("metric", metric="hops")
        for llm in ("no such backend", 7):
            with self.assertRaises(throng.Error):
                throng.run(Line(), llm, steps=1)
        with self.assertRaisesRegex(throng.Error, "mode fast"):
            throng.run(Line(), "fake", mode="fast", steps=1)
        with self.assertRaisesRegex(throng.Error, "the answer .neither. is not allowed"):
            throng.run(Line(), lambda call: "neither", steps=5, fallback="never")
        with self.assertRaisesRegex(ZeroDivisionError, "division"):
            throng.run(Line(), lambda call: 1 // 0, steps=5)

    def test_a_view_ends_with_its_step(self):
        kept = []

        def proceed(self, view, agent):
            if kept:
                kept[0].neighbours()
            kept.append(view)

        self.assert_error("only in the step", proceed)
        self.assert_error("only in the step", lambda self, view, agent: kept[0].cell(agent.pos))

    def test_a_model_serves_one_run_at_a_time(self):
        model = throng.Model(threads=1)

        def proceed(self, view, agent):
            throng.run(Line(), model, steps=1)

        with self.assertRaisesRegex(throng.Error, "another run"):
            throng.run(type("Nested", (Line,), {"proceed": proceed})(), model, steps=1)
        throng.run(Line(), model, steps=1)

    def test_a_model_serves_on_after_a_run_that_failed(self):
        model = throng.Model(threads=1)

        def proceed(self, view, agent):
            if agent.id == 5:
                raise RuntimeError("stop")
            yield throng.Call("x", max_tokens=200)

        world = type("Failing", (Line,), {"proceed": proceed})()
        for _ in range(3):
            with self.assertRaisesRegex(RuntimeError, "stop"):
                throng.run(world, model, steps=2)
        self.assertEqual(throng.run(Line(), model, steps=2).hash, throng.run(Line(), model, steps=2).hash)

    @unittest.skipUnless(hasattr(signal, "setitimer"), "no timers here")
    def test_ctrl_c_stops_a_run(self):
        class Endless(Line):
            def proceed(self, view, agent):
                yield throng.Call("x", max_tokens=50)

        previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGALRM, previous)
        for llm in ("fake", throng.Model(threads=1)):
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            with self.assertRaises(KeyboardInterrupt):
                throng.run(Endless(), llm, steps=1000000)

    def test_ctrl_c_in_the_middle_of_a_guess_ends_the_run(self):
        class Pressed(Line):
            def __init__(self, press):
                super().__init__(gap=3)
                self.press, self.begun, self.expected = press, 0, 0

            def proceed(self, view, agent):
                self.begun += 1
                if self.begun == self.press:
                    raise KeyboardInterrupt
                return (yield from super().proceed(view, agent))

            def expect(self, step, agent, later):
                self.expected += 1
                if self.expected == -self.press:
                    raise KeyboardInterrupt

        def run(press):
            world = Pressed(press)
            return throng.run(world, "fake:latency=1,spread=0.9", steps=5, mode="speculative"), world

        result, world = run(0)
        self.assertGreater(world.begun, result.agent_steps + 20)  # guesses were made
        for press in (*range(1, world.begun), *range(-world.expected + 1, 0)):
            with self.subTest(press=press), self.assertRaises(KeyboardInterrupt):
                run(press)

    def test_two_runs_in_two_threads(self):
        expected = throng.run(Line(), "fake", steps=20).hash
        found = []
        threads = [threading.Thread(target=lambda: found.append(throng.run(Line(), "fake", steps=20).hash))
                   for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(found, [expected] * 3)

    def test_progress_is_told(self):
        calls = []

        def proceed(self, view, agent):
            time.sleep(0.2)

        throng.run(type("Slow", (Line,), {"proceed": proceed})(), "fake", steps=2,
                   progress=lambda **now: calls.append(now))
        self.assertLessEqual({"step", "front_step", "calls", "in_flight", "wall_s"}, set(calls[0]))


class Mood(enum.Enum):
    GOOD = 1
    BAD = 2


@dataclass(frozen=True)
class Plan:
    goals: tuple
    mood: Mood


@dataclass
class Loose:
    goals: list


class MindTest(unittest.TestCase):
    def last_mind(self, mind):
        class Once(throng.World):
            def agents(self):
                return [throng.Agent("Ann", (0, 0), mind=mind)]

            def proceed(self, view, agent):
                return throng.Intent(mind=agent.mind)

        return throng.run(Once(), "fake", steps=1)

    def test_plain_data_is_frozen(self):
        mind = self.last_mind({"list": [1, [2.5, None]], "bytes": b"x", "big": 1 << 90, "plan": Plan(["a"], Mood.BAD),
                               "pos": throng.Pos(1, 2), "text": throng.Completion("hi")}).agents[0].mind
        self.assertEqual(mind["list"], (1, (2.5, None)))
        self.assertEqual(mind["plan"], Plan(("a",), Mood.BAD))
        self.assertEqual(mind["pos"].y, 2)
        self.assertIs(type(mind["text"]), str)
        with self.assertRaises(TypeError):
            mind["list"] = 1
        self.assertEqual({**mind, "big": 0}["big"], 0)

    def test_minds_are_copied_pickled_and_written_as_json(self):
        mind = self.last_mind({"list": [1, {"deep": [2]}], "plan": Plan([{"a": 1}], Mood.BAD)}).agents[0].mind
        for again in (copy.copy(mind), copy.deepcopy(mind), pickle.loads(pickle.dumps(mind))):
            self.assertEqual(again, mind)
            self.assertIs(type(again), throng.FrozenDict)
        self.assertEqual(json.dumps({"list": mind["list"]}), '{"list": [1, {"deep": [2]}]}')
        self.assertEqual(json.dumps(mind["list"][1]), '{"deep": [2]}')
        self.assertEqual(type(mind.copy()), dict)
        self.assertEqual((mind | {"list": 0})["list"], 0)
        self.assertEqual(({"list": 0} | mind)["list"], mind["list"])
        self.assertTrue(isinstance(mind, dict) and isinstance(mind, collections.abc.Mapping))
        match mind:
            case {"list": [first, {"deep": deep}]}:
                self.assertEqual((first, deep), (1, (2,)))
            case _:
                self.fail("no match")
        rebound = mind
        rebound |= {"more": 1}
        self.assertEqual((len(rebound), len(mind)), (3, 2))
        for change in (lambda: mind.update(a=1), lambda: mind.pop("list"), lambda: mind.clear(), lambda: mind.popitem(),
                       lambda: mind.setdefault("a", 1), lambda: mind.__delitem__("list")):
            with self.assertRaisesRegex(TypeError, "throng.thaw"):
                change()
        self.assertEqual(self.last_mind(mind).hash, self.last_mind(throng.thaw(mind)).hash)

    def test_a_thawed_mind_can_be_changed(self):
        mind = self.last_mind({"list": [1, {"deep": [2]}], "plan": Plan([{"a": 1}], Mood.BAD), (1, 2): throng.Pos(1, 2)})
        thawed = throng.thaw(mind.agents[0].mind)
        thawed["list"][1]["deep"].append(3)
        thawed["plan"].goals[0]["a"] = 2
        self.assertEqual(thawed, {"list": [1, {"deep": [2, 3]}], "plan": Plan([{"a": 2}], Mood.BAD),
                                  (1, 2): throng.Pos(1, 2)})
        self.assertEqual(mind.agents[0].mind["plan"].goals[0]["a"], 1)

    def test_different_minds_have_different_hashes(self):
        minds = [None, 0, 1, True, 1.0, "1", b"1", (1,), ((1,),), (1, ()), {1: 1}, {"1": 1}, {}, (), Mood.GOOD,
                 Mood.BAD, 1 << 90, -(1 << 90), Plan((), Mood.BAD), ("ab", "c"), ("a", "bc"), {1: 2, 3: 4},
                 {3: 4, 1: 2}]
        self.assertEqual(len({self.last_mind(mind).hash for mind in minds}), len(minds))

    def test_what_can_change_is_refused(self):
        endless = []
        endless.append(endless)
        for mind, pattern in (({1, 2}, "a set has no order"), (Loose([]), "frozen=True"), (object(), "not plain data"),
                              ([{"a": [object()]}], "the mind of agent 0 .Ann.: object"), (endless, "nested")):
            with self.assertRaisesRegex(throng.Error, pattern):
                self.last_mind(mind)


if __name__ == "__main__":
    unittest.main()
