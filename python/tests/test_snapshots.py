"""Runs that go on from snapshots of their journals, and minds as text."""

import dataclasses
import enum
import math
import os
import sqlite3
import tempfile
import unittest
import warnings
from typing import ClassVar, NamedTuple

import throng
from throng import plain
from throng.plain import FrozenDict

from support import Line


class Mood(enum.Enum):
    GLAD = 1
    SAD = 2


class Plan(NamedTuple):
    hour: int
    what: str


@dataclasses.dataclass(frozen=True)
class Home:
    kind: ClassVar[str] = "home"
    street: str
    rooms: tuple = ()


@dataclasses.dataclass
class Loose:
    number: int


VALUES = [None, True, 0, -7, 1 << 80, 0.1, -0.0, math.inf, "", "a\u2028\"\\\0é", b"\0\xff", (), (1, (2.0,)), Mood.SAD,
          Plan(9, "bread"), Home("Elm", (Plan(1, "x"), FrozenDict())), FrozenDict({"a": (1,), 2: FrozenDict({(3,): b""})})]


class Stopping(Line):
    """Stops with an error in a step."""

    stop_at = 31

    def proceed(self, view, agent):
        if view.step == self.stop_at:
            raise RuntimeError("stopped")
        return (yield from super().proceed(view, agent))


class Local(throng.World):
    def agents(self):
        @dataclasses.dataclass(frozen=True)
        class Here:
            number: int
        return [throng.Agent("a", (0, 0), mind=Here(1))]

    def proceed(self, view, agent):
        return throng.Intent(mind=agent.mind)


class PlainText(unittest.TestCase):
    def test_every_kind_of_value_comes_back_as_it_was(self):
        for value in [*VALUES, tuple(VALUES)]:
            again = plain.read(plain.write(value))
            self.assertEqual(repr(again), repr(value))
            self.assertEqual(type(again), type(value))
            self.assertEqual(plain.write(again), plain.write(value))
        self.assertTrue(math.isnan(plain.read(plain.write(math.nan))))

    def test_other_text_is_refused_and_runs_no_code(self):
        for text in ["", "{}[", "1", "1.5", "{}", "[]", '["int"]', '["int","x"]', '["float","x"]', '["named","os","system","ls"]',
                     '["class","os","_Environ",1]', '["class","builtins","int"]', '["enum","builtins","str","x"]',
                     '["class","%s","Home","Elm"]' % __name__, '["enum","%s","Mood","ANGRY"]' % __name__,
                     '["class","no.such","Home"]', '["dict",[1]]', '["dict",[["dict"],1]]', '["rest",1,2]']:
            with self.assertRaises(ValueError, msg=text):
                plain.write(plain.read(text))

    def test_a_class_without_a_way_to_it_is_refused(self):
        here = Local().agents()[0].mind
        with self.assertRaisesRegex(ValueError, "there is no class"):
            plain.write(here)


class Snapshots(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "a.journal")
        self.whole = throng.run(Line(), "fake", steps=40)
        Stopping.stop_at = 31
        with self.assertRaisesRegex(RuntimeError, "stopped"):
            throng.run(Stopping(), "fake", mode="lockstep", steps=40, journal=self.path, snapshot_every=10)
        Stopping.stop_at = -1

    def sql(self, text):
        database = sqlite3.connect(self.path)
        with database:
            found = database.execute(text).fetchall()
        database.close()
        return found

    def resume(self, **more):
        return throng.run(Stopping(), "fake", steps=40, journal=self.path, resume=True, **more)

    def assert_whole(self, result):
        for name in ("hash", "step_hashes", "agents", "cells", "events", "calls", "prompt_tokens", "agent_steps", "clusters",
                     "largest_cluster"):
            self.assertEqual(getattr(result, name), getattr(self.whole, name), name)
        for name in ("events", "steps"):
            self.assertEqual(result.frame(name), self.whole.frame(name))
        for column in ("step", "agent", "call", "function", "finish", "text", "prompt_tokens", "output_tokens"):
            self.assertEqual(result.frame("calls")[column], self.whole.frame("calls")[column], column)

    def test_a_run_goes_on_from_one_and_ends_as_the_whole_run_does(self):
        self.assertEqual(self.sql("SELECT step FROM snapshots"), [(10,), (20,), (30,)])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = self.resume()
        self.assert_whole(result)
        kept = sum(step >= 30 and step <= 31 for step in self.whole.frame("calls")["step"])
        self.assertLessEqual(result.replayed_calls, kept)

    def test_from_its_start_it_is_the_same(self):
        before = self.sql("SELECT count(*) FROM calls")[0][0]
        result = self.resume(from_start=True)
        self.assert_whole(result)
        self.assertEqual(result.replayed_calls, before)

    def test_reporters_see_every_step(self):
        result = self.resume(reporters=throng.Reporters(model={"agents": lambda state: len(state.agents)}))
        self.assertEqual(result.hash, self.whole.hash)
        self.assertEqual(len(result.frame("model")["step"]), 40)

    def test_a_damaged_one_is_passed_over_with_a_warning(self):
        self.sql("UPDATE snapshot_parts SET content = zeroblob(9) WHERE step = 30")
        with self.assertWarnsRegex(RuntimeWarning, "the snapshot of step 30 cannot be used: .*goes on from the snapshot of step 20"):
            self.assert_whole(self.resume())

    def test_of_another_source_none_is_used(self):
        self.sql("UPDATE snapshots SET minds = 'python 1, source 0'")
        with self.assertWarnsRegex(RuntimeWarning, "its minds have the form .*is repeated from its start"):
            self.assert_whole(self.resume())

    def test_a_mind_that_cannot_be_written_down_leaves_the_run_without(self):
        path = self.path + "2"
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            result = throng.run(Local(), "fake", steps=30, journal=path, snapshot_every=5)
        self.assertEqual(len(warned), 1)
        self.assertIn("it gets no snapshots: a mind cannot be written down: there is no class", str(warned[0].message))
        self.assertEqual(throng.run(Local(), "fake", steps=40, journal=path, resume=True).step_hashes[:30], result.step_hashes)

    def test_a_negative_interval_is_refused(self):
        with self.assertRaisesRegex(throng.Error, "snapshot_every -1: it must be a whole number, 0 or more"):
            self.resume(snapshot_every=-1)


if __name__ == "__main__":
    unittest.main()
