"""World.declare and World.expect: fewer agents wait, and nothing else changes."""

import unittest

import support
import throng

SLOW = "fake:latency=1,spread=0.9"
MODES = ("single", "lockstep", "ooo", "speculative")


class Street(throng.World):
    """Thinkers sit and ask something in every step until step 30; idlers, out of their sight, walk and ask nothing."""

    width, height = 60, 20
    perception_radius = 4

    def agents(self):
        for i in range(3):
            yield throng.Agent(f"thinker {i}", (20 * i, 0), mind=30)
            yield throng.Agent(f"idler {i}", (20 * i, 12))

    def proceed(self, view, agent):
        if agent.mind is None:
            return throng.Intent(pos=(agent.pos.x, 12 + view.step % 2))
        if view.step < agent.mind:
            answer = yield throng.Call(f"{agent.name}, step {view.step}", choices=["yes", "no"])
            return throng.Intent(status=answer)


class Promising(Street):
    def declare(self, step, agent):
        if agent.mind is not None:
            return throng.Lookahead(agent.mind, agent.pos, agent.pos)


class DeclareTest(unittest.TestCase):
    def test_nobody_waits_for_who_promised_to_stay(self):
        plain = throng.run(Street(), SLOW, steps=40)
        for mode in MODES:
            self.assertEqual(throng.run(Promising(), SLOW, mode=mode, steps=40).step_hashes, plain.step_hashes)
        self.assertLess(plain.max_spread, 20)
        self.assertGreater(throng.run(Promising(), SLOW, steps=40).max_spread, 25)
        self.assertTrue(throng.verify(Promising, SLOW, steps=35))

    def test_a_broken_promise_stops_the_run(self):
        class Broken(Promising):
            def declare(self, step, agent):
                return throng.Lookahead(99, agent.pos, agent.pos)

        with self.assertRaisesRegex(throng.Error, "idler"):
            throng.run(Broken(), SLOW, steps=5)

    def test_misuse_is_told(self):
        for wrong, pattern in (((1, (0, 0)), "has no attribute"), (throng.Lookahead("soon", (0, 0), (0, 0)), "'soon'"),
                               (throng.Lookahead(9, "here", (0, 0)), "Lookahead.low is 'here'")):
            with self.assertRaisesRegex((throng.Error, AttributeError), pattern):
                throng.run(type("Wrong", (Street,), {"declare": lambda self, step, agent: wrong})(), "fake", steps=1)


class ExpectTest(unittest.TestCase):
    def test_guesses_change_no_result(self):
        asked = []

        class Guessing(support.Line):
            def expect(self, step, agent, later):
                asked.append((step, later))
                return throng.Expectation(agent.pos, agent.status, planned=True)

        plain = throng.run(support.Line(8, 3), SLOW, mode="speculative", steps=30)
        result = throng.run(Guessing(8, 3), SLOW, mode="speculative", steps=30)
        self.assertEqual(result.step_hashes, plain.step_hashes)
        self.assertGreater(len(asked), 0)
        self.assertTrue(all(step <= later for step, later in asked))

    def test_exceptions_stop_the_run(self):
        class Wrong(support.Line):
            def expect(self, step, agent, later):
                raise RuntimeError("no idea")

        with self.assertRaisesRegex(RuntimeError, "no idea"):
            throng.run(Wrong(8, 3), SLOW, mode="speculative", steps=30)


if __name__ == "__main__":
    unittest.main()
