"""Worlds that are no grids: a meadow in metres, where everybody has a speed and eyes of its own, and a network of followers.

    PYTHONPATH=build/release/python python3 python/examples/spaces.py --llm local

Runs each in lock step and out of order, and shows that both come to the same, and what the second saves.
"""

import argparse

import throng


class Meadow(throng.World):
    """Dogs are fast and see far, tortoises are not; each asks itself whether to follow whom it sees."""

    space = throng.Plane(400, 300)

    def agents(self):
        for i in range(24):
            pos = ((i * 157) % 400, (i * 71) % 300)
            if i % 3 == 0:
                yield throng.Agent(f"dog {i}", pos, perception_radius=25, max_velocity=6)
            else:
                yield throng.Agent(f"tortoise {i}", pos, perception_radius=4, max_velocity=0.2)

    def proceed(self, view, agent):
        target = (200 + 190 * view.random.uniform(-1, 1), 150 + 140 * view.random.uniform(-1, 1))
        near = view.neighbours()
        if near:
            answer = yield throng.Call(f"{agent.name} sees {near[0].name}, {near[0].status}. What does it do?",
                                       choices=["follow", "walk on"], temperature=1.0, function="follow")
            if answer == "follow":
                target = near[0].pos
        return throng.Intent(pos=throng.Plane.towards(agent.pos, target, agent.max_velocity), status="walking")


class Followers(throng.World):
    """Each follows three others, and passes on what it finds worth it; what is posted is read in the next step."""

    num_agents = 40

    def __init__(self):
        # Small numbers are popular: most follow them, and they follow few.
        self.space = throng.Network([[(i * k) // (k + 2) for k in (1, 3, 5)] for i in range(self.num_agents)])

    def agents(self):
        for i in range(self.num_agents):
            yield throng.Agent(f"reader {i}", i)

    def proceed(self, view, agent):
        if view.step == 0 and agent.id == 0:
            return throng.Intent(write={agent.pos: "The bridge is closed."}, status="posts")
        for author in view.neighbours():
            post = view.cell(author.pos)
            if not post or agent.status == "shared":
                continue
            answer = yield throng.Call(f"{agent.name} reads what {author.name} writes: {post} Share it?",
                                       choices=["yes", "no"], temperature=1.0, function="share")
            if answer == "yes":
                return throng.Intent(write={agent.pos: post}, status="shared", events=[("share", post)])
        return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--llm", default="fake:latency=1,spread=0.9",
                        help="local, or the name of another backend (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=60)
    flags = parser.parse_args()

    llm = throng.Model(kv="flashq4") if flags.llm == "local" else flags.llm
    for world in (Meadow, Followers):
        for mode in ("lockstep", "ooo"):
            result = throng.run(world(), llm, mode=mode, steps=flags.steps)
            print(f"{world.__name__:<10} {mode:<9} {result.backend_s:7.1f} s  {result.calls:4} calls  "
                  f"{result.parallelism:5.2f} in flight  hash {result.hash}")
    print(f"{len(result.cells)} of {Followers.num_agents} have posted that the bridge is closed")


if __name__ == "__main__":
    main()
