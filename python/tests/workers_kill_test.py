"""Kills workers, runs and Redis at random moments; the run, resumed from its journal, must come to the same.

usage: workers_kill_test.py --kills N [--seed S]
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time

import redis_rig

NUM_WORKERS = 2


class Society:
    """A run, its workers and Redis: whatever is not there is started again."""

    def __init__(self, folder, steps):
        self.journal = os.path.join(folder, "run.journal")
        self.steps = steps
        self.redis = redis_rig.Redis(folder)
        self.address = self.redis.address("kills")
        self.workers = []
        self.run = None

    def keep_alive(self):
        """Returns what the run printed, once it has ended by itself."""
        if self.redis.process.poll() is not None:
            self.redis.start()
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        while len(self.workers) < NUM_WORKERS:
            self.workers.append(redis_rig.start_worker(self.address, stderr=subprocess.DEVNULL))
        if self.run is None:
            self.run = redis_rig.start_run(self.address, self.steps, journal=self.journal, sleep=0.01, mode="speculative")
        if self.run.poll() is None:
            return None
        printed, errors = self.run.communicate()
        if self.run.returncode != 0:
            raise SystemExit(f"the run fails:\n{errors}")
        return printed

    def kill_one(self, chance):
        victim = chance.choice(("worker", "worker", "run", "redis"))
        if victim == "redis":
            self.redis.kill()
        elif victim == "run":
            self.run.kill()
            self.run.communicate()
            self.run = None
        else:
            chance.choice(self.workers).kill()
        return victim

    def close(self):
        for process in (*self.workers, self.run, self.redis.process):
            if process is not None:
                process.kill()
                process.communicate()


def check(kills, chance):
    """Returns how many of each kind were killed in one run."""
    killed = {"worker": 0, "run": 0, "redis": 0}
    steps = 25
    with tempfile.TemporaryDirectory() as folder:
        society = Society(folder, steps)
        try:
            printed, due = None, time.monotonic() + 2 + chance.random()
            while printed is None:
                printed = society.keep_alive()
                if printed is None and sum(killed.values()) < kills and time.monotonic() >= due:
                    killed[society.kill_one(chance)] += 1
                    due = time.monotonic() + 0.2 + 2 * chance.random()
                time.sleep(0.02)
            expected, _ = redis_rig.start_run(0, steps).communicate()
            if printed != expected:
                raise SystemExit(f"after {killed}: {printed!r}, expected {expected!r}")
        finally:
            society.close()
    return killed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    flags = parser.parse_args()
    if not redis_rig.has_redis():
        print("skipped: redis-server is not installed")
        return 77
    chance, total = random.Random(flags.seed), {"worker": 0, "run": 0, "redis": 0}
    while sum(total.values()) < flags.kills:
        for kind, number in check(flags.kills - sum(total.values()), chance).items():
            total[kind] += number
        print(f"killed so far: {total}; each run came to the same", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
