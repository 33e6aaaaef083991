"""An epidemic among five hundred people on a plane: those who see somebody ill decide whether to keep away.

    PYTHONPATH=build/release/python python3 python/examples/epidemic.py --out results
"""

import random
import sys

import common
import throng

ILL_STEPS = 12
INFECTION_METRES = 4
INFECTION_CHANCE = 0.5


class Epidemic(throng.World):
    perception_radius = 5
    max_velocity = 2

    def __init__(self, people):
        self.people = people
        self.side = 10 * people ** 0.5
        self.space = throng.Plane(self.side, self.side)

    def agents(self):
        dice = random.Random(self.people)
        for i in range(self.people):
            pos = (dice.uniform(0, self.side), dice.uniform(0, self.side))
            ill = i % 25 == 0
            yield throng.Agent(f"person {i}", pos, status="ill" if ill else "well", mind={"ill_for": 0, "goal": pos})

    def proceed(self, view, agent):
        seen = [other for other in view.neighbours() if other.status == "ill"]
        status, ill_for, goal = agent.status, agent.mind["ill_for"], agent.mind["goal"]
        if status == "ill":
            ill_for += 1
            status = "immune" if ill_for > ILL_STEPS else "ill"
        elif status == "well":
            near = [other for other in seen if distance(agent, other) <= INFECTION_METRES]
            if any(view.random.random() < INFECTION_CHANCE for _ in near):
                status = "ill"
        if status == "well" and seen:
            answer = yield throng.Call(
                f"You are {agent.name}, healthy. {len(seen)} ill people are near, and you are on your way to a friend. "
                "What do you do?", choices=["keep away", "go on"], temperature=1.0, function="decide")
            if answer == "keep away":
                goal = (2 * agent.pos.x - seen[0].pos.x, 2 * agent.pos.y - seen[0].pos.y)
        if throng.Plane.towards(agent.pos, goal, self.max_velocity) == goal:
            goal = (view.random.uniform(0, self.side), view.random.uniform(0, self.side))
        goal = (min(max(goal[0], 0), self.side), min(max(goal[1], 0), self.side))
        return throng.Intent(pos=throng.Plane.towards(agent.pos, goal, self.max_velocity), status=status,
                             mind={"ill_for": ill_for, "goal": goal}, events=[(status, "")])


def distance(a, b):
    return ((a.pos.x - b.pos.x) ** 2 + (a.pos.y - b.pos.y) ** 2) ** 0.5


if __name__ == "__main__":
    sys.exit(common.main("epidemic", __doc__, Epidemic, common.counts, common.plot_counts, agents=500, steps=40))
