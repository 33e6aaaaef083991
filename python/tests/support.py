"""What the tests of the package share: a small world."""

import throng


class Line(throng.World):
    """Agents on a line who walk by chance, ask where to go, and remember whom they saw."""

    width, height = 80, 3
    perception_radius = 2

    def __init__(self, num_agents=6, gap=12):
        self.num_agents = num_agents
        self.gap = gap

    def agents(self):
        return [throng.Agent(f"a{i}", (2 + self.gap * i, 1), mind=()) for i in range(self.num_agents)]

    def proceed(self, view, agent):
        mind = agent.mind
        if view.random.random() < 0.5:
            answer = yield throng.Call(f"{agent.name} remembers {mind[-2:]}", choices=["left", "right"])
            mind = (*mind, str(answer))
        mind = (*mind, *(other.name + other.status for other in view.neighbours()))
        x = agent.pos.x + (1 if mind and mind[-1] == "right" else -1)
        x = min(max(x, 0), self.width - 1)
        return throng.Intent(pos=(x, 1), mind=mind, status=str(view.step), write={agent.pos: agent.name},
                             events=[("move", f"to {x}")])
