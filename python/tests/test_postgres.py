"""Journals in PostgreSQL, of worlds in Python."""

import os
import sys
import unittest

import support
import throng

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests"))
import postgres_rig

SLOW = "fake:latency=1,spread=0.9"
MEASURED = throng.Reporters(agent={"x": lambda agent: agent.pos.x, "half": lambda agent: agent.pos.x / 2},
                            model={"agents": lambda state: len(state.agents), "name": lambda state: "line"})


@unittest.skipUnless(postgres_rig.has_postgres(), "postgresql is not installed")
class PostgresTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = postgres_rig.Postgres()
        cls.addClassCleanup(cls.server.close)

    def test_runs_are_measured_resumed_forked_and_asked_as_with_files(self):
        first, second = self.server.address("first"), self.server.address("second")
        expected = throng.run(support.Line(8, 3), SLOW, steps=20, reporters=MEASURED)
        throng.run(support.Line(8, 3), SLOW, steps=12, reporters=MEASURED, journal=first)
        result = throng.run(support.Line(8, 3), SLOW, steps=20, reporters=MEASURED, journal=first, resume=True)
        self.assertEqual(result.hash, expected.hash)
        self.assertEqual(result.frame("agents"), expected.frame("agents"))
        self.assertEqual(result.frame("model"), expected.frame("model"))
        throng.fork(first, 10, second)
        fork = throng.run(support.Line(8, 3), SLOW, steps=20, reporters=MEASURED, journal=second, resume=True)
        self.assertEqual(fork.hash, expected.hash)
        self.assertEqual([agent.mind for agent in throng.agents_at(support.Line(8, 3), first)],
                         [agent.mind for agent in expected.agents])
        types = self.server.sql("SELECT string_agg(DISTINCT name || ' ' || first.typeof(value), ', ') FROM first.data")
        self.assertEqual(types, "agents integer, half real, name text, x integer")

    def test_what_is_there_is_refused_and_stays(self):
        first, second = self.server.address("kept"), self.server.address("other")
        throng.run(support.Line(4, 3), SLOW, steps=6, journal=first)
        throng.run(support.Line(4, 3), SLOW, steps=4, journal=second)
        self.server.sql("CREATE TABLE public.mine AS SELECT 1 AS number")
        for address in (first, second, self.server.address("public")):
            with self.assertRaisesRegex(throng.Error, "it exists; resume it, or give another name"):
                throng.run(support.Line(4, 3), SLOW, steps=6, journal=address)
        with self.assertRaisesRegex(throng.Error, "it exists; resume it, or give another name"):
            throng.fork(first, 3, second)
        resumed = throng.run(support.Line(4, 3), SLOW, steps=8, journal=first, resume=True)
        self.assertEqual(resumed.hash, throng.run(support.Line(4, 3), SLOW, steps=8).hash)
        self.assertGreater(resumed.replayed_calls, 0)
        self.assertEqual(len(throng.agents_at(support.Line(4, 3), second)), 4)
        self.assertEqual(self.server.sql("SELECT number FROM public.mine"), "1")

    def test_a_sweep_has_files(self):
        with self.assertRaisesRegex(throng.Error, "allowed: a folder"):
            throng.sweep(support.Line, "fake", steps=2, out=self.server.address("sweep"))

    def test_an_address_has_no_password(self):
        with self.assertRaisesRegex(throng.Error, "has a password") as refused:
            throng.run(support.Line(2, 3), "fake", steps=2, journal="postgres://me:secret@nowhere/runs?journal=town")
        self.assertNotIn("secret", str(refused.exception))


if __name__ == "__main__":
    unittest.main()
