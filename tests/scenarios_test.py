"""Scenarios from elsewhere: what `throng import` makes of tests/import passes `throng check` and runs at once, in every mode
alike; and their people answer files of questions."""

import csv
import io
import json
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

THRONG = Path(sys.argv.pop(1)).resolve()
ROOT = Path(__file__).resolve().parent.parent
FORMS = ROOT / "tests" / "import"
HAMLET = FORMS / "frontend_server" / "storage" / "three_neighbours"
SOURCES = [(HAMLET,), (FORMS / "garden.tmj",), (FORMS / "garden.tmj", "--people", FORMS / "people.json"), (FORMS / "people.csv",),
           (FORMS / "people.json",), (FORMS / "reddit.json",), (FORMS / "twitter.csv",)]


def throng(*arguments):
    return subprocess.run([THRONG, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8",
                          timeout=300)


class ScenariosTest(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="throng_scenarios_"))
        self.addCleanup(shutil.rmtree, self.folder)

    def ok(self, *arguments):
        done = throng(*arguments)
        self.assertEqual((done.returncode, done.stderr), (0, ""), arguments)
        return done.stdout

    def run_json(self, scenario, *more):
        return json.loads(self.ok("run", "--scenario", scenario, "--llm", "fake", "--until", "09:00", "--quiet", "--json",
                                  *more))

    def test_what_is_imported_runs_at_once(self):
        for number, source in enumerate(SOURCES):
            with self.subTest(source=source):
                out = self.folder / str(number)
                told = json.loads(self.ok("import", *source, "-o", out, "--json"))
                self.assertIn(f"no problems, {told['people']} people", self.ok("check", out))
                whole = self.run_json(out, "--no-journal")
                self.assertGreater(whole["llm_calls"], told["people"])
                self.assertEqual(whole["failed_calls"], 0)
                for mode in ("single", "lockstep"):
                    self.assertEqual(self.run_json(out, "--no-journal", "--mode", mode)["hash"], whole["hash"])

    def test_imported_people_remember_and_are_shown(self):
        hamlet, journal = self.folder / "hamlet", self.folder / "hamlet.journal"
        printed = self.ok("import", HAMLET, "-o", hamlet)
        self.assertIn("Generative Agents: 3 people, 4 places, 2 homes, 3 memories\nleft out:\n", printed)
        self.assertIn("1 places that nobody can reach: Old Tower\n", printed)
        self.assertIn("the embedded model 1024 tokens", printed)
        self.assertTrue(printed.endswith(f"throng run --scenario {hamlet}\n"))
        self.run_json(hamlet, "--journal", journal)
        shown = self.ok("interview", journal, "--agent", "Anna Berg", "--at", 0)
        self.assertIn("- 06:30 Bo is happier since he goes to Hill School\n", shown)
        prompts = self.ok("journal", "prompts", journal, "--agent", "Anna Berg")
        self.assertIn("About: Anna Berg is a baker at Mill Bakery", prompts)
        again = throng("import", HAMLET, "-o", hamlet)
        self.assertEqual((again.returncode, again.stdout), (1, ""))
        self.assertIn("this exists, and is not empty", again.stderr)

    def test_import_lists_all_problems_of_a_table(self):
        people, town = self.folder / "people.csv", self.folder / "town"
        people.write_text("name,age\n" + "".join(f"P{row},old\n" for row in range(60)))
        done = throng("import", people, "-o", town)
        self.assertEqual((done.returncode, done.stderr), (1, f"throng: {people}: 60 problems\n"))
        lines = done.stdout.splitlines()
        self.assertEqual(len(lines), 51)
        self.assertEqual(lines[49], f'{people}:51: age: found "old", allowed: a whole number')
        self.assertEqual(lines[50], "and 10 more; --json has all")
        problems = json.loads(throng("import", people, "-o", town, "--json").stdout)["problems"]
        self.assertEqual([problem["line"] for problem in problems], list(range(2, 62)))
        self.assertEqual(problems[0]["at"], "age")
        people.write_text("name,age\nAnn,old\nBen,5\n")
        done = throng("import", people, "-o", town)
        self.assertEqual((done.stdout, done.stderr), ("", f'throng: {people}:2: age: found "old", allowed: a whole number\n'))
        self.assertFalse(town.exists())

    def test_check_lists_all_problems_and_run_stops_with_the_first(self):
        town = self.folder / "town"
        shutil.copytree(ROOT / "town", town, ignore=shutil.ignore_patterns("eval", "model.gguf"))
        for file, old, new in (("personas.json", '"age": 34', '"age": "old"'), ("prompts/say.txt", "{{news}}", "{{gossip}}"),
                               ("scenario.json", '"hours": 7', '"hours": 0')):
            text = (town / file).read_text()
            self.assertIn(old, text)
            (town / file).write_text(text.replace(old, new))
        done = throng("check", town)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr, f"throng: {town}: 3 problems\n")
        lines = done.stdout.splitlines()
        self.assertEqual(len(lines), 3)
        self.assertTrue(lines[0].startswith(f'{town}/personas.json: [0].age: found "old", allowed: a whole number'), lines)
        problems = json.loads(throng("check", town, "--json").stdout)["problems"]
        self.assertEqual([problem.get("at", problem.get("line")) for problem in problems], ["[0].age", 15, "hours"])
        stopped = throng("run", "--scenario", town, "--llm", "fake", "--no-journal")
        self.assertEqual(stopped.returncode, 1)
        self.assertEqual(stopped.stderr, f"throng: {lines[0]} (2 more: throng check {town} lists them)\n")

    def test_many_questions(self):
        journals = []
        for seed in (1, 2, 3):
            journals.append(self.folder / f"{seed}.journal")
            self.ok("run", "--llm", "fake", "--agents", 4, "--until", "07:30", "--quiet", "--seed", seed, "--journal", journals[-1])
        ask = ["interview", journals[0], "--questions", ROOT / "town" / "questions.json", "--llm", "fake"]
        rows = list(csv.DictReader(io.StringIO(self.ok(*ask, "--csv"))))
        self.assertEqual(len(rows), 4 * 15)
        self.assertEqual({row["category"] for row in rows}, {"self-knowledge", "memory", "plans", "reactions", "reflections"})
        self.assertEqual({row["agent"] for row in rows}, {"Ada", "Ben", "Cleo", "Dan"})
        self.assertEqual({row["score"] for row in rows}, {""})
        some = self.ok(*ask, "--agent", "Ada", "--agent", "Dan", "--csv")
        self.assertEqual(len(list(csv.DictReader(io.StringIO(some)))), 2 * 15)

        judged = json.loads(self.ok(*ask, "--also", journals[1], "--also", journals[2], "--without", "reflections,plans",
                                    "--judge", "fake:seed=4", "--json"))
        self.assertEqual(len(judged["answers"]), 3 * 2 * 4 * 15)
        self.assertEqual({answer["seed"] for answer in judged["answers"]}, {1, 2, 3})
        scores = {(score["condition"], score["category"]): score for score in judged["scores"]}
        self.assertEqual(len(scores), 2 * 6)
        # Means of runs by hand.
        whole = scores["without reflections,plans", "all"]
        means = [sum(found) / len(found) for found in (
            [answer["score"] for answer in judged["answers"]
             if answer["journal"] == str(journal) and answer["condition"] == "without reflections,plans"] for journal in journals)]
        self.assertAlmostEqual(whole["mean"], sum(means) / 3)
        self.assertEqual(whole["runs"], 3)
        self.assertLess(whole["interval"][0], whole["mean"])
        printed = self.ok(*ask, "--judge", "fake:seed=4")
        self.assertRegex(printed.splitlines()[1], r"^full memory +\d\.\d\d +\d\.\d\d")
        dull = throng(*ask, "--agent", "Ada", "--judge", "local")  # the town's own model
        self.assertEqual(dull.stderr, "throng: the judge gave 3 to all 15 answers, so its scores tell nothing: take a larger model\n")

        # The same at several moments: each has its answers, and a row of scores.
        twice = [*ask, "--at", "07:00", "--at", "07:30", "--agent", "Ada"]
        rows = list(csv.DictReader(io.StringIO(self.ok(*twice, "--csv"))))
        self.assertEqual([row["time"] for row in rows], ["07:00"] * 15 + ["07:30"] * 15)
        self.assertEqual([row["time"] for row in csv.DictReader(io.StringIO(self.ok(*ask, "--agent", "Ada", "--csv")))], ["07:30"] * 15)
        judged = json.loads(self.ok(*twice, "--judge", "fake:seed=4", "--json"))
        for time in ("07:00", "07:30"):
            found = [answer["score"] for answer in judged["answers"] if answer["time"] == time]
            score, = [score for score in judged["scores"] if (score["time"], score["category"]) == (time, "all")]
            self.assertAlmostEqual(score["mean"], sum(found) / 15)
        printed = self.ok(*twice, "--without", "plans", "--judge", "fake:seed=4")
        self.assertEqual([line.split("  ")[0] for line in printed.splitlines()[1:]],
                         ["full memory, 07:00", "full memory, 07:30", "without plans, 07:00", "without plans, 07:30",
                          "", "less full memory, by seed", "without plans, 07:00", "without plans, 07:30"])

    def test_days_lived_without(self):
        """Forks whose people's prompts hold something back are rows of their own, compared by seed."""
        journals = []
        for seed in (1, 2, 3):
            whole, less = self.folder / f"{seed}.journal", self.folder / f"{seed}-less.journal"
            self.ok("run", "--llm", "fake", "--agents", 4, "--until", "07:30", "--quiet", "--seed", seed, "--journal", whole)
            self.ok("journal", "fork", whole, "--at", "06:30", "-o", less, "--without", "observations,plans")
            self.ok("resume", less, "--quiet")
            journals += [whole, less]
        prompts = {path: self.ok("journal", "prompts", path, "--agent", "Ada", "--from", "07:00") for path in journals[:2]}
        self.assertIn("You began to", prompts[journals[0]])
        self.assertNotIn("You began to", prompts[journals[1]])
        self.assertEqual(self.ok("journal", "prompts", journals[1], "--to", "06:30"), self.ok("journal", "prompts", journals[0], "--to", "06:30"))
        again = self.folder / "again.journal"
        self.ok("journal", "fork", journals[1], "--at", "07:00", "-o", again, "--without", "relations")
        self.ok("resume", again, "--quiet", "--from-start")
        kept = self.ok("journal", "prompts", again, "--from", "07:00")
        self.assertIn("You began to", kept)
        self.assertNotIn("(partner)", kept)

        ask = ["interview", journals[0], "--questions", ROOT / "town" / "questions.json", "--llm", "fake", "--judge", "fake:seed=4"]
        for path in journals[1:]:
            ask += ["--also", path]
        judged = json.loads(self.ok(*ask, "--json"))
        rows = {row["lived_without"]: row for row in judged["scores"] if row["category"] == "all"}
        self.assertEqual(set(rows), {"", "observations,plans"})
        self.assertNotIn("difference", rows[""])
        mean = {}
        for answer in judged["answers"]:
            mean.setdefault((answer["lived_without"], answer["seed"]), []).append(answer["score"])
        mean = {key: sum(scores) / len(scores) for key, scores in mean.items()}
        differences = [mean["observations,plans", seed] - mean["", seed] for seed in (1, 2, 3)]
        found = rows["observations,plans"]["difference"]
        self.assertEqual(found["runs"], 3)
        self.assertAlmostEqual(found["mean"], sum(differences) / 3)
        self.assertLess(found["interval"][0], found["mean"])
        printed = self.ok(*ask).splitlines()
        self.assertEqual([line.split("  ")[0] for line in printed],
                         ["score, 1 to 5", "full memory", "lived without observations,plans, full memory", "",
                          "less full memory, by seed", "lived without observations,plans, full memory"])
        refused = throng("journal", "fork", journals[0], "--at", "5", "-o", self.folder / "no.journal", "--without", "hope")
        self.assertEqual(refused.returncode, 1)
        self.assertIn('found "hope", allowed: observations, reflections, plans and relations', refused.stderr)
        self.assertFalse((self.folder / "no.journal").exists())

    def test_questions_are_refused_in_a_sentence(self):
        journal = self.folder / "a.journal"
        self.ok("run", "--llm", "fake", "--agents", 3, "--steps", 5, "--quiet", "--journal", journal)
        questions = self.folder / "questions.json"
        for text, words in (("{}", "an object of lists of questions"), ('{"dreams": ["What?"]}', 'found the category "dreams"'),
                            ('{"memory": [5]}', "memory[0]: found 5"), ("{", "questions.json:1: this is not JSON")):
            questions.write_text(text)
            done = throng("interview", journal, "--questions", questions)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn(words, done.stderr)
        questions.write_text('{"memory": ["What?"]}')
        for flags, words in ((["--without", "hope"], 'found "hope", allowed: observations, reflections, plans and relations'),
                             (["--agent", "Nobody"], "nobody of this name")):
            done = throng("interview", journal, "--questions", questions, "--llm", "fake", *flags)
            self.assertEqual(done.returncode, 1)
            self.assertIn(words, done.stderr)
        self.assertIn("--agent: found 0 names", throng("interview", journal, "Where?").stderr)
        twice = throng("interview", journal, "Where?", "--agent", "Ada", "--at", "1", "--at", "2")
        self.assertIn("--at: found 2 moments, allowed: one, or many with --questions", twice.stderr)


if __name__ == "__main__":
    unittest.main()
