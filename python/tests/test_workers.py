"""throng.run(workers=...): the same result as without, whatever becomes of the workers."""

import enum
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import unittest
import warnings
from dataclasses import dataclass

import throng
from support import Line

MODES = ("single", "lockstep", "ooo", "speculative")
SLOW = "fake:latency=1,spread=0.9"


class Mood(enum.Enum):
    CALM = 1
    CROSS = 2


@dataclass(frozen=True)
class Note:
    step: int
    mood: Mood


class Readers(Line):
    """Reads all that a view has: neighbours, cells near and far, announcements; asks several things at once."""

    horizon = 3

    def proceed(self, view, agent):
        near = [other.id for other in view.neighbours()]
        footprints = [view.cell((agent.pos.x + dx, 1)) for dx in (-1, 0, 1) if 0 <= agent.pos.x + dx < self.width]
        first, second = yield [throng.Call(f"{agent.name} sees {len(near)} {footprints}", max_tokens=8),
                               throng.Call("Which?", choices=["1", "2"], temperature=1.0)]
        try:
            view.cell((79 - agent.pos.x, 2))
        except throng.Error as error:
            first += str(error)[:20]
        third = yield throng.Call(f"{first} {len(view.announced())}", choices=["left", "right"])
        return near, third, Note(view.step, Mood.CROSS if second == "2" else Mood.CALM), view.random.choice((-1, 1))

    def resolve(self, step, members, commit):
        for agent in members:
            near, third, note, direction = agent.intent
            commit.move(agent, (min(max(agent.pos.x + direction, 0), self.width - 1), 1))
            commit.set_status(agent, str(third))
            commit.set_mind(agent, {"notes": [note], "near": near})
            commit.write(agent.pos, f"{agent.name} {step}")
            if note.mood is Mood.CROSS:
                commit.announce(agent, f"{agent.name} is cross")


class Lost(Line):
    """The first process that does step 3 of agent 1 kills itself, in the middle of it."""

    def __init__(self, path, always=False):
        super().__init__(4)
        self.path = path
        self.always = always

    def proceed(self, view, agent):
        answer = yield throng.Call(f"{agent.name} {view.step}", choices=["a", "b"])
        if view.step == 3 and agent.id == 1 and not (os.path.exists(self.path) and not self.always):
            with open(self.path, "a"):
                pass
            os.kill(os.getpid(), signal.SIGKILL)
        second = yield throng.Call(f"and then {answer}", choices=["c", "d"])
        return throng.Intent(mind=(*agent.mind, str(answer + second)))


class WorkersTest(unittest.TestCase):
    def check(self, make_world, steps, llm=SLOW, modes=MODES):
        """Runs with workers, and compares with a run without."""
        alone = throng.run(make_world(), llm, steps=steps, mode="single")
        for mode in modes:
            with self.subTest(mode):
                result = throng.run(make_world(), llm, steps=steps, mode=mode, workers=2)
                self.assertEqual(result.hash, alone.hash)
                self.assertEqual(result.agents, alone.agents)
                self.assertEqual(result.cells, alone.cells)
                self.assertEqual(result.events, alone.events)
                self.assertEqual(result.calls, alone.calls)
                self.assertEqual(result.repeated_steps, 0)
        return alone

    def test_all_modes_come_to_the_same(self):
        self.check(lambda: Line(8, 3), 12)

    def test_views_are_read_as_without_workers(self):
        self.assertGreater(len(self.check(lambda: Readers(7, 3), 8, modes=("lockstep", "speculative")).cells), 5)

    def test_virtual_time_stands_still_while_workers_work(self):
        alone = throng.run(Line(), SLOW, steps=15, mode="ooo")
        shared = throng.run(Line(), SLOW, steps=15, mode="ooo", workers=2)
        self.assertAlmostEqual(shared.backend_s, alone.backend_s, delta=0.2 * alone.backend_s)
        self.assertAlmostEqual(shared.parallelism, alone.parallelism, delta=0.2 * alone.parallelism)

    def test_functions_as_backends(self):
        self.check(lambda: Line(5, 3), 6, lambda call: call.choices[len(call.prompt) % 2], modes=("ooo",))

    def test_failed_calls_fall_back_as_without_workers(self):
        def refuse(call):
            return "nowhere" if call.prompt.startswith("a2") else "left"

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            alone = throng.run(Line(), refuse, steps=4)
            shared = throng.run(Line(), refuse, steps=4, workers=1)
        self.assertGreater(alone.failed_calls, 0)
        self.assertEqual(shared.hash, alone.hash)
        self.assertEqual(shared.events, alone.events)

    def test_a_worker_killed_in_the_middle_of_a_step_is_replaced(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "killed")
            open(path, "w").close()
            alone = throng.run(Lost(path), SLOW, steps=6)
            os.remove(path)
            shared = throng.run(Lost(path), SLOW, steps=6, workers=2)
            self.assertTrue(os.path.exists(path))
            self.assertEqual(shared.hash, alone.hash)
            self.assertGreaterEqual(shared.repeated_steps, 1)

    def test_a_step_that_kills_every_worker_ends_the_run(self):
        with tempfile.TemporaryDirectory() as folder, self.assertRaisesRegex(
                throng.Error, r"agent 1, step 3: 5 workers were lost"):
            throng.run(Lost(os.path.join(folder, "killed"), always=True), SLOW, steps=6, workers=2)

    def test_exceptions_are_raised_as_without_workers(self):
        class Local(Line):
            pass

        with self.assertRaisesRegex(throng.Error, "cannot be sent to them"):
            throng.run(Local(), SLOW, steps=1, workers=1)
        with self.assertRaises(ZeroDivisionError) as raised:
            throng.run(Divides(), SLOW, steps=5, workers=2)
        self.assertIn("in proceed", str(raised.exception.__cause__))
        self.assertIn("test_workers.py", str(raised.exception.__cause__))
        with self.assertRaisesRegex(throng.Error, "agent 2.* reads cell .*perceives only"):
            throng.run(LooksFar(), SLOW, steps=5, workers=2)
        with self.assertRaisesRegex(throng.Error, "what proceed of agent \\d .*cannot be sent"):
            throng.run(ReturnsAFunction(), SLOW, steps=5, workers=2)
        for wrong in (-1, True, "8", 1.5, "http://localhost"):
            with self.assertRaisesRegex(throng.Error, "allowed: a number of processes"):
                throng.run(Line(), SLOW, steps=1, workers=wrong)

    def test_journals_resume_with_and_without_workers(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "run.journal")
            alone = throng.run(Readers(5, 3), SLOW, steps=8)
            first = throng.run(Readers(5, 3), SLOW, steps=4, journal=path, workers=2)
            self.assertEqual(first.step_hashes, alone.step_hashes[:4])
            second = throng.run(Readers(5, 3), SLOW, steps=8, journal=path, resume=True, workers=1)
            self.assertEqual(second.hash, alone.hash)
            self.assertEqual(second.replayed_calls, first.calls)
            third = throng.run(Readers(5, 3), SLOW, steps=8, journal=path, resume=True)
            self.assertEqual(third.hash, alone.hash)

    def test_scripts_define_their_worlds(self):
        script = textwrap.dedent("""
            import sys, throng

            class Mine(throng.World):
                def __init__(self, greeting):
                    self.greeting = greeting
                    self.answer_of = lambda text: text.upper()

                def agents(self):
                    return [throng.Agent(f"a{i}", (9 * i, 0), mind=()) for i in range(3)]

                def proceed(self, view, agent):
                    answer = yield throng.Call(self.greeting, choices=["x", "y"])
                    return throng.Intent(mind=(*agent.mind, self.answer_of(answer)))

            print(throng.run(Mine(sys.argv[1]), "fake", steps=3, workers=int(sys.argv[2])).hash)
            """)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "script.py")
            with open(path, "w") as file:
                file.write(script)
            lines = [subprocess.run([sys.executable, path, "hello", workers], capture_output=True, text=True, check=True)
                     .stdout for workers in ("0", "2")]
        self.assertEqual(lines[0], lines[1])
        self.assertEqual(lines[0].count("\n"), 1)


class Divides(Line):
    def proceed(self, view, agent):
        yield throng.Call(agent.name, choices=["a"])
        if view.step == 2 and agent.id == 2:
            raise ZeroDivisionError("none")


class LooksFar(Line):
    def proceed(self, view, agent):
        if view.step == 2 and agent.id == 2:
            view.cell((79, 2))


class ReturnsAFunction(Line):
    def proceed(self, view, agent):
        return lambda: agent

    def resolve(self, step, members, commit):
        pass


if __name__ == "__main__":
    unittest.main()
