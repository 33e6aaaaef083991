"""A worker for runs of ``throng.run(..., workers="redis://HOST:PORT/NAME")``: python3 -m throng.worker."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys

from . import _native
from .workers import serve_redis

_EXAMPLES = """examples:
  on the host of the run:   python3 town.py --workers redis://10.0.0.1:6379/town
  on any number of others:  python3 -m throng.worker redis://10.0.0.1:6379/town town.py --processes 8

Run and workers need the same files of the world, and versions of throng and Python. A worker waits for its run, and
ends with it. It executes what the run sends: let nobody else reach that Redis. docs/workers.md has more.
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m throng.worker", description="Does the steps of agents for a run on "
                                     "another host, by way of Redis.", epilog=_EXAMPLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", metavar="redis://[USER:PASSWORD@]HOST[:PORT]/NAME",
                        help="as the run has it; NAME is the run's")
    parser.add_argument("script", nargs="?", help="where the script of the run is on this host (default: at the same path)")
    parser.add_argument("--processes", type=int, default=1, metavar="N",
                        help="workers to start, one for each core is best (default: %(default)s)")
    flags = parser.parse_args()
    if flags.processes < 1:
        parser.error(f"--processes {flags.processes}: allowed: 1 or more")
    if flags.processes > 1:
        return _start(flags)
    try:
        serve_redis(flags.address, flags.script, lambda text: print(f"throng.worker: {text}", file=sys.stderr))
    except _native.Error as error:
        print(f"throng.worker: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _start(flags: argparse.Namespace) -> int:
    command = [sys.executable, "-m", "throng.worker", flags.address, *([flags.script] if flags.script else [])]
    workers: list[subprocess.Popen] = []
    is_stopped = False

    def stop(*_: object) -> None:
        nonlocal is_stopped
        is_stopped = True
        for worker in workers:
            worker.terminate()

    signal.signal(signal.SIGTERM, stop)
    try:
        while len(workers) < flags.processes and not is_stopped:
            workers.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))
        if is_stopped:
            stop()  # also the one that was being started
        code = max((abs(worker.wait()) for worker in workers), default=0)
        return 128 + signal.SIGTERM if is_stopped else code
    except KeyboardInterrupt:
        for worker in workers:
            worker.wait()
        return 130
    finally:
        stop()


if __name__ == "__main__":
    sys.exit(main())
