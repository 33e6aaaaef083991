"""Memory over many runs in one process: what a run took is given back, also if it failed half-way."""

import os
import unittest

import support  # noqa: F401 (finds the package)
import throng
from support import Line


class Fails(Line):
    """Its first agent raises while the calls of others are in flight, and their generators wait."""

    def proceed(self, view, agent):
        answer = yield throng.Call("go?" + "x" * 100_000, choices=["left", "right"])
        if view.step == 2 and agent.id == 0:
            raise ValueError(answer)
        return throng.Intent(mind=(*agent.mind, "y" * 10_000))


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class MemoryTest(unittest.TestCase):
    def test_runs_leave_nothing_behind(self):
        def run():
            throng.run(Line(), "fake", steps=5)
            with self.assertRaises(ValueError):
                throng.run(Fails(), "fake", steps=5)

        for _ in range(30):
            run()
        before = resident_bytes()
        for _ in range(120):
            run()
        # Each run that fails has 600 kB of prompts in flight: three that are kept would show.
        self.assertLess(resident_bytes() - before, 1 << 20)


if __name__ == "__main__":
    unittest.main()
