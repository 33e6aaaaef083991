"""Planes, networks, grids of every metric, and agents with a radius and speed of their own: one result in every mode."""

import json
import os
import sqlite3
import tempfile
import unittest

import support
import throng

SLOW = "fake:latency=1,spread=0.9"


class Strollers(throng.World):
    """People on a plane, each as fast and as short-sighted as it is, who ask where to go and remember whom they saw."""

    space = throng.Plane(90, 12.5)
    perception_radius = 3

    def agents(self):
        return [throng.Agent(f"s{i}", (8.25 * i + 1, i % 3 + 0.1), mind=(), max_velocity=0.3 + 0.25 * (i % 4),
                             perception_radius=None if i % 2 else 1.5) for i in range(10)]

    def proceed(self, view, agent):
        mind = (*agent.mind, *((other.name, other.pos, other.status) for other in view.neighbours()))[-6:]
        target = agent.pos
        if view.random.random() < 0.4:
            target = (yield throng.Call(f"{agent.name} at {agent.pos} saw {mind}", choices=["0", "45", "90"])).split()
            target = (float(target[0]), 6.0)
        pos = throng.Plane.towards(agent.pos, target, agent.max_velocity)
        return throng.Intent(pos=pos, mind=mind, status=f"{view.step}", write={agent.pos: agent.name})


class Gossips(throng.World):
    """A ring in which everybody reads the next one, and the first one reads all; a post of step 0 goes round."""

    num_agents = 8

    def __init__(self):
        ring = [[(i + 1) % self.num_agents] for i in range(self.num_agents)]
        self.space = throng.Network([list(range(self.num_agents)), *ring[1:]])

    def agents(self):
        return [throng.Agent(f"g{i}", i, mind=()) for i in range(self.num_agents)]

    def proceed(self, view, agent):
        posts = [view.cell(other.pos) for other in view.neighbours()]
        heard = tuple(post for post in posts if post)
        answer = yield throng.Call(f"{agent.name} reads {heard}", choices=["nod", "frown"])
        news = "news" if view.step == 0 and agent.id == self.num_agents - 1 else next(iter(heard), "")
        return throng.Intent(mind=(*agent.mind, (view.step, heard, str(answer))), status=str(answer),
                             write={agent.pos: news} if news else {})


class Rooks(throng.World):
    """Agents who walk along x or y, at their own speed, and remember whom they saw."""

    width, height = 48, 12

    def agents(self):
        return [throng.Agent(f"r{i}", (4 * i, 5 * i % 12), mind=(), max_velocity=1 + i % 2, perception_radius=(1, 4, 2)[i % 3])
                for i in range(12)]

    def proceed(self, view, agent):
        mind = (*agent.mind, *(other.name + other.status for other in view.neighbours()))[-4:]
        way = agent.max_velocity * view.random.choice((-1, 1))
        if (yield throng.Call(f"{agent.name} saw {mind}", choices=["x", "y"])) == "x":
            pos = (min(max(agent.pos.x + way, 0), 47), agent.pos.y)
        else:
            pos = (agent.pos.x, min(max(agent.pos.y + way, 0), 11))
        return throng.Intent(pos=pos, mind=mind, status=str(view.step))


class SpacesTest(unittest.TestCase):
    def verify(self, make_world, steps, **more):
        report = throng.verify(make_world, steps=steps, shuffled=3, processes=1, **more)
        self.assertTrue(report, report.difference)
        self.assertGreater(report.runs["ooo"].max_spread, 1)
        return report

    def test_plane(self):
        for seed in range(4):
            self.verify(Strollers, 20, seed=seed)
            self.verify(Strollers, 20, seed=seed, coupling="versioned")

    def test_positions_on_a_plane_are_metres(self):
        result = throng.run(Strollers(), SLOW, steps=20)
        start = {agent.name: agent for agent in Strollers().agents()}
        self.assertNotEqual(result.hash, throng.run(Strollers(), SLOW, steps=19).hash)
        for agent in result.agents:
            x, y = agent.pos
            self.assertEqual((x * 256, y * 256), (round(x * 256), round(y * 256)))
            way = ((x - start[agent.name].pos[0]) ** 2 + (y - start[agent.name].pos[1]) ** 2) ** 0.5
            self.assertLessEqual(way, 20 * (agent.max_velocity + 1 / 256))
        self.assertTrue(any(agent.pos.x % 1 for agent in result.agents))
        self.assertTrue(any(agent.mind for agent in result.agents))
        self.assertIn(throng.Pos(1, 0.1015625), result.cells)  # 0.1 m in units of 1/256 m

    def test_nobody_is_too_fast_on_a_plane(self):
        class Diagonal(throng.World):
            space = throng.Plane(500, 500)
            metres = 1.3

            def agents(self):
                return [throng.Agent(f"{i}", (3 * i + 0.37, i * 0.7), max_velocity=1.3) for i in range(30)]

            def proceed(self, view, agent):
                angle = view.random.random()
                x, y = agent.pos.x + self.metres * angle, agent.pos.y + self.metres * (1 - angle ** 2) ** 0.5
                return throng.Intent(pos=(x, y))

        throng.run(Diagonal(), "fake", steps=50)  # the full speed is never refused
        Diagonal.metres = 1.31
        with self.assertRaisesRegex(throng.Error, "moves from"):
            throng.run(Diagonal(), "fake", steps=1)

    def test_network(self):
        self.verify(Gossips, 12)
        result = throng.run(Gossips(), SLOW, steps=9)
        self.assertEqual(result.agents[3].pos, 3)
        self.assertEqual(result.cells[0], "news")
        first = {agent.id: next(step for step, heard, _ in agent.mind if heard) for agent in result.agents}
        # Node 7 posts in step 0, and each reads the next one: one hop a step. 0 reads all at once, and 7 reads 0.
        self.assertEqual(first, {0: 1, 7: 2, **{node: 7 - node for node in range(1, 7)}})

    def test_a_radius_on_a_network_is_hops(self):
        class Far(Gossips):
            perception_radius = 2

        self.verify(Far, 12)
        seen = {}

        class Looking(Far):
            def proceed(self, view, agent):
                seen[agent.id] = [other.id for other in view.neighbours()]

        throng.run(Looking(), "fake", steps=1)
        self.assertEqual(seen[2], [3, 4])
        self.assertEqual(seen[7], [0, 1, 2, 3, 4, 5, 6])

    def test_grids_of_every_metric(self):
        hashes = set()
        for metric in ("chebyshev", "manhattan", "euclid"):
            world_class = type("Metric", (Rooks,), {"metric": metric})
            hashes.add(self.verify(world_class, 20).runs["ooo"].hash)
        self.assertEqual(len(hashes), 3)

    def test_who_sees_further_sees_more(self):
        seen = {}

        class Two(support.Line):
            def agents(self):
                return [throng.Agent("near", (0, 1), perception_radius=1), throng.Agent("far", (6, 1), perception_radius=6)]

            def proceed(self, view, agent):
                seen[agent.name] = [other.name for other in view.neighbours()], agent.perception_radius, agent.max_velocity

        throng.run(Two(), "fake", steps=1)
        self.assertEqual(seen, {"near": ([], 1, 1), "far": (["near"], 6, 1)})

    def test_a_run_on_a_plane_goes_on(self):
        class Failing(Strollers):
            name = "Strollers"
            fails = True

            def proceed(self, view, agent):
                if self.fails and view.step == 12:
                    raise RuntimeError("enough")
                return (yield from super().proceed(view, agent))

        with tempfile.TemporaryDirectory() as folder:
            journal = os.path.join(folder, "a.journal")
            with self.assertRaisesRegex(RuntimeError, "enough"):
                throng.run(Failing(), SLOW, steps=20, journal=journal)
            Failing.fails = False
            resumed = throng.run(Failing(), SLOW, steps=20, journal=journal, resume=True)
            self.assertGreater(resumed.replayed_calls, 0)
            self.assertEqual(resumed.hash, throng.run(Strollers(), SLOW, steps=20).hash)
            self.assertEqual(self.map_of(journal), {"width": 90 * 256 + 1, "height": 12.5 * 256 + 1, "unit": 256})
            wider = type("Strollers", (Strollers,), {"space": throng.Plane(90, 13)})
            with self.assertRaisesRegex(throng.Error, "scenario"):
                throng.run(wider(), SLOW, steps=20, journal=journal, resume=True)

    def map_of(self, journal):
        database = sqlite3.connect(journal)
        self.addCleanup(database.close)
        return json.loads(database.execute("SELECT value FROM manifest WHERE key = 'map'").fetchone()[0])

    def test_viewers_are_told_of_a_network(self):
        with tempfile.TemporaryDirectory() as folder:
            journal = os.path.join(folder, "a.journal")
            throng.run(Gossips(), "fake", steps=1, journal=journal)
            self.assertEqual(self.map_of(journal)["follows"][:3], [[1, 2, 3, 4, 5, 6, 7], [2], [3]])

    def test_misuse_is_told_in_a_sentence(self):
        def refuse(pattern, base, **attributes):
            with self.assertRaisesRegex(throng.Error, pattern):
                throng.run(type("Wrong", (base,), attributes)(), "fake", steps=3)

        def one(**more):
            return lambda self: [throng.Agent("x", **{"pos": (1, 1), **more})]

        refuse("World.space is 'hex', allowed is a throng.Plane, a throng.Network", Strollers, space="hex")
        refuse("Plane.width is 0, allowed is a number of metres", Strollers, space=throng.Plane(0, 5))
        refuse("Plane.height is nan", Strollers, space=throng.Plane(5, float("nan")))
        refuse(r"Agent.pos is \(99, 1\), allowed is .* to \(90, 12.5\)", Strollers, agents=one(pos=(99, 1)))
        refuse("Agent.pos is 3, allowed is a position: two numbers of metres", Strollers, agents=one(pos=3))
        refuse("max_velocity is -1, allowed is a number of metres", Strollers, agents=one(max_velocity=-1))
        refuse("perception_radius is 1000000000.0, allowed is a number of metres from 0 to 4000", Strollers, perception_radius=1e9)
        refuse("perception_radius is 2.5, allowed is an integer", support.Line, agents=one(perception_radius=2.5))
        refuse("Agent.pos is 0.5, allowed is a position: two integers", support.Line, agents=one(pos=(0.5, 1)))
        refuse(r"Agent.pos is \(1, 1\), allowed is a node", Gossips, agents=one())
        refuse("Agent.pos is 8, allowed is a node: an integer from 0 to 7", Gossips, agents=one(pos=8))
        refuse("0 on a network", Gossips, max_velocity=1)
        refuse("reads cell", Gossips, proceed=lambda self, view, agent: view.cell((agent.id + 3) % 8) or None)
        refuse("writes cell", Gossips, proceed=lambda self, view, agent: throng.Intent(write={(agent.pos + 1) % 8: "x"}))
        for follows, words in (([[1]], "node 0 follows node 1"), ("ab", "Network.follows"), ([], "0 nodes")):
            refuse(words, throng.World, space=throng.Network(follows), agents=one(pos=0))


if __name__ == "__main__":
    unittest.main()
