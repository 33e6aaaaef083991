"""A rumour spreads over a grid: whoever stands next to someone who knows it is asked whether to believe it.

    PYTHONPATH=build/release/python python3 python/examples/rumour.py --llm local --agents 40

Runs the world in lock step and out of order, and shows that both come to the same, and what the second saves.
"""

import argparse

import throng

RUMOUR = "The baker has found a purse full of gold."


class Rumour(throng.World):
    width = height = 60
    perception_radius = 2
    max_velocity = 1

    def __init__(self, num_agents: int):
        self.num_agents = num_agents

    def parameters(self):
        return {"rumour": RUMOUR, "agents": self.num_agents}

    def agents(self):
        # A few heaps of people, and empty land between them: who is far from each other need not wait.
        for i in range(self.num_agents):
            heap, place = divmod(i, 8)
            x = (17 * heap) % (self.width - 4) + place % 4
            y = (29 * heap) % (self.height - 2) + place // 4
            yield throng.Agent(f"person {i}", (x, y), mind={"believes": i % 8 == 0, "heard": 0})

    def proceed(self, view, agent):
        mind = agent.mind
        tellers = [other for other in view.neighbours() if other.status == "telling"]
        if tellers and not mind["believes"]:
            answer = yield throng.Call(
                f"{tellers[0].name} says to {agent.name}: {RUMOUR} Does {agent.name} believe it?",
                choices=["yes", "no"], temperature=1.0, function="believe")
            mind = {"believes": answer == "yes", "heard": mind["heard"] + 1}
        x = agent.pos.x + view.random.choice((-1, 0, 1))
        y = agent.pos.y + view.random.choice((-1, 0, 1))
        return throng.Intent(
            pos=(min(max(x, 0), self.width - 1), min(max(y, 0), self.height - 1)),
            status="telling" if mind["believes"] else "",
            mind=mind,
            events=[("believe", RUMOUR)] if mind["believes"] > agent.mind["believes"] else [])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--llm", default="fake:latency=1,spread=0.9",
                        help="local, or the name of another backend (default: %(default)s)")
    parser.add_argument("--agents", type=int, default=40)
    parser.add_argument("--steps", type=int, default=40)
    flags = parser.parse_args()

    llm = throng.Model(kv="flashq4") if flags.llm == "local" else flags.llm
    for mode in ("lockstep", "ooo"):
        result = throng.run(Rumour(flags.agents), llm, mode=mode, steps=flags.steps)
        print(f"{mode:<9} {result.backend_s:7.1f} s  {result.calls:4} calls  {result.parallelism:5.2f} in flight  "
              f"hash {result.hash}")
    believers = sum(agent.mind["believes"] for agent in result.agents)
    print(f"{believers} of {flags.agents} believe it; the first to be convinced:")
    for event in result.events[:3]:
        print(f"  step {event.step:2}: {result.agents[event.agent].name}")


if __name__ == "__main__":
    main()
