"""The examples: their command line, tables and plots; every mode comes to the same; what running out of order saves."""

import contextlib
import csv
import importlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import types
import unittest
from pathlib import Path

import support
import throng

EXAMPLES = Path(support.__file__).resolve().parent.parent / "examples"
sys.path.insert(0, str(EXAMPLES))

# Example: agents, steps, columns of its table, and on a model of a server the speed-up over lock step that running out
# of order, and speculatively, must reach. A little below 1, guesses were tried, and were wrong.
CASES = {
    "tournament": (10, 18, ["player", "character", "score", "games", "silent"], 1.05, 1.25),
    "feed": (60, 6, ["step", "nothing", "post", "share"], 1.02, 1.03),
    "epidemic": (100, 10, ["step", "ill", "well"], 1.05, 1.3),
    "market": (28, 20, ["step", "village", "price", "buyer"], 1.0, 0.98),
    "town": (6, 40, ["name", "bakery", "school", "park", "café", "library", "said"], 1.3, 1.45),
    "civil_violence": (48, 10, ["step", "jailed", "police", "quiet", "rebelling"], 1.08, 1.05),
    "reddit": (36, 8, ["community", "id", "by", "text", "likes", "dislikes", "comments"], 1.05, 1.05),
    "pub": (12, 4, ["step", "player", "outcome", "what"], 1.05, 1.1),
    "election": (60, 14, ["step", "popular", "ordinary"], 1.02, 1.01),
    "classroom": (62, 12, ["step", *(f"row {row}" for row in range(1, 6))], 1.0, 0.99),
    "microblog": (60, 24, ["name", "follows", "followers", "posts", "likes"], 1.4, 1.4),
    "newsroom": (32, 8, ["step", "alone", "reads"], 1.0, 1.0),
}
PORTS = ("civil_violence", "reddit", "pub", "tournament")


def run(name, *more):
    agents, steps = CASES[name][:2]
    return subprocess.run([sys.executable, EXAMPLES / f"{name}.py", "--agents", str(agents), "--steps", str(steps),
                           *more], capture_output=True, encoding="utf-8", timeout=300,
                          env={**os.environ, "PYTHONIOENCODING": "utf-8"})


def world_of(name):
    module = importlib.import_module(name)
    found = [value for value in vars(module).values()
             if isinstance(value, type) and issubclass(value, throng.World) and value is not throng.World]
    return found[0]


class ExamplesTest(unittest.TestCase):
    def test_there_is_a_case_for_each(self):
        self.assertEqual(sorted(CASES), sorted(path.stem for path in EXAMPLES.glob("*.py") if path.stem != "common"))

    def test_each_ends_in_a_table_and_a_plot(self):
        has_matplotlib = importlib.util.find_spec("matplotlib") is not None
        for name, (_, steps, columns, *_) in CASES.items():
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                done = run(name, "--out", folder)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertRegex(done.stdout, r"\d+ calls, .* in flight, .* s, hash [0-9a-f]{32}")
                with open(Path(folder) / f"{name}.csv", encoding="utf-8", newline="") as file:
                    rows = list(csv.DictReader(file))
                self.assertEqual(list(rows[0]), columns)
                self.assertGreater(len(rows), 3)
                plot = Path(folder) / f"{name}.png"
                self.assertEqual(plot.exists(), has_matplotlib)
                if has_matplotlib:
                    self.assertGreater(plot.stat().st_size, 5000)
                else:
                    self.assertIn("no plot: matplotlib is not installed", done.stdout)

    def test_each_is_the_same_in_every_mode(self):
        for name, (agents, steps, *_) in CASES.items():
            with self.subTest(name):
                report = throng.verify(lambda: world_of(name)(agents), steps=steps, shuffled=1)
                self.assertTrue(report, report.difference)

    def test_what_other_orders_save_on_a_model_of_a_server(self):
        common = importlib.import_module("common")
        for name, (agents, steps, _, ooo, speculative) in CASES.items():
            with self.subTest(name):
                printed = io.StringIO()
                with contextlib.redirect_stdout(printed):
                    results = common.compare(world_of(name), types.SimpleNamespace(agents=agents, steps=steps, seed=1))
                self.assertEqual(len({result.hash for result in results.values()}), 1)
                self.assertGreaterEqual(results["lockstep"].backend_s, ooo * results["ooo"].backend_s)
                self.assertGreaterEqual(results["lockstep"].backend_s, speculative * results["speculative"].backend_s)

    def test_the_people_of_a_scenario(self):
        people = [{"name": "Lia", "job": "baker", "about": "Bakes and blogs.", "relations": [{"name": "Tor", "relation": "follows"}]},
                  {"name": "Tor", "job": "driver", "relations": []}]
        prompts = set()

        def answer(call):
            prompts.add(call.prompt)
            return '{"action":"post","text":"hello"}'

        throng.run(world_of("feed")(len(people), people), answer, steps=10)
        self.assertTrue(any(prompt.startswith("You are Lia (Bakes and blogs.) and like baker.") and "Tor: driver: hello" in prompt
                            for prompt in prompts), prompts)
        self.assertTrue(any(prompt.startswith("You are Tor and like driver. Your feed:\n(empty)") for prompt in prompts), prompts)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "personas.json"
            file.write_text(json.dumps(people), encoding="utf-8")
            self.assertEqual(run("feed", "--people", str(file)).returncode, 0)

    def test_the_command_line(self):
        self.assertIn("equal in all runs", run("pub", "--verify").stdout)
        self.assertRegex(run("pub", "--compare").stdout, r"lockstep +[\d.]+ s +1\.00x")
        refused = run("pub", "--llm", "no such backend")
        self.assertEqual((refused.returncode, refused.stderr.count("\n")), (1, 1))
        self.assertIn("pub: ", refused.stderr)
        with tempfile.TemporaryDirectory() as folder:
            journal = str(Path(folder) / "pub.journal")
            failed = run("pub", "--llm", "fake:fail=0.05", "--journal", journal)
            self.assertEqual(failed.returncode, 1)
            self.assertIn("the same command goes on where it stopped", failed.stderr)
            done = run("pub", "--journal", str(Path(folder) / "other.journal"))
            again = run("pub", "--journal", str(Path(folder) / "other.journal"), "--mode", "single")
            self.assertEqual(again.stdout.split()[-1], done.stdout.split()[-1])

    def test_ports_say_how_long_they_are(self):
        for name in PORTS:
            text = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
            head = re.sub(r"\s+", " ", text.split('"""')[1])
            theirs, ours = map(int, re.search(r"\((\d+) lines .*this file has (\d+)", head).groups())
            self.assertEqual(ours, text.count("\n"), name)
            self.assertLessEqual(ours, theirs, name)


if __name__ == "__main__":
    unittest.main()
