"""Code of a user who writes types, for test_types.py alone. A line that ends in `# wrong: CODE` is one that a type
checker must refuse."""
# mypy: disallow-untyped-defs, disallow-untyped-calls, disallow-any-generics, warn-return-any

from __future__ import annotations

import random
from typing import Generator

import throng


class Walkers(throng.World):
    name = "Walkers"
    width, height = 20, 10
    max_velocity = 1

    def agents(self) -> list[throng.Agent]:
        return [throng.Agent("Ann", (2, 5), mind={"met": ()}), throng.Agent("Ben", throng.Pos(12, 5), mind={"met": ()})]

    def proceed(self, view: throng.View, agent: throng.Agent) -> Generator[throng.Call, throng.Completion, throng.Intent]:
        near: list[str] = [other.name for other in view.neighbours()]
        answer = yield throng.Call(f"{agent.name} sees {near}", choices=["left", "right"])
        dice: random.Random = view.random
        x = agent.pos.x + (1 if answer == "right" else -1) * dice.choice((0, 1))
        return throng.Intent(pos=(min(max(x, 0), self.width - 1), agent.pos.y), mind={"met": near},
                             write={agent.pos: view.cell(agent.pos) + agent.name}, status=answer.finish,
                             events=[("walk", answer)])

    def resolve(self, step: int, members: list[throng.Agent], commit: throng.Commit) -> None:
        taken: dict[int, throng.Pos] = {}
        for agent in members:
            taken[agent.id] = agent.pos
            commit.move(agent, agent.intent.pos)
            commit.move(agent.id, (1, 2))
            commit.write(agent.pos, commit.cell(agent.pos) + str(throng.Completion("{}").json()))

    def intervene(self, change: throng.Change, what: str) -> None:
        change.write((0, 0), what)


class Readers(throng.World):
    space = throng.Network([[1], [0]])

    def agents(self) -> list[throng.Agent]:
        return [throng.Agent(f"reader {node}", node) for node in range(2)]

    def proceed(self, view: throng.View, agent: throng.Agent) -> throng.Intent | None:
        return throng.Intent(status="reads") if view.neighbours()[0].pos != agent.pos else None


async def answer(call: throng.Call) -> str:
    return call.choices[0] if call.choices else call.prompt


def use() -> float:
    result = throng.run(Walkers(), answer, steps=3, reporters=throng.Reporters(
        agent={"met": lambda agent: len(agent.mind["met"])}, model={"agents": lambda state: len(state.agents)}))
    table: throng.Frame = result.frame("agents")
    names: list[str] = [result.agents[event.agent].name for event in result.events]
    model = throng.Model(threads=1)
    one: throng.Completion = model.generate("x")
    many: list[throng.Completion] = model.generate(["x", "y"])
    env = throng.Env(Walkers(), llm="fake", max_steps=3)
    observations, infos = env.reset(seed=1)
    swept = throng.sweep(Walkers, out="x", steps=2, llm=lambda call: "left", seeds=range(3))
    print(table.num_rows, names, one, many, observations, infos, swept.summary()["runs"])
    return result.wall_s if throng.verify(Walkers, steps=2) else 0.0


def misuse(view: throng.View, agent: throng.Agent, commit: throng.Commit) -> None:
    throng.run(Walkers(), "fake")  # wrong: call-arg
    throng.run(Walkers(), "fake", steps="3")  # wrong: arg-type
    throng.run(Walkers(), 7, steps=3)  # wrong: arg-type
    throng.Call(7)  # wrong: arg-type
    view.neighbors()  # wrong: attr-defined
    commit.move(agent.name, (0, 0))  # wrong: arg-type
    agent.name = "Eve"  # wrong: misc
    throng.Intent(status=3)  # wrong: arg-type
    throng.no_such_name  # wrong: attr-defined
