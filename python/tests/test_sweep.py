"""throng.sweep: every combination once, in processes or not, resumed, counted and summarised."""

import os
import statistics
import subprocess
import sys
import tempfile
import textwrap
import unittest

import support
import throng


class Counted(support.Line):
    """Counts how often it is made, in a file, so that other processes count too."""

    count_file = ""

    def __init__(self, num_agents, count_file):
        super().__init__(num_agents)
        with open(count_file, "a") as file:
            file.write("x")


def fails_for_two(num_agents):
    if num_agents == 2:
        raise ValueError("two is too few\nfor this")
    return support.Line(num_agents)


def quiet(*now):
    pass


OUTCOMES = {"calls": lambda run: run.calls, "x": lambda run: statistics.fmean(agent.pos.x for agent in run.agents),
            "name": lambda run: run.agents[0].name}


class SweepTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.out = os.path.join(self.folder.name, "out")
        self.count_file = os.path.join(self.folder.name, "count")
        open(self.count_file, "w").close()

    def made(self):
        return os.path.getsize(self.count_file)

    def sweep(self, world=support.Line, parameters={"num_agents": [3, 4]}, **more):
        return throng.sweep(world, parameters, **{"out": self.out, "steps": 6, "llm": "fake", "seeds": range(1, 4),
                                                  "progress": quiet, "outcomes": OUTCOMES, **more})

    def test_it_runs_what_run_would(self):
        result = self.sweep()
        self.assertEqual(result.frame["num_agents"], [3, 3, 3, 4, 4, 4])
        self.assertEqual(result.frame["seed"], [1, 2, 3] * 2)
        for swept in result.runs:
            alone = throng.run(support.Line(**swept.parameters), "fake", steps=6, seed=swept.seed)
            self.assertEqual(swept.result().hash, alone.hash)
            self.assertTrue(os.path.exists(swept.journal))
        summary = result.summary()
        self.assertEqual(list(summary), ["num_agents", "runs", "calls", "calls_low", "calls_high", "x", "x_low",
                                         "x_high"])
        self.assertEqual(summary["runs"], [3, 3])
        for row in range(2):
            values = result.frame["x"][3 * row:3 * row + 3]
            half = 4.302653 * statistics.stdev(values) / 3**0.5  # of two degrees of freedom
            self.assertAlmostEqual(summary["x"][row], statistics.fmean(values))
            self.assertAlmostEqual(summary["x_low"][row], statistics.fmean(values) - half, 4)
            self.assertAlmostEqual(summary["x_high"][row], statistics.fmean(values) + half, 4)
        self.assertLess(result.summary(0.5)["x_high"][0], summary["x_high"][0])

    def test_processes_find_the_same(self):
        expected = self.sweep(out=self.out + "1").frame
        self.assertEqual(self.sweep(jobs=2).frame, expected)

    def test_with_the_embedded_model_in_processes(self):
        parameters = {"num_agents": [2]}
        expected = self.sweep(parameters=parameters, llm=throng.Model(kv="flashq4"), out=self.out + "1", steps=2,
                              seeds=[1, 2])
        found = self.sweep(parameters=parameters, llm=throng.Model(kv="flashq4"), steps=2, seeds=[1, 2], jobs=2)
        self.assertEqual(found.frame, expected.frame)
        self.assertEqual([swept.result().hash for swept in found.runs],
                         [swept.result().hash for swept in expected.runs])

    def test_what_ended_is_not_repeated(self):
        parameters = {"num_agents": [3], "count_file": [self.count_file]}
        first = self.sweep(Counted, parameters)
        self.assertEqual(self.made(), 3)
        self.assertEqual(self.sweep(Counted, parameters).frame, first.frame)
        self.assertEqual(self.made(), 3)
        self.sweep(Counted, parameters, seeds=range(1, 5))
        self.assertEqual(self.made(), 4)
        self.sweep(Counted, parameters, steps=7)
        self.assertEqual(self.made(), 7)
        more = self.sweep(Counted, parameters, outcomes={"events": lambda run: len(run.events)})
        self.assertEqual((self.made(), more.frame["events"]), (7, [18] * 3))

    def test_what_was_stopped_goes_on(self):
        limited = self.sweep(max_tokens_total=30)
        self.assertTrue(all("token" in error for error in limited.frame["error"]))
        self.assertEqual(limited.frame["calls"], [None] * 6)
        self.assertEqual(limited.summary()["runs"], [0, 0])
        with self.assertRaisesRegex(throng.Error, "did not end"):
            limited.runs[0].result()
        whole = self.sweep()
        self.assertEqual(whole.frame, self.sweep(out=self.out + "2").frame)
        for before, after in zip(limited.runs, whole.runs):
            self.assertEqual(before.journal, after.journal)
            self.assertGreater(after.result().replayed_calls, 0)

    def test_a_run_that_fails_does_not_stop_the_others(self):
        for jobs in (1, 2):
            told = []
            result = self.sweep(fails_for_two, {"num_agents": [2, 3]}, jobs=jobs, seeds=[1, 2],
                                progress=lambda done, count, swept: told.append((done, count)))
            self.assertEqual(result.frame["error"], ["ValueError: two is too few"] * 2 + [""] * 2)
            self.assertEqual(told, [(1, 4), (2, 4), (3, 4), (4, 4)])
            self.assertEqual(result.summary()["runs"], [0, 2])

    def test_combinations_can_be_listed(self):
        result = self.sweep(parameters=[{"num_agents": 3, "gap": 5}, {"num_agents": 4, "gap": 9}], seeds=[1])
        self.assertEqual(result.frame["gap"], [5, 9])
        self.assertEqual(self.sweep(parameters=(), seeds=[1]).frame.num_rows, 1)

    def test_misuse_is_refused(self):
        with self.assertRaisesRegex(throng.Error, "jobs=0"):
            self.sweep(jobs=0)
        with self.assertRaisesRegex(throng.Error, "journals are files.*allowed: a folder"):
            self.sweep(out="postgres://nobody@nowhere/runs?journal=sweep")
        with self.assertRaisesRegex(throng.Error, "named twice"):
            self.sweep(seeds=[1, 1])
        with self.assertRaisesRegex(throng.Error, "same ones"):
            self.sweep(parameters=[{"num_agents": 3}, {}])
        with self.assertRaisesRegex(throng.Error, "must import what runs .*jobs=1"):
            self.sweep(llm=lambda call: "left", jobs=2)
        with self.assertRaisesRegex(TypeError, "the outcome 'list' returned"):
            self.sweep(outcomes={"list": lambda run: [1]})

    def script(self, code, **more):
        path = os.path.join(self.folder.name, "script.py")
        with open(path, "w") as file:
            file.write(textwrap.dedent(code))
        return subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=120, cwd=self.folder.name,
                              **more)

    WORLD = """
        import throng
        class One(throng.World):
            def agents(self):
                return [throng.Agent("Ann", (0, 0))]
            def proceed(self, view, agent):
                pass
        """

    def test_a_script_sweeps_its_own_world(self):
        done = self.script(self.WORLD + """
        if __name__ == "__main__":
            result = throng.sweep(One, seeds=[1, 2], out="out", steps=2, llm="fake", jobs=2)
            print(result.frame["error"])
        """)
        self.assertEqual(done.stdout, "['', '']\n", done.stderr)
        self.assertIn("2 of 2: seed=", done.stderr)

    def test_a_script_without_a_guard_is_told(self):
        done = self.script(self.WORLD + """
        throng.sweep(One, seeds=[1, 2], out="out", steps=2, llm="fake", jobs=2)
        """)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn('a script calls throng.sweep below `if __name__ == "__main__":`', done.stderr)

    def test_a_world_from_a_prompt_is_told(self):
        done = subprocess.run([sys.executable], input=textwrap.dedent(self.WORLD) + textwrap.dedent("""

        throng.sweep(One, seeds=[1, 2], out="out", steps=2, llm="fake", jobs=2)
        """), capture_output=True, text=True, timeout=120, cwd=self.folder.name)
        self.assertIn("defined at a prompt; put it into a module, or give jobs=1", done.stderr)


if __name__ == "__main__":
    unittest.main()
