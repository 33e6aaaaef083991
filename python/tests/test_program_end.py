"""Programs that end while a daemon thread still runs a society or uses a model."""

import asyncio
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

import throng


class Talkers(throng.World):
    def agents(self):
        return [throng.Agent(f"a{i}", (3 * i, 0)) for i in range(20)]

    def proceed(self, view, agent):
        answer = yield throng.Call("hello")
        return throng.Intent(mind=answer)


def answer(call):
    time.sleep(0.003)
    return "hi"


async def answer_later(call):
    await asyncio.sleep(0.02)
    return "hi"


def run(llm, steps, journal, **more):
    return throng.run(Talkers(), llm, steps=steps, journal=journal, **more)


def generate():
    model = throng.Model()
    while True:
        model.generate(["The park is"] * 4, max_tokens=400)


STEPS = 300  # which no program has time for
USES = {
    "function": lambda journal: run(answer, STEPS, journal),
    "async function": lambda journal: run(answer_later, STEPS, journal),
    "fake": lambda journal: run("fake", 1000 * STEPS, journal),
    "workers": lambda journal: run(answer, STEPS, journal, workers=2),
    "model": lambda journal: generate(),
}


class SlowToDie:
    """Gives threads time to come for Python's lock while the program ends."""

    def __del__(self, sleep=time.sleep):
        sleep(0.3)


def end_during(use, journal):
    threading.Thread(target=USES[use], args=(journal,), daemon=True).start()
    while use != "model" and not Path(journal).exists():
        time.sleep(0.01)
    time.sleep(1.5)
    globals()["slow"] = SlowToDie()


class ProgramEndTest(unittest.TestCase):
    def test_daemon_threads_are_stopped(self):
        with tempfile.TemporaryDirectory() as folder:
            # All at once: when they compete, threads are ended in more places.
            programs = [(use, subprocess.Popen([sys.executable, __file__, use, f"{folder}/{i}-{use}"], stdout=subprocess.PIPE,
                                               stderr=subprocess.PIPE, text=True)) for i in range(2) for use in USES]
            for use, program in programs:
                with self.subTest(use):
                    said, errors = program.communicate(timeout=120)
                    self.assertEqual((program.returncode, said, errors), (0, "", ""))
            # The calls that were answered are in the journal: the same run goes on.
            journals = [journal for journal in Path(folder).iterdir() if journal.name.endswith("function")]
            self.assertEqual(len(journals), 4)
            for journal in journals:
                with self.subTest(journal.name), self.assertWarns(RuntimeWarning):  # another backend goes on
                    replayed = run("fake", STEPS, str(journal), resume=True).replayed_calls
                    self.assertTrue(0 < replayed < 20 * STEPS, replayed)


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] in USES:
        end_during(*sys.argv[1:])
    else:
        unittest.main(verbosity=2)
