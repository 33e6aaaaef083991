"""Journals in PostgreSQL: the same runs as with files, whatever is killed; each test has a server of its own."""

import json
import os
import random
import subprocess
import sys
import time
import unittest
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory

import kill_resume_test as harness
from postgres_rig import Postgres, has_postgres

WORLD = ["--agents", "12", "--steps", "1000", "--llm", "fake", "--quiet", "--json"]
SLOW = ["--agents", "12", "--steps", "1000", "--llm", "fake:latency=0.1,spread=0.9", "--quiet", "--json", "--real-time"]
KILLS = int(os.environ.get("THRONG_KILLS", "6"))


class PostgresSubject(harness.Subject):
    """Its runs have journals in a database; what is left of each is looked at in a copy."""

    def __init__(self, server, *arguments):
        super().__init__(*arguments)
        self.server = server

    def next_journal(self):
        return self.server.address(f"{self.name}-{self.runs}")

    def copy(self, journal):
        copy = self.folder / "copy.journal"
        done = subprocess.run([self.throng, "journal", "export", journal, "--format", "journal", "-o", copy],
                              capture_output=True, text=True)
        if done.returncode == 0:
            return copy
        assert "has no journal" in done.stderr or "no manifest" in done.stderr, done.stderr
        self.server.sql(f'DROP SCHEMA IF EXISTS "{self.name}-{self.runs}" CASCADE')
        return None


@unittest.skipUnless(has_postgres(), "postgresql is not installed")
class PostgresTest(unittest.TestCase):
    throng = ""

    @classmethod
    def setUpClass(cls):
        cls.server = Postgres()
        cls.addClassCleanup(lambda: cls.server.close())
        folder = TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        cls.file = cls.folder / "file.journal"
        cls.expected = harness.finish([cls.throng, "run", *WORLD, "--journal", cls.file])

    def do(self, *arguments, **named):
        return subprocess.run([self.throng, *arguments], capture_output=True, text=True, **named)

    def run_to_end(self, *arguments):
        return harness.finish([self.throng, *arguments])

    def start(self, *arguments):
        process = subprocess.Popen([self.throng, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

        def end():
            process.kill()
            process.communicate()
        self.addCleanup(end)
        return process

    def refusal(self, *arguments, **named):
        """The one sentence with which a command is refused."""
        done = self.do(*arguments, **named)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        self.assertNotIn("secret", done.stderr)
        return done.stderr

    def assert_copy_equals(self, address, file):
        copy = self.folder / "equal.journal"
        done = self.do("journal", "export", address, "--format", "journal", "-o", copy)
        self.assertEqual(done.returncode, 0, done.stderr)
        try:
            self.assertEqual(harness.canonical(copy), harness.canonical(file))
        finally:
            copy.unlink()

    def wait_for_steps(self, address, steps):
        end = time.monotonic() + 120
        while time.monotonic() < end:
            done = self.do("journal", address, "--json")
            if done.returncode == 0 and json.loads(done.stdout)["steps"] >= steps:
                return
            time.sleep(0.05)
        self.fail(f"the run does not come to step {steps}: {done.stderr}")

    def test_the_same_hash_and_journal_as_a_file_in_every_mode(self):
        for mode in ("single", "lockstep", "ooo", "speculative"):
            address = self.server.address(f"mode-{mode}")
            result = self.run_to_end("run", *WORLD, "--mode", mode, "--journal", address)
            self.assertEqual(result["hash"], self.expected["hash"])
            self.assert_copy_equals(address, self.file)
            self.assertIn("equal in all 1000 steps", self.do("journal", "diff", address, self.file).stdout)
            again = self.run_to_end("resume", address, "--quiet", "--json")
            self.assertEqual((again["hash"], again["replayed_calls"]), (result["hash"], result["llm_calls"]))

    def test_what_reads_a_journal_reads_the_same(self):
        address = self.server.address("read")
        self.run_to_end("run", *WORLD, "--journal", address)
        for table in ("agents", "commits", "bodies", "cells", "events", "steps", "memories", "presence"):
            both = [self.do("journal", "export", place, "--table", table).stdout for place in (address, self.file)]
            self.assertTrue(both[0] or table in ("cells", "presence"), table)
            self.assertEqual(both[0], both[1], table)
        both = [self.do("journal", "prompts", place, "--json").stdout.splitlines() for place in (address, self.file)]
        self.assertEqual(len(both[0]), len(both[1]))
        both = [[{key: call[key] for key in ("prompt", "system", "answer", "seed", "temperature", "choices", "memories")}
                 for call in map(json.loads, lines)] for lines in both]
        self.assertEqual(both[0], both[1])
        both = [json.loads(self.do("journal", place, "--json").stdout) for place in (address, self.file)]
        for key in ("steps", "answers", "commits", "bodies", "events"):
            self.assertEqual(both[0][key], both[1][key], key)
        self.assertIn(self.expected["hash"], self.do("journal", "cite", address).stdout)
        self.assertEqual(self.do("journal", "export", address, "--format", "sqlite", "-o", self.folder / "plain").stderr, "")
        self.assertEqual(harness.rows(self.folder / "plain", "SELECT count(*) FROM calls"),
                         harness.rows(self.file, "SELECT count(*) FROM calls"))
        self.assertEqual(self.run_to_end("run", *WORLD[:4], *WORLD[6:], "--no-journal", "--llm", f"replay:{address}")["hash"],
                         self.expected["hash"])

    def test_forks_and_copies_go_from_files_to_databases_and_back(self):
        first, second = self.server.address("fork-1"), self.server.address("fork-2")
        third, copy = self.folder / "fork.journal", self.server.address("copied")
        for source, to in ((self.file, first), (first, second), (second, third)):
            done = self.do("journal", "fork", source, "--at", "500", "-o", to)
            self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.do("journal", "export", self.file, "--format", "journal", "-o", copy).stderr, "")
        for journal in (second, third, copy):
            self.assertEqual(self.run_to_end("resume", journal, "--quiet", "--json")["hash"], self.expected["hash"])
            if journal != third:
                self.assert_copy_equals(journal, self.file)
        self.assertIn("\nforks", self.do("journal", second).stdout)

    def test_a_running_journal_has_one_writer_and_readers(self):
        address = self.server.address("running")
        run = self.start("run", *SLOW, "--journal", address)
        self.wait_for_steps(address, 20)
        self.assertIn("another running program writes it", self.refusal("resume", address))
        self.assertIn("it exists", self.refusal("run", *WORLD, "--journal", address))
        self.assertTrue(self.do("journal", "prompts", address, "--json").stdout)
        news = [f"announce Radio said: it rains, hour {hour}." for hour in range(8)]
        asked = [self.start("journal", "inject", address, each) for each in news]
        for each in asked:
            output, errors = each.communicate()
            self.assertEqual(each.returncode, 0, errors)
        viewer = self.start("serve", "--journal", address, "--port", "0")
        url = ""
        while "http://" not in url:
            url = viewer.stderr.readline()
            self.assertTrue(url, "the viewer ends at once")
        url = url[url.index("http://"):].split()[0].rstrip("/")
        with urllib.request.urlopen(f"{url}/api/search?text=ada") as reply:
            self.assertTrue(json.load(reply)["hits"])
        self.wait_for_steps(address, 60)
        run.kill()
        run.communicate()
        result = self.run_to_end("resume", address, "--quiet", "--json", "--real-time=false")
        self.assertEqual(result["events"], len(news))
        hits = self.server.sql("SELECT count(*) FROM running.interventions WHERE step IS NOT NULL")
        self.assertEqual(hits, str(len(news)))

    def test_refusals_are_one_sentence(self):
        self.server.sql("CREATE ROLE guest LOGIN; CREATE SCHEMA other; CREATE TABLE other.t(x int)")
        run = ["run", *WORLD, "--journal"]
        for words, command in {
            "cannot be reached: connection to server on socket": [*run, self.server.address("a", folder="/nowhere")],
            'database "nothing" does not exist': [*run, self.server.address("a", database="nothing")],
            'role "nobody" does not exist': ["resume", self.server.address("a", user="nobody")],
            "permission denied for database runs": [*run, self.server.address("a", user="guest")],
            "the database has no journal a": ["resume", self.server.address("a")],
            "the schema other of the database is not a journal": ["journal", self.server.address("other")],
            "found the name \"\"": [*run, f"postgres://throng@/runs?host={self.server.folder}"],
            "found the name \"a b\"": [*run, self.server.address("a b")],
            "invalid URI query parameter": [*run, self.server.address("a&colour=red")],
            "the address has a password": [*run, self.server.address("a", user="throng:secret")],
            "the address has a password, ": [*run, self.server.address("a&password=secret")],
            "the address has a password, and": [*run, self.server.address("a&pass%77ord=secret")],
            "allowed: a folder": ["sweep", "--seeds", "1", "-o", self.server.address("a")],
        }.items():
            self.assertIn(words, self.refusal(*command))
        self.run_to_end("run", *WORLD, "--journal", self.server.address("mine"))
        self.assertIn("permission denied for schema mine", self.refusal("journal", self.server.address("mine", user="guest")))

    def test_a_run_that_nobody_began_leaves_nothing(self):
        done = self.do("run", "--agents", "12", "--llm", "replay:/nowhere", "--journal", self.server.address("none"))
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(self.server.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'none'"), "0")

    def test_killed_runs_are_resumed_elsewhere(self):
        random.seed(1)
        for mode in ("ooo", "speculative"):
            flags = [*SLOW[:-1], "--mode", mode, *(flag for event in harness.EVENTS for flag in ("--event", event))]
            subject = PostgresSubject(self.server, self.throng, f"kill-{mode}", ["run", *flags], self.folder, 1.0)
            while subject.kills < KILLS:
                subject.kill_one_run(KILLS - subject.kills)
                journal = subject.next_journal()
                if self.do("journal", journal).returncode != 0:
                    continue
                result = self.run_to_end("resume", journal, "--quiet", "--json", "--real-time=false")
                self.assertEqual(result["hash"], subject.expected["hash"])
                self.assert_copy_equals(journal, subject.reference)


@unittest.skipUnless(has_postgres(), "postgresql is not installed")
class KilledServerTest(unittest.TestCase):
    throng = ""

    def setUp(self):
        self.server = Postgres()
        self.addCleanup(lambda: self.server.close())
        self.address = self.server.address("town")
        self.command = ["run", *SLOW, "--journal", self.address]
        self.expected = harness.finish([self.throng, "run", *SLOW[:-1], "--no-journal"])
        self.run = None
        self.addCleanup(self.end)

    def end(self):
        if self.run is not None:
            self.run.kill()
            self.run.communicate()

    def start(self, *flags):
        command = [self.throng, *(flag for flag in self.command if flag != "--quiet"), *flags]
        self.run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + 60
        while self.steps() < 20:
            assert time.monotonic() < end and self.run.poll() is None, "the run does not begin"
            time.sleep(0.05)

    def steps(self):
        try:
            return int(self.server.sql("SELECT count(*) FROM town.hashes"))
        except AssertionError:
            return 0

    def test_a_server_that_is_killed_and_comes_back_changes_nothing(self):
        self.start()
        kills = 0
        while kills < 3 and self.run.poll() is None:
            time.sleep(random.uniform(0.1, 0.6))
            self.server.kill()
            kills += 1
            time.sleep(random.uniform(0, 0.5))
            self.server.start()
        printed, errors = self.run.communicate()
        self.assertEqual(self.run.returncode, 0, errors)
        self.assertEqual(json.loads(printed)["hash"], self.expected["hash"])
        self.assertIn("the database is away", errors)
        again = harness.finish([self.throng, "resume", self.address, "--quiet", "--json"])
        self.assertEqual((again["hash"], again["replayed_calls"]), (self.expected["hash"], self.expected["llm_calls"]))

    def test_a_server_that_stays_away_stops_the_run_which_can_be_resumed(self):
        self.start("--max-wait", "1")
        self.server.kill()
        _, errors = self.run.communicate(timeout=60)
        self.assertEqual(self.run.returncode, 1, errors)
        self.assertIn("the database has been away for ", errors)
        self.assertIn("what is done is kept: throng resume", errors)
        self.server.start()
        result = harness.finish([self.throng, "resume", self.address, "--quiet", "--json", "--real-time=false"])
        self.assertEqual(result["hash"], self.expected["hash"])
        self.assertGreater(result["replayed_calls"], 0)


if __name__ == "__main__":
    PostgresTest.throng = KilledServerTest.throng = str(Path(sys.argv.pop(1)).resolve())
    unittest.main()
