"""The console script ``throng`` of an installed package: becomes the program."""

import os
import sys


def main() -> None:
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bin", "throng")
    os.execv(program, ["throng", *sys.argv[1:]])
