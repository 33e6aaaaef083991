"""The help of every subcommand fits a terminal and has an example; a wrong word gets the right one."""

import re
import subprocess
import sys
import unittest

THRONG = sys.argv.pop(1)
COLUMNS = 100


def run(*arguments):
    return subprocess.run([THRONG, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)


def walk(path=()):
    """All (words, help text): the program's own, and that of each subcommand at any depth."""
    text = run(*path, "--help").stdout
    yield path, text
    listed = re.search(r"^Subcommands:\n((?: .*\n)*)", text, re.MULTILINE)
    for name in re.findall(r"^  (\S+)", listed[1], re.MULTILINE) if listed else []:
        yield from walk((*path, name))


class HelpTest(unittest.TestCase):
    def test_every_help_fits_and_has_an_example(self):
        texts = dict(walk())
        self.assertGreater(len(texts), 30)
        for path, text in texts.items():
            with self.subTest(command=path):
                self.assertEqual([line for line in text.splitlines() if len(line) > COLUMNS], [])
                examples = re.findall(r"^  (?:.*\| )?throng (.*)", text[text.index("Example"):], re.MULTILINE)
                self.assertTrue(examples)
                self.assertTrue(any(example.split()[:len(path)] == list(path) for example in examples), examples)

    def test_sentences_break_where_a_line_is_full(self):
        for path, text in walk():
            lines = text[text.index("Usage:"):].splitlines()
            early = [line for line, after in zip(lines, lines[1:])
                     if re.match(r"\w.*\w$|\w$", line) and re.match(r"\w", after) and len(line) < COLUMNS - 20]
            with self.subTest(command=path):
                self.assertEqual(early, [])

    def test_examples_have_only_flags_that_are_there(self):
        texts = dict(walk())
        for path, text in texts.items():
            examples = text[text.index("Example"):].replace("\\\n", "")
            for example in re.findall(r"throng (.*)", examples):
                words = re.sub(r"'[^']*'|\"[^\"]*\"", "''", re.split(r" && | \| ", example)[0]).split()
                command = max((other for other in texts if words[:len(other)] == list(other)), key=len)
                known = texts[command] + (texts[("run",)] if command == ("sweep",) else "")
                flags = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", known[:known.rindex("Example")]))
                with self.subTest(command=path, example=example):
                    self.assertLessEqual({word for word in words if re.match("--?[a-z]", word)}, flags)

    def test_help_as_a_subcommand(self):
        self.assertEqual(run("help", "run").stdout, run("run", "--help").stdout)
        self.assertEqual(run("help", "journal", "fork").stdout, run("journal", "fork", "--help").stdout)
        self.assertEqual(run("help").stdout, run("--help").stdout)
        wrong = run("help", "jornal")
        self.assertNotEqual(wrong.returncode, 0)
        self.assertIn("did you mean journal?", wrong.stderr)

    def test_version(self):
        flag = run("--version")
        self.assertRegex(flag.stdout, r"^throng \d+\.\d+")
        self.assertEqual((flag.returncode, flag.stdout), (0, run("version").stdout))

    def test_what_was_meant(self):
        cases = [
            (["run", "--agnets", "5"], "throng run has no flag --agnets, did you mean --agents?"),
            (["run", "--max-tokens=5"], "throng run has no flag --max-tokens, did you mean --max-tokens-total?"),
            (["journal", "fork", "a.journal", "--att", "5"], "throng journal fork has no flag --att, did you mean --at?"),
            (["--verison"], "throng has no flag --verison, did you mean --version?"),
            (["rnu"], '"rnu" is not a subcommand of throng, did you mean run?'),
            (["--log", "debug", "verfy"], '"verfy" is not a subcommand of throng, did you mean verify?'),
            (["trace", "stast"], '"stast" is not a subcommand of throng trace, did you mean stats?'),
            (["run", "--nonsense"], "throng run has no flag --nonsense; see throng run --help"),
            (["fly"], '"fly" is not a subcommand of throng; see throng --help'),
        ]
        for arguments, sentence in cases:
            with self.subTest(arguments=arguments):
                done = run(*arguments)
                self.assertEqual((done.returncode, done.stdout, done.stderr), (2, "", f"throng: {sentence}\n"))

    def test_other_misuse_says_where_to_look(self):
        done = run("run", "--steps", "many")
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, r"^throng: .*--steps.*; see throng run --help\n$")


if __name__ == "__main__":
    unittest.main()
