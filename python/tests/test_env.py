"""throng.Env: the contract of PettingZoo's parallel API, actions and hooks, and the hash of throng.run."""

import gc
import signal
import subprocess
import sys
import threading
import unittest
import weakref

import support
import throng
import throng.env
from support import Line
from test_dynamic import EVENTS, Mice

SLOW = "fake:latency=1,spread=0.9"


class Corridor(throng.World):
    """Ann and Ben walk to the right end for a reward, and leave there; Cleo only talks."""

    width, height, perception_radius = 12, 1, 3

    def agents(self):
        return [throng.Agent("Ann", (0, 0)), throng.Agent("Ben", (3, 0)), throng.Agent("Cleo", (5, 0), mind=())]

    def action_space(self, agent):
        return throng.env.Discrete(2)

    def observation_space(self, agent):
        return throng.env.Dict({"x": throng.env.Discrete(12), "seen": throng.env.Discrete(3)})

    def observe(self, view, agent):
        return {"x": agent.pos.x, "seen": len(view.neighbours())}

    def proceed(self, view, agent):
        answer = yield throng.Call(f"{agent.name} at {agent.pos.x}", max_tokens=6)
        return {"x": agent.pos.x, "says": str(answer)}

    def act(self, view, agent, action):
        comment = yield throng.Call(f"{agent.name} does {action}", max_tokens=6)
        return {"x": agent.pos.x + action, "says": str(comment)}

    def resolve(self, step, members, commit):
        for agent in members:
            commit.move(agent, (agent.intent["x"], 0))
            commit.event(agent, "say", agent.intent["says"])
            if agent.intent["x"] == 11:
                commit.remove(agent)

    def reward(self, before, after):
        return after.pos.x - before.pos.x + (100 if not after.present else 0)


class ContractTest(unittest.TestCase):
    """What the documentation of PettingZoo's ParallelEnv promises to callers."""

    def check(self, env, make_actions, cycles):
        self.assertEqual(env.max_num_agents, len(env.possible_agents))
        for _ in range(2):
            live = self.check_reset(env)
            finished = set()
            for _ in range(cycles):
                actions = make_actions(env)
                returned = env.step(actions)
                self.assertEqual(len(returned), 5)
                observations, rewards, terminations, truncations, infos = returned
                for each in returned:
                    self.assertIsInstance(each, dict)
                    self.assertEqual(each.keys(), infos.keys())
                self.assertLessEqual(live, infos.keys())
                born = infos.keys() - live
                self.assertFalse(born & finished)
                for name in infos:
                    self.assertIn(observations[name], env.observation_space(name))
                    self.assertIsInstance(rewards[name], float)
                    self.assertIs(type(terminations[name]), bool)
                    self.assertIs(type(truncations[name]), bool)
                    self.assertIsInstance(infos[name], dict)
                over = {name for name in infos if terminations[name] or truncations[name]}
                finished |= over
                live = (live | born) - over
                self.assert_agents(env, live)
                if not live:
                    break
        return finished

    def check_reset(self, env):
        returned = env.reset(seed=3, options={"anything": 1})
        observations, infos = returned
        for each in returned:
            self.assertIsInstance(each, dict)
            self.assertEqual(set(each), set(env.agents))
        for name, observation in observations.items():
            self.assertIn(observation, env.observation_space(name))
        self.assert_agents(env, set(env.agents))
        return set(env.agents)

    def assert_agents(self, env, live):
        self.assertEqual(len(env.agents), len(set(env.agents)))
        self.assertEqual(set(env.agents), live)
        self.assertEqual(env.num_agents, len(live))
        self.assertLessEqual(live, set(env.possible_agents))
        for name in live:
            self.assertIs(env.observation_space(name), env.observation_space(name))
            self.assertIs(env.action_space(name), env.action_space(name))

    @staticmethod
    def sampled(env):
        return {name: env.action_space(name).sample() for name in env.agents}

    def test_worlds_with_spaces_of_their_own(self):
        env = throng.Env(Corridor(), "fake", max_steps=60)
        for name in env.possible_agents:
            env.action_space(name).seed(7)
        self.assertEqual(self.check(env, self.sampled, 100), {"Ann", "Ben", "Cleo"})

    def test_worlds_with_the_defaults(self):
        env = throng.Env(Line(4), "fake", max_steps=5)
        self.check(env, self.sampled, 100)
        self.check(env, lambda env: {}, 100)

    def test_agents_are_born_and_die(self):
        env = throng.Env(Mice(), "fake")
        finished = self.check(env, lambda env: {}, 30)
        self.assertEqual(len(env.possible_agents), 13)
        self.assertEqual(len(finished), 12)  # but for the one who would only come from outside
        self.assertEqual(env.agents, [])

    def test_attributes(self):
        env = throng.Env(Corridor(), "fake")
        self.assertIs(env.unwrapped, env)
        self.assertEqual(env.metadata["name"], "Corridor")
        self.assertIn(env.render_mode, env.metadata["render_modes"])
        self.assertEqual(list(env.action_spaces), env.possible_agents)
        self.assertIs(env.observation_spaces["Ann"], env.observation_space("Ann"))
        self.assertEqual((env.num_agents, env.max_num_agents), (0, 3))
        env.reset()
        self.assertEqual(env.num_agents, 3)

    def test_resets_with_a_seed_are_repeatable(self):
        env = throng.Env(Corridor(), "fake")

        def episode(**seed):
            seen = [env.reset(**seed)]
            for step in range(8):
                seen.append(env.step({"Ann": 1, "Ben": step % 2}))
            return seen, env.result().hash

        self.assertEqual(episode(seed=5), episode(seed=5))
        self.assertNotEqual(episode(seed=5)[1], episode(seed=6)[1])
        first, second = episode(seed=5)[1], episode()[1]
        self.assertEqual(second, episode(seed=6)[1])  # without a seed: the next one
        self.assertNotEqual(first, second)

    def test_what_is_asked_out_of_turn_is_refused(self):
        env = throng.Env(Corridor(), "fake", max_steps=1)
        for call in (lambda: env.step({}), env.state, env.render, env.result):
            with self.assertRaisesRegex(throng.Error, "call reset first"):
                call()
        env.reset()
        with self.assertRaisesRegex(throng.Error, "an action for 'Dora', allowed are the names in Env.agents"):
            env.step({"Dora": 1})
        with self.assertRaisesRegex(throng.Error, "there is no agent 'Dora'"):
            env.action_space("Dora")
        self.assertEqual(env.step({})[3], {"Ann": True, "Ben": True, "Cleo": True})
        with self.assertRaisesRegex(throng.Error, "no agent is left, or all were truncated; call reset"):
            env.step({})
        env.close()
        env.close()
        with self.assertRaisesRegex(throng.Error, "call reset first"):
            env.step({})

    def test_agents_need_names_of_their_own(self):
        world = type("Twins", (Line,), {"agents": lambda self: [throng.Agent("Ann", (0, 0))] * 2})()
        with self.assertRaisesRegex(throng.Error, "agents 0 and 1 are both called 'Ann'"):
            throng.Env(world, "fake")


class ActionsTest(unittest.TestCase):
    def test_actions_replace_what_agents_would_do(self):
        calls = []

        def answer(call):
            calls.append(call.prompt)
            return "well"

        env = throng.Env(Corridor(), answer)
        observations, _ = env.reset()
        self.assertEqual(observations["Ann"], {"x": 0, "seen": 1})
        observations, rewards, _, _, infos = env.step({"Ann": 1})
        self.assertEqual(sorted(calls), ["Ann does 1", "Ben at 3", "Cleo at 5"])
        self.assertEqual(rewards, {"Ann": 1.0, "Ben": 0.0, "Cleo": 0.0})
        self.assertEqual(observations["Ann"], {"x": 1, "seen": 1})
        self.assertEqual(infos["Ann"], {"events": [throng.Event(0, 0, "say", "well")], "acted": True})
        self.assertFalse(infos["Ben"]["acted"])

    def test_who_sleeps_does_not_act(self):
        class Sleepers(Line):
            def proceed(self, view, agent):
                return throng.Intent(sleep_until=view.step + 3, status="asleep")

        env = throng.Env(Sleepers(2), "fake")
        env.reset()
        env.step({"a1": "awake"})
        acted = [env.step({"a0": "up"})[4]["a0"]["acted"] for _ in range(3)]
        self.assertEqual(acted, [False, False, True])
        self.assertEqual(env.step({"a1": "awake"})[0]["a0"]["status"], "asleep")

    def test_who_leaves_is_terminated(self):
        env = throng.Env(Corridor(), "fake")
        env.reset()
        for step in range(8):
            observations, rewards, terminations, _, _ = env.step({"Ann": 1, "Ben": 1})
        self.assertEqual((terminations["Ben"], rewards["Ben"], observations["Ben"]["x"]), (True, 101.0, 10))
        self.assertEqual(env.agents, ["Ann", "Cleo"])
        with self.assertRaisesRegex(throng.Error, "an action for 'Ben'"):
            env.step({"Ben": 1})
        self.assertNotIn("Ben", env.step({"Ann": 1})[0])
        self.assertFalse(env.state()["agents"]["Ben"].present)
        self.assertNotIn("Ben", env.render())

    def test_the_default_hooks(self):
        env = throng.Env(Line(3, 2), "fake")
        observations, _ = env.reset()
        self.assertEqual(observations["a1"]["pos"], (4, 1))
        self.assertEqual([other.name for other in observations["a1"]["neighbours"]], ["a0", "a2"])
        env.step({"a0": "asleep", "a1": throng.Intent(write={(4, 1): "here"}), "a2": None})
        state = env.state()
        self.assertEqual((state["agents"]["a0"].status, state["cells"], state["step"]), ("asleep", {(4, 1): "here"}, 1))
        self.assertEqual(env.render().splitlines()[:2], ["step 1", "a0 (2, 1) asleep"])

    def test_one_view_for_one_step(self):
        kept = []

        class Keeping(Line):
            def observe(self, view, agent):
                kept.append(view)
                return view.random.random(), view.cell(agent.pos), view.announced()

        env = throng.Env(Keeping(2), "fake")
        env.reset()
        env.step({})
        with self.assertRaisesRegex(throng.Error, "only in the step"):
            kept[0].neighbours()
        kept[2].neighbours()


class HashTest(unittest.TestCase):
    def hash_of(self, world, llm, mode, steps, actions=None, **more):
        env = throng.Env(world, llm, mode=mode, **more)
        env.reset(seed=4)
        for step in range(steps):
            env.step(actions(step) if actions else {})
        self.addCleanup(env.close)
        return env.result()

    def test_without_actions_it_is_the_run(self):
        for make_world, steps in ((Line, 20), (lambda: Line(7, 3), 8), (Mice, 15), (Corridor, 12)):
            whole = throng.run(make_world(), SLOW, steps=steps, seed=4)
            for mode in ("single", "lockstep", "ooo", "speculative"):
                result = self.hash_of(make_world(), SLOW, mode, steps)
                self.assertEqual((result.hash, result.step_hashes), (whole.hash, whole.step_hashes), mode)
                self.assertEqual((result.agents, result.cells, result.events, result.calls, result.steps),
                                 (whole.agents, whole.cells, whole.events, whole.calls, steps))
                self.assertEqual((result.frame("events"), result.frame("steps")),
                                 (whole.frame("events"), whole.frame("steps")))
                self.assertEqual(result.frame("calls")["text"], whole.frame("calls")["text"])
                self.assertGreaterEqual(result.tokens_used, whole.tokens_used)

    def test_events_from_outside_happen(self):
        whole = throng.run(Mice(), SLOW, steps=15, seed=4, events=EVENTS)
        for mode in ("lockstep", "ooo", "speculative"):
            result = self.hash_of(Mice(), SLOW, mode, 15, events=EVENTS)
            self.assertEqual((result.hash, result.interventions), (whole.hash, len(EVENTS)), mode)

    def test_actions_give_the_same_in_every_mode(self):
        actions = lambda step: {"Ann": 1, "Ben": step % 2} if step < 11 else {}
        hashes = {self.hash_of(Corridor(), SLOW, mode, 15, actions).hash
                  for mode in ("single", "lockstep", "ooo", "speculative")}
        self.assertEqual(len(hashes), 1)
        self.assertNotIn(throng.run(Corridor(), "fake", steps=15, seed=4).hash, hashes)

    def test_with_the_embedded_model(self):
        model = throng.Model(threads=1)
        whole = throng.run(Corridor(), model, steps=3, seed=4)
        env = throng.Env(Corridor(), model)
        env.reset(seed=4)
        for _ in range(3):
            env.step({})
        self.assertEqual(env.result().hash, whole.hash)
        with self.assertRaisesRegex(throng.Error, "another run"):
            throng.run(Line(), model, steps=1)
        env.close()
        throng.run(Line(), model, steps=1)


class FailureTest(unittest.TestCase):
    def test_an_exception_ends_the_run_but_not_the_env(self):
        class Failing(Corridor):
            def act(self, view, agent, action):
                if action == 7:
                    raise RuntimeError("seven")
                return (yield from super().act(view, agent, action))

        env = throng.Env(Failing(), "fake")
        env.reset()
        env.step({"Ann": 1})
        with self.assertRaisesRegex(RuntimeError, "seven") as raised:
            env.step({"Ann": 7})
        self.assertIn("agent 0 (Ann), step 1", "".join(raised.exception.__notes__))
        self.assertEqual(env.agents, [])
        with self.assertRaisesRegex(throng.Error, "call reset first"):
            env.step({})
        env.reset()
        env.step({"Ann": 1})

    def test_exceptions_in_observe_and_in_the_backend(self):
        env = throng.Env(type("Blind", (Corridor,), {"observe": lambda self, view, agent: 1 // 0})(), "fake")
        with self.assertRaises(ZeroDivisionError):
            env.reset()
        env = throng.Env(Corridor(), lambda call: 1 // 0)
        env.reset()
        with self.assertRaises(ZeroDivisionError):
            env.step({})
        self.assertEqual(env.agents, [])
        with self.assertRaisesRegex(throng.Error, "mode fast"):
            throng.Env(Corridor(), "fake", mode="fast").reset()

    def test_a_step_does_not_begin_within_a_step(self):
        for call in ("step", "other thread"):
            env = None

            class Nested(Corridor):
                def proceed(self, view, agent):
                    if call == "step":
                        env._run.run_to(5)
                    else:
                        failures = []
                        thread = threading.Thread(target=lambda: self.attempt(failures))
                        thread.start()
                        thread.join()
                        raise failures[0]

                def attempt(self, failures):
                    try:
                        env._run.run_to(5)
                    except throng.Error as error:
                        failures.append(error)

            env = throng.Env(Nested(), "fake")
            env.reset()
            with self.assertRaisesRegex(throng.Error, "a step runs already"):
                env.step({})

    @unittest.skipUnless(hasattr(signal, "setitimer"), "no timers here")
    def test_ctrl_c_stops_a_step(self):
        previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGALRM, previous)
        env = throng.Env(Corridor(), "fake:stuck=1")
        env.reset()
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with self.assertRaises(KeyboardInterrupt):
            env.step({})
        self.assertEqual(env.agents, [])

    def test_nothing_is_left_behind(self):
        world = Corridor()
        env = throng.Env(world, SLOW, mode="speculative")
        for _ in range(3):
            env.reset()
            env.step({"Ann": 1})
        left = weakref.ref(world)
        del world, env
        gc.collect()
        self.assertIsNone(left())


class SpacesTest(unittest.TestCase):
    def test_spaces_are_gymnasiums_where_it_is_installed(self):
        code = """
import sys, types
spaces = types.ModuleType("gymnasium.spaces")
class Space:
    def __init__(self, shape=None, dtype=None, seed=None): pass
    def __contains__(self, x): return self.contains(x)
for name in ("Dict", "Discrete", "Text"):
    setattr(spaces, name, type(name, (Space,), {"__init__": lambda self, *a, **b: Space.__init__(self)}))
spaces.Space = Space
sys.modules.update({"gymnasium": types.ModuleType("gymnasium"), "gymnasium.spaces": spaces})
pettingzoo = types.ModuleType("pettingzoo")
pettingzoo.ParallelEnv = type("ParallelEnv", (), {"num_agents": property(lambda self: -1)})
sys.modules["pettingzoo"] = pettingzoo
import throng
assert "throng.env" not in sys.modules  # imported when it is first needed
from support import Line
env = throng.Env(Line(2), "fake")
assert isinstance(env, pettingzoo.ParallelEnv) and isinstance(env.action_space("a0"), spaces.Text)
assert isinstance(env.observation_space("a0"), Space)
observations, infos = env.reset()
assert env.num_agents == 2 and observations["a0"] in env.observation_space("a0")
"""
        subprocess.run([sys.executable, "-c", code], cwd=support.__file__.rpartition("/")[0] or ".", check=True)

    def test_samples_follow_the_seed(self):
        for make in (lambda: throng.env.Text(9), lambda: throng.env.Discrete(1000),
                     lambda: throng.env.Dict({"a": throng.env.Discrete(1000), "b": throng.env.Text(9)})):
            one, two = make(), make()
            one.seed(3), two.seed(3)
            samples = [one.sample() for _ in range(5)]
            self.assertEqual(samples, [two.sample() for _ in range(5)])
            self.assertTrue(all(sample in one for sample in samples))
            self.assertNotIn(None, one)


if __name__ == "__main__":
    unittest.main()
