"""The code in docs/python runs, prints what the page shows, and draws the figures; each page is a notebook, too.

    python3 python/tests/test_tutorial.py --write     writes output, figures and notebooks into docs/python
"""

import contextlib
import io
import json
import os
import pathlib
import re
import shutil
import sys
import tempfile
import unittest

try:
    import matplotlib
except ImportError:
    matplotlib = None

DOCS = pathlib.Path(__file__).resolve().parent.parent.parent / "docs/python"
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:```text\n(.*?)^```\n)?", re.M | re.S)


def run_page(page, folder):
    """Runs the code of a page in a folder; returns the page with what each block printed."""
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "throng"  # equal figures are equal files
    namespace = {"__name__": "tutorial"}
    text = page.read_text()

    def run_block(block):
        printed = io.StringIO()
        lines_before = text.count("\n", 0, block.start()) + 1
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * lines_before + block[1], page, "exec"), namespace)
        output = "".join(line.rstrip() + "\n" for line in printed.getvalue().splitlines())
        return f"```python\n{block[1]}```\n" + (f"```text\n{output}```\n" if output else "")

    before = os.getcwd()
    os.chdir(folder)
    try:
        return BLOCK.sub(run_block, text)
    finally:
        os.chdir(before)


def notebook_of(page):
    """The text of a notebook (nbformat 4.4) with the words, the code and the output of a page."""
    text = page.read_text()
    cells, words_begin = [], 0

    def add(kind, source, **more):
        if source.strip():
            cells.append({"cell_type": kind, "metadata": {}, "source": source.strip("\n").splitlines(keepends=True), **more})

    for block in BLOCK.finditer(text):
        add("markdown", text[words_begin:block.start()])
        printed = (block[2] or "").splitlines(keepends=True)
        outputs = [{"output_type": "stream", "name": "stdout", "text": printed}] if printed else []
        add("code", block[1], execution_count=None, outputs=outputs)
        words_begin = block.end()
    add("markdown", text[words_begin:])
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return json.dumps({"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 4},
                      indent=1, ensure_ascii=False) + "\n"


@unittest.skipIf(matplotlib is None, "matplotlib is missing (python3-matplotlib)")
class TutorialTest(unittest.TestCase):
    def test_pages_say_what_their_code_does(self):
        pages = sorted(DOCS.glob("*.md"))
        self.assertTrue(pages)
        for page in pages:
            with self.subTest(page.name), tempfile.TemporaryDirectory() as folder:
                self.maxDiff = None
                self.assertEqual(run_page(page, folder), page.read_text())
                for figure in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.read_text()):
                    self.assertGreater(os.path.getsize(os.path.join(folder, figure)), 1000, figure)
                    self.assertTrue((DOCS / figure).exists(), figure)


class NotebookTest(unittest.TestCase):
    def test_notebooks_are_their_pages(self):
        for page in sorted(DOCS.glob("*.md")):
            self.assertEqual(page.with_suffix(".ipynb").read_text(), notebook_of(page),
                             f"write it anew: python3 {pathlib.Path(__file__).name} --write")


def write():
    for page in DOCS.glob("*.md"):
        with tempfile.TemporaryDirectory() as folder:
            page.write_text(run_page(page, folder))
            for figure in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.read_text()):
                shutil.copy(os.path.join(folder, figure), DOCS / figure)
        page.with_suffix(".ipynb").write_text(notebook_of(page))


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        write()
    else:
        unittest.main()
