"""Agents that sleep: nobody calls their Python code, and all modes agree."""

import os
import tempfile
import unittest

import throng

MODES = ("single", "lockstep", "ooo", "speculative")
SLOW = "fake:latency=1,spread=0.9"


class Dorm(throng.World):
    """A walker passes a row of sleepers, some of them alert, who say what they see when they wake."""

    width, height, perception_radius = 60, 8, 2
    alert = True

    def __init__(self):
        self.called = []

    def agents(self):
        return [throng.Agent("walker", (0, 2))] + [throng.Agent(f"sleeper {i}", (12 * i + 6, 3)) for i in range(4)]

    def proceed(self, view, agent):
        self.called.append((view.step, agent.id))
        if agent.id == 0:
            yield throng.Call(f"step {view.step}", max_tokens=4)
            return throng.Intent(pos=(agent.pos.x + 1, 2))
        seen = "".join(other.name for other in view.neighbours())
        return throng.Intent(status=f"{view.step} {seen}", mind=seen, sleep_until=40,
                             alert=self.alert and agent.id % 2 == 0)

    def called_for(self, agent):
        return sorted({step for step, who in self.called if who == agent})


class SleepTest(unittest.TestCase):
    def test_who_sleeps_is_not_called(self):
        hashes = set()
        for mode in MODES:
            world = Dorm()
            result = throng.run(world, SLOW, mode=mode, steps=50)
            hashes.add(result.hash)
            if mode != "speculative":  # which also calls it on guesses
                self.assertEqual([world.called_for(i) for i in (1, 3)], [[0, *range(40, 50)]] * 2)
                # In step x the walker is at x, and the second sleeper, at 18, sees from 16 to 20.
                self.assertEqual(world.called_for(2), [0, *range(16, 21), *range(40, 50)])
            self.assertEqual([agent.status for agent in result.agents[1:]], ["49 "] * 4)
        self.assertEqual(len(hashes), 1)

    def test_sleeping_is_part_of_the_state(self):
        Dorm.alert = False
        self.addCleanup(setattr, Dorm, "alert", True)
        deaf = throng.run(Dorm(), "fake", steps=3).step_hashes
        Dorm.alert = True
        self.assertNotEqual(throng.run(Dorm(), "fake", steps=3).step_hashes, deaf)

    def test_a_run_with_sleepers_goes_on(self):
        with tempfile.TemporaryDirectory() as folder:
            journal = os.path.join(folder, "a.journal")
            first = throng.run(Dorm(), "fake", steps=45, journal=journal)
            again = throng.run(Dorm(), "fake", mode="single", steps=45, journal=journal, resume=True)
            self.assertEqual((again.hash, again.replayed_calls), (first.hash, 45))

    def test_verify(self):
        report = throng.verify(Dorm, steps=45, shuffled=2)
        self.assertTrue(report, report)
        self.assertEqual(report.left_out, "")


class Alarm(throng.World):
    """The first agent wakes the second, next to it; an event wakes the third, elsewhere."""

    def __init__(self):
        self.called = []

    def agents(self):
        return [throng.Agent("caller", (0, 0)), throng.Agent("near", (1, 0)), throng.Agent("far", (50, 50))]

    def proceed(self, view, agent):
        self.called.append((agent.id, view.step))
        return throng.Intent(sleep_until=100) if agent.id else "ring" if view.step == 5 else None

    def resolve(self, step, members, commit):
        for agent in members:
            if agent.intent == "ring":
                commit.set_mind(1, "rung")
                commit.move(1, (2, 0))
            elif agent.intent is not None:
                commit.sleep(agent, agent.intent.sleep_until)

    def intervene(self, change, what):
        change.set_mind(2, what)


class WakeTest(unittest.TestCase):
    def test_whoever_changes_a_mind_wakes_it(self):
        world = Alarm()
        result = throng.run(world, "fake", steps=12, events=[(8, "rain")])
        self.assertEqual([step for who, step in world.called if who == 1], [0, 6])
        self.assertEqual([step for who, step in world.called if who == 2], [0, 8])
        self.assertEqual([agent.mind for agent in result.agents], [None, "rung", "rain"])

    def test_misuse_is_told(self):
        class Wrong(Alarm):
            def resolve(self, step, members, commit):
                commit.sleep(2 if members[0].id == 0 else 0, 5)

        with self.assertRaisesRegex(throng.Error, "agent . is written to, which is not a member of this cluster"):
            throng.run(Wrong(), "fake", steps=2)
        with self.assertRaisesRegex(throng.Error, "Commit.sleep: until is 'noon', allowed is a step"):
            world = type("Late", (Dorm,), {"proceed": lambda *_: throng.Intent(sleep_until="noon")})
            throng.run(world(), "fake", steps=2)


if __name__ == "__main__":
    unittest.main()
