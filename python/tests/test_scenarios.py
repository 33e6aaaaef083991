"""The pages of docs/scenarios: their command lines run, and come to the hashes that they show."""

import os
import re
import subprocess
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = sorted((ROOT / "docs" / "scenarios").glob("[a-z]*.md"))


class ScenariosTest(unittest.TestCase):
    def test_every_page_has_a_question_a_plot_and_its_hash(self):
        self.assertEqual(len(PAGES), 5)
        for page in PAGES:
            with self.subTest(page.stem):
                text = page.read_text(encoding="utf-8")
                self.assertIn("**Question.**", text)
                self.assertIn(f"]({page.stem}.svg)", text)
                self.assertGreater(page.with_suffix(".svg").stat().st_size, 5000)
                command = re.search(r"python3 (python/examples/\w+\.py) (--agents \d+ --steps \d+ --seed \d+)", text)
                done = subprocess.run([sys.executable, ROOT / command[1], *command[2].split()], capture_output=True,
                                      encoding="utf-8", timeout=300, env={**os.environ, "PYTHONIOENCODING": "utf-8"})
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(re.search(r"hash ([0-9a-f]{32})", done.stdout)[1], re.search(r"hash `([0-9a-f]+)`", text)[1])


if __name__ == "__main__":
    unittest.main()
