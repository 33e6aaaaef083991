"""throng tokenize: ids, pieces, JSON and counts are of one text, and ids give the text back. Usage: tokenize_test.py THRONG ROOT"""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

THRONG = sys.argv.pop(1)
MODEL = Path(sys.argv.pop(1)) / "town" / "model.gguf"
TEXT = "Hello é\n".encode()


def run(*arguments, text=TEXT):
    return subprocess.run([THRONG, "tokenize", "-m", MODEL, *arguments], input=text, capture_output=True, timeout=60)


class TokenizeTest(unittest.TestCase):
    def test_all_forms_are_of_the_same_ids(self):
        ids = [int(word) for word in run().stdout.split()]
        self.assertEqual(run("--decode", text=run().stdout).stdout, TEXT)
        self.assertEqual(int(run("--count").stdout), len(ids))
        tokens = json.loads(run("--json").stdout)
        self.assertEqual(tokens["count"], len(ids))
        self.assertEqual([token["id"] for token in tokens["tokens"]], ids)
        pieces = [token["piece"] for token in tokens["tokens"]]
        self.assertEqual(b"".join(piece.encode() if isinstance(piece, str) else bytes(piece) for piece in pieces), TEXT)
        lines = [line.split("\t", 1) for line in run("--pieces").stdout.decode().splitlines()]
        self.assertEqual([(int(id), json.loads(piece)) for id, piece in lines], list(zip(ids, pieces)))

    def test_a_control_token_is_shown_by_its_name(self):
        last = json.loads(run("--eos", "--json").stdout)["tokens"][-1]
        self.assertEqual((last["piece"], last["name"]), ("", "<|endoftext|>"))
        self.assertTrue(run("--eos", "--pieces").stdout.endswith(b"\t<|endoftext|>\n"))

    def test_text_comes_from_a_file(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(TEXT)
            file.flush()
            self.assertEqual(run("--file", file.name, text=b"").stdout, run().stdout)
        missing = run("--file", "/no/such/file")
        self.assertEqual(missing.returncode, 1)
        self.assertIn(b"/no/such/file", missing.stderr)

    def test_only_one_form_may_be_asked_for(self):
        self.assertIn(b"--pieces excludes --json", run("--json", "--pieces").stderr)


if __name__ == "__main__":
    unittest.main()
