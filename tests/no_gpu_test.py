"""A GPU that is not there: one clear sentence on stderr and a non-zero exit, also where there is no driver."""

import re
import subprocess
import sys

SENTENCE = r"cuda:4711: this machine has \d+ GPUs that CUDA can use"


def main():
    result = subprocess.run([sys.argv[1], "generate", "--device", "cuda:4711", "-p", "x", "-n", "1"], stdin=subprocess.DEVNULL,
                            capture_output=True, text=True, timeout=120)
    assert result.returncode != 0, result
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and re.search(SENTENCE + "$", lines[0]), result.stderr
    assert result.stdout == "", result.stdout


main()
