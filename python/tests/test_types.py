"""The types of the package, of the examples, and of code that uses it (typed_world.py), as mypy sees them."""

import os
import re
import shutil
import subprocess
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
USER = "python/tests/typed_world.py"
MARK = re.compile(r"# wrong: ([a-z-]+)$")
MYPY = shutil.which("mypy")


class TypesTest(unittest.TestCase):
    def test_what_mypy_finds(self):
        if MYPY is None:
            self.skipTest("mypy is not installed (Debian package: mypy), so no types are checked")
        done = subprocess.run([MYPY, "--config-file", "pyproject.toml", "--cache-dir", os.devnull,
                               "--no-error-summary", "--hide-error-context", "python/throng", "python/examples", USER],
                              cwd=ROOT, capture_output=True, text=True, timeout=600)
        self.assertIn(done.returncode, (0, 1), done.stdout + done.stderr)
        found, others = set(), []
        for line in done.stdout.splitlines():
            match = re.fullmatch(rf"{USER}:(\d+): error: .*\[([a-z-]+)\]", line)
            if match:
                found.add((int(match[1]), match[2]))
            else:
                others.append(line)
        self.assertEqual(others, [])
        lines = (ROOT / USER).read_text(encoding="utf-8").splitlines()
        wrong = {(number, mark[1]) for number, line in enumerate(lines, 1) if (mark := MARK.search(line))}
        self.assertGreater(len(wrong), 5)
        self.assertEqual(found, wrong, done.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)  # so that it says when it skips, and why
