"""What a journal shows, and how its run goes on: prompts, views for other programs, differences, citation; a later end, an end at an event,
another backend, other limits, copies."""

import csv
import io
import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

THRONG = str(Path(sys.argv.pop(1)).resolve())
SOURCE = Path(__file__).resolve().parent.parent
TOWN = ["--agents", "12", "--llm", "fake", "--quiet", "--json"]


def throng(*arguments, code=0):
    done = subprocess.run([THRONG, *map(str, arguments)], capture_output=True, text=True, timeout=300)
    assert done.returncode == code, f"{arguments}: exit code {done.returncode}, not {code}: {done.stderr}"
    return done


def run(*arguments):
    return json.loads(throng(*arguments).stdout)


def rows(path, query, *values):
    database = sqlite3.connect(path)
    try:
        return database.execute(query, values).fetchall()
    finally:
        database.close()


class JournalTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.path = Path(cls.folder.name)
        cls.town = cls.path / "town.journal"
        cls.done = run("run", *TOWN, "--until", "09:00", "--price", "1,2", "--journal", cls.town)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_every_utterance_leads_to_its_prompt(self):
        said = rows(
            self.town,
            "SELECT e.name, e.text, c.function, c.prompt, c.answer FROM events AS e JOIN calls AS c USING (step, agent, call) "
            "WHERE e.kind = 'say'",
        )
        self.assertGreater(len(said), 5)
        self.assertEqual(len(said), rows(self.town, "SELECT count(*) FROM events WHERE kind = 'say'")[0][0])
        for name, text, function, prompt, answer in said:
            self.assertEqual(function, "say")
            self.assertTrue(prompt.startswith(f"Name: {name}\n") and prompt.rstrip().endswith("Say:"), prompt)
            self.assertIn("\nMemories:\n- ", prompt)
            self.assertIn(" ".join(json.loads(answer)["say"].split()), " ".join(text.split()))

    def test_every_utterance_leads_to_the_memories_that_were_used(self):
        used = rows(
            self.town,
            "SELECT e.step, e.name, m.made, m.text, c.prompt FROM events AS e JOIN memories AS m USING (step, agent, call) "
            "JOIN calls AS c USING (step, agent, call) WHERE e.kind = 'say' ORDER BY e.step, e.agent, e.call, m.seq",
        )
        self.assertGreater(len(used), 20)
        for step, name, made, text, prompt in used:
            self.assertLessEqual(made, step)
            told = text.partition(" said: ")[2]  # sentences of it are news for the other
            self.assertTrue(f" {text}\n" in prompt or any(f"- {part}" in prompt for part in re.split(r"(?<=[.!?]) ", told or "?")), (text, prompt))
        # A memory of what was heard leads to the utterance that it comes from.
        heard = [(made, *text.split(" said: ", 1), name) for _, name, made, text, _ in used if " said: " in text and made > 0]
        self.assertGreater(len(heard), 5)
        for made, speaker, text, name in heard:
            said = rows(self.town, "SELECT text FROM conversations WHERE step = ? AND name = ?", made, speaker)
            self.assertIn((f"to {name}: {text}",), said)

    def test_prompts_are_shown_and_exported(self):
        shown = throng("journal", "prompts", self.town, "--agent", "Ada", "--function", "plan").stdout
        self.assertEqual(shown.count("=== step"), 1)
        self.assertIn("Ada (agent 0), call 0: plan\n--- prompt\nName: Ada\n", shown)
        self.assertIn("json_schema {", shown)
        calls = [json.loads(line) for line in throng("journal", "prompts", self.town, "--json").stdout.splitlines()]
        self.assertEqual(len(calls), self.done["llm_calls"])
        some = throng("journal", "prompts", self.town, "--from", "08:00", "--to", "08:30", "--json").stdout
        steps = [json.loads(line)["step"] for line in some.splitlines()]
        clocks = rows(self.town, "SELECT key, value FROM manifest WHERE key IN ('start', 'seconds_per_step') ORDER BY key")
        per_step, start = int(clocks[0][1]), clocks[1][1]
        first = (8 * 3600 - int(start[:2]) * 3600 - int(start[3:]) * 60) // per_step
        self.assertEqual(steps, [call["step"] for call in calls if first <= call["step"] < first + 1800 // per_step])
        self.assertIn("allowed: Ada, Ben", throng("journal", "prompts", self.town, "--agent", "Nobody", code=1).stderr)
        table = throng("journal", "export", self.town, "--format", "csv", "--table", "calls").stdout
        exported = list(csv.DictReader(io.StringIO(table, newline="")))
        self.assertEqual([row["prompt"] for row in exported], [call["prompt"] for call in calls])
        memories = rows(self.town, "SELECT made, memory, text FROM memories ORDER BY step, agent, call, seq")
        of_calls = [tuple(memory[key] for key in ("made", "memory", "text")) for call in calls for memory in call["memories"]]
        self.assertEqual(of_calls, memories)
        text = throng("journal", "prompts", self.town, "--function", "say").stdout
        self.assertRegex(text, r"\n--- memories in the prompt\n\d+, step \d+ \(\d\d:\d\d\): ")
        table = throng("journal", "export", self.town, "--format", "csv", "--table", "memories").stdout
        self.assertEqual([row["text"] for row in csv.DictReader(io.StringIO(table, newline=""))], [text for *_, text in memories])
        lines = throng("journal", "export", self.town).stdout.splitlines()
        self.assertEqual(sum(json.loads(line)["table"] == "calls" for line in lines), len(calls))
        self.assertTrue([line for line in lines if json.loads(line)["table"] == "progress"])

    def test_views_are_plain_text_for_pandas(self):
        names = {name for name, in rows(self.town, "SELECT name FROM sqlite_master WHERE type = 'view'")}
        documented = set(re.findall(r"^\| `(\w+)` \|", (SOURCE / "docs/journal-format.md").read_text(), re.MULTILINE))
        self.assertEqual(names, documented)
        for name in names:
            for row in rows(self.town, f"SELECT * FROM {name}"):
                self.assertFalse([value for value in row if isinstance(value, bytes)], name)
        plain = self.path / "plain.sqlite"
        throng("journal", "export", self.town, "--format", "sqlite", "-o", plain)
        for table in sorted(names | {"agents", "steps", "pauses", "progress", "guesses"}):
            self.assertEqual(sorted(rows(plain, f"SELECT * FROM {table}")), sorted(rows(self.town, f"SELECT * FROM {table}")))
        try:
            import pandas
        except ImportError:
            return
        frame = pandas.read_sql("SELECT * FROM calls", sqlite3.connect(self.town))
        self.assertEqual(len(frame), self.done["llm_calls"])
        self.assertEqual(frame["prompt_tokens"].sum(), self.done["prompt_tokens"])

    def test_usage_adds_up(self):
        shown = run("journal", self.town, "--json")
        for kind in ("functions", "agents"):
            self.assertEqual(sum(each["llm_calls"] for each in shown[kind]), self.done["llm_calls"])
            self.assertAlmostEqual(sum(each["cost"] for each in shown[kind]), self.done["cost"])
        self.assertEqual([(kind,) for kind in ("act", "plan")], rows(self.town, "SELECT function FROM function_usage LIMIT 2"))

    def test_the_manifest_says_all(self):
        shown = run("journal", self.town, "--json")
        manifest = shown["manifest"]
        self.assertRegex(manifest["commit"], r"^([0-9a-f]{40}( with changes)?|unknown)$")
        self.assertRegex(manifest["machine"], r", \d+ threads, Linux ")
        for key, value in {"price": "1,2", "target_ms": "1000", "batch": "128", "prefix_cache": "1", "llm": "fake", "prompts": "on"}.items():
            self.assertEqual(manifest[key], value, key)
        kept = dict(rows(self.town, "SELECT name, content FROM files"))
        for file in ("map.json", "personas.json", "prompts/say.txt"):
            self.assertEqual(kept[file], (SOURCE / "town" / file).read_text())
        cited = throng("journal", "cite", self.town).stdout
        for part in (manifest["commit"], self.done["hash"], manifest["scenario"], "seed 1", "@misc{throng-", f"{self.done['llm_calls']} calls"):
            self.assertIn(part, cited)

    def test_prompts_at_most_triple_the_journal(self):
        sizes = {}
        for prompts in ("on", "off"):
            journal = self.path / f"{prompts}.journal"
            run("run", "--llm", "fake", "--quiet", "--json", "--prompts", prompts, "--journal", journal)
            sizes[prompts] = journal.stat().st_size
        self.assertEqual(rows(self.path / "off.journal", "SELECT count(prompt) FROM calls"), [(0,)])
        self.assertEqual(rows(self.path / "off.journal", "SELECT count(text), count(made) > 99 FROM memories"), [(0, 1)])
        self.assertLess(sizes["on"], 3 * sizes["off"], sizes)

    def test_the_chat_template_of_a_run_stays(self):
        template, journal = self.path / "chat.jinja", self.path / "template.journal"
        template.write_text("{% for m in messages %}{{ m.content }}\n\n{% endfor %}")
        town = ["run", "--agents", "2", "--quiet", "--json", "--chat-template", template]
        whole = run(*town, "--until", "07:00", "--no-journal")
        self.assertGreater(whole["llm_calls"], 0)
        run(*town, "--until", "06:30", "--journal", journal)
        self.assertEqual(rows(journal, "SELECT value FROM manifest WHERE key = 'chat_template'"), [(str(template),)])
        self.assertEqual(run("resume", journal, "--until", "07:00", "--quiet", "--json")["hash"], whole["hash"])

    def test_a_run_can_be_extended(self):
        journal = self.path / "short.journal"
        run("run", *TOWN, "--until", "08:00", "--price", "1,2", "--journal", journal)
        longer = run("resume", journal, "--until", "09:00", "--quiet", "--json")
        self.assertEqual(longer["hash"], self.done["hash"])
        self.assertEqual(throng("journal", "diff", journal, self.town).stdout.splitlines()[-1], f"equal in all {longer['steps']} steps")
        self.assertIn("allowed: as many or more", throng("resume", journal, "--until", "08:00", code=1).stderr)
        again = run("resume", journal, "--quiet", "--json")
        self.assertEqual((again["hash"], again["replayed_calls"]), (longer["hash"], longer["llm_calls"]))

    def test_a_finished_run_keeps_its_record(self):
        journal = self.path / "finished.journal"
        run("run", *TOWN, "--until", "08:00", "--journal", journal)
        before = [rows(journal, f"SELECT * FROM {table}") for table in ("manifest", "sessions", "files")]
        done = throng("resume", journal, "--llm", "fake:seed=9", "--max-tokens-total", "77", "--quiet", "--json")
        self.assertIn("the run is finished", done.stderr)
        self.assertEqual(json.loads(done.stdout)["backend"], dict(before[0])["backend"])
        self.assertEqual([rows(journal, f"SELECT * FROM {table}") for table in ("manifest", "sessions", "files")], before)
        run("resume", journal, "--llm", "fake:seed=9", "--until", "08:10", "--quiet", "--json")
        self.assertEqual(len(rows(journal, "SELECT DISTINCT backend FROM sessions")), 2)

    def test_a_run_ends_at_an_event_alike_in_every_mode(self):
        kind, text = rows(self.town, "SELECT kind, text FROM events WHERE kind = 'say' ORDER BY step LIMIT 1 OFFSET 2")[0]
        step = rows(self.town, "SELECT min(step) FROM events WHERE kind = 'say' AND instr(text, ?)", text)[0][0]
        ended = {}
        for mode in ("ooo", "lockstep", "speculative"):
            journal = self.path / f"event-{mode}.journal"
            ended[mode] = run("run", *TOWN, "--mode", mode, "--until-event", f"{kind}={text}", "--journal", journal)
            self.assertEqual(ended[mode]["steps"], step + 1)
            self.assertEqual(ended[mode]["hash"], ended["ooo"]["hash"])
            for table in ("events", "bodies", "steps"):
                self.assertEqual(rows(journal, f"SELECT * FROM {table}"), rows(self.path / "event-ooo.journal", f"SELECT * FROM {table}"))
            again = run("resume", journal, "--quiet", "--json")
            self.assertEqual((again["hash"], again["steps"]), (ended["ooo"]["hash"], step + 1))
        journal = self.path / "event-ooo.journal"
        straight = run("run", *TOWN, "--steps", step + 1, "--no-journal")
        self.assertEqual(straight["hash"], ended["ooo"]["hash"])
        # On to the next such event, and from there to an hour.
        next_step = rows(self.town, "SELECT min(step) FROM events WHERE kind = 'say' AND step > ?", step)[0][0]
        self.assertEqual(run("resume", journal, "--until-event", "say", "--quiet", "--json")["steps"], next_step + 1)
        self.assertEqual(run("resume", journal, "--until", "09:00", "--quiet", "--json")["hash"], self.done["hash"])

    def test_another_backend_takes_over(self):
        journal = self.path / "dead.journal"
        limit = str((self.done["prompt_tokens"] + self.done["output_tokens"]) // 2)
        throng("run", *TOWN, "--until", "09:00", "--max-tokens-total", limit, "--journal", journal, code=3)
        kept = rows(journal, "SELECT * FROM calls")
        done = run("resume", journal, "--llm", "fake:seed=9", "--max-tokens-total", "99999999", "--quiet", "--json")
        self.assertEqual(done["replayed_calls"], len(kept))
        self.assertNotEqual(done["hash"], self.done["hash"])
        self.assertLessEqual(set(kept), set(rows(journal, "SELECT * FROM calls")))
        shown = run("journal", journal, "--json")
        self.assertEqual(shown["manifest"]["llm"], "fake:seed=9")
        self.assertEqual(shown["manifest"]["max_tokens_total"], "99999999")
        first, second = shown["sessions"]
        self.assertEqual(first["parameters"]["max_tokens_total"], limit)
        self.assertEqual(second["parameters"]["max_tokens_total"], "99999999")
        self.assertIn("llm", second["parameters"])
        self.assertNotEqual(first["backend"], second["backend"])
        self.assertGreater(second["first_step"], 0)
        self.assertEqual(rows(journal, "SELECT count(*) FROM calls WHERE session = 1"), [(len(kept),)])
        self.assertIn(f"from step {second['first_step']} on", throng("journal", "cite", journal).stdout)

    def test_differences_name_step_agent_and_line(self):
        other = self.path / "other.journal"
        fork_at = self.done["steps"] // 2
        throng("journal", "fork", self.town, "--at", fork_at, "-o", other, "--seed", 7)
        run("resume", other, "--quiet", "--json")
        found = throng("journal", "diff", self.town, other, "--json", code=1)
        difference = json.loads(found.stdout)["difference"]
        self.assertGreaterEqual(difference["step"], fork_at)
        self.assertRegex(difference["what"], r"^call 0 \(\w+\) has other settings$")
        self.assertEqual((difference["a"], difference["b"]), ("seed 1", "seed 7"))
        self.assertEqual(json.loads(found.stdout)["manifest"]["seed"], ["1", f"1,7@{fork_at}"])
        # Somebody knows of something else: the first prompt that has it, and its line.
        happening = self.path / "happening.journal"
        run("run", *TOWN, "--until", "09:00", "--event", "07:30 announce Radio said: it rains.", "--journal", happening)
        difference = json.loads(throng("journal", "diff", self.town, happening, "--json", code=1).stdout)["difference"]
        self.assertEqual(difference["what"], "an event from outside differs")
        database = sqlite3.connect(happening)
        database.execute("DELETE FROM interventions")
        database.execute("DELETE FROM chronicle WHERE kind = 'hear'")
        database.execute("DELETE FROM commits")
        database.commit()
        database.close()
        shutil.copy(self.town, self.path / "without.journal")
        database = sqlite3.connect(self.path / "without.journal")
        database.execute("DELETE FROM commits")
        database.commit()
        database.close()
        difference = json.loads(throng("journal", "diff", self.path / "without.journal", happening, "--json", code=1).stdout)["difference"]
        self.assertRegex(difference["what"], r"^call 0 \(\w+\) differs in line \d+ of its prompt$")
        self.assertIn("it rains", difference["b"])

    def test_a_copy_without_the_log_is_understood(self):
        """While a run goes on, what it did may still be in the -wal file."""
        journal = self.path / "killed.journal"
        process = subprocess.Popen(
            [THRONG, "run", "--real-time", "--llm", "fake:latency=0.05", "--until", "08:00", "--quiet", "--journal", journal],
            stdout=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                time.sleep(0.05)
                try:
                    if journal.exists() and rows(journal, "SELECT count(*) FROM calls")[0][0] >= 10:
                        break
                except sqlite3.OperationalError:
                    pass  # not begun
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        alone = self.path / "alone.journal"
        shutil.copy(journal, alone)
        again = run("resume", alone, "--real-time=false", "--quiet", "--json")
        both = self.path / "both.journal"
        for suffix in ("", "-wal"):
            shutil.copy(f"{journal}{suffix}", f"{both}{suffix}")
        resumed = run("resume", both, "--real-time=false", "--quiet", "--json")
        self.assertEqual(again["hash"], resumed["hash"])
        self.assertGreater(resumed["replayed_calls"], again["replayed_calls"])
        empty = self.path / "empty.journal"
        empty.touch()
        self.assertIn("empty.journal-wal", throng("resume", empty, code=1).stderr)

    def test_interviews_repeat_what_failed(self):
        journal = self.path / "sick.journal"
        sick = run("run", "--agents", "12", "--llm", "fake:fail=0.1", "--fallback", "any", "--until", "09:00", "--quiet", "--json", "--journal", journal)
        self.assertGreater(sick["failed_calls"], 3)
        shown = json.loads(throng("interview", journal, "--agent", "Ada", "--json").stdout)
        self.assertTrue(shown["memories"])


if __name__ == "__main__":
    unittest.main()
