"""A town of one's own: people with their names and habits choose where to go, walk there, and talk to whom they meet.

    PYTHONPATH=build/release/python python3 python/examples/town.py --llm local --out results
"""

import sys
from collections import Counter

import common
import throng

PLACES = {"bakery": (4, 3), "school": (30, 4), "park": (18, 14), "café": (40, 20), "library": (8, 22)}
PEOPLE = {
    "Zoë O'Neil": "bakes before dawn and whistles",
    "李雷": "teaches mathematics and loves chess",
    "Søren \"Sunny\" Ørsted": "delivers letters and knows everybody",
    "Ana María Núñez": "writes a novel in the café",
    "Иван Петров": "looks after the trees of the park",
    "Fatima al-Zahra": "lends books and remembers who has which",
}


class Town(throng.World):
    width, height, perception_radius, max_velocity = 48, 26, 2, 1

    def __init__(self, people):
        self.people = people

    def agents(self):
        homes = [(3, 12), (44, 4), (24, 24), (44, 12), (20, 2), (2, 24)]
        for i in range(self.people):
            name, habit = list(PEOPLE.items())[i % len(PEOPLE)]
            name += "" if i < len(PEOPLE) else f" {i // len(PEOPLE) + 1}"
            yield throng.Agent(name, homes[i % len(homes)], mind={"habit": habit, "goal": None, "stay": 0, "heard": ()})

    def proceed(self, view, agent):
        mind = agent.mind
        near = view.neighbours()
        if mind["stay"] > 0:
            return agent.pos, {**mind, "stay": mind["stay"] - 1}, near
        if mind["goal"] is None:
            time = f"{8 + view.step // 12}:{view.step % 12 * 5:02}"  # a step is five minutes
            heard = mind["heard"][-2:]
            place = yield throng.Call(
                f"It is {time}. {agent.name}, who {mind['habit']}, is {agent.status or 'at home'} and has heard: "
                f"{' '.join(memory.text for memory in heard) or 'nothing yet'} Where to go next?",
                choices=list(PLACES), temperature=1.0, function="choose", memories=heard)
            mind = {**mind, "goal": str(place)}
        target = PLACES[mind["goal"]]
        if agent.pos == target:
            return agent.pos, {**mind, "goal": None, "stay": 4}, near
        step = [(there > here) - (there < here) for here, there in zip(agent.pos, target)]
        return (agent.pos.x + step[0], agent.pos.y + step[1]), mind, near

    def resolve(self, step, members, commit):
        minds = {}
        for agent in members:
            pos, minds[agent.id], _ = agent.intent
            at = next((name for name, place in PLACES.items() if place == tuple(pos)), "")
            commit.move(agent, pos)
            commit.set_status(agent, f"at the {at}" if at else f"on the way to the {minds[agent.id]['goal']}")
            commit.event(agent, "at", at)
        spoken: set[int] = set()
        for agent in members:  # who meets somebody else says something, if neither has spoken in this step
            for other in agent.intent[2]:
                if {agent.id, other.id} & spoken or step % 5 or other.id not in minds:
                    continue
                spoken |= {agent.id, other.id}
                words = yield throng.Call(
                    f"{agent.name}, who {agent.mind['habit']}, meets {other.name}, {other.status}. What does "
                    f"{agent.name} say?", agent=agent.id, max_tokens=24, temperature=0.8, function="say")
                heard = (*minds[other.id]["heard"], throng.Memory(step, f"{agent.name}: {words.strip()}"))
                minds[other.id] = {**minds[other.id], "heard": heard[-5:]}
                commit.event(agent, "say", f"to {other.name}: {words.strip()}")
        for agent in members:
            commit.set_mind(agent, minds[agent.id])


def table(result):
    events = result.frame("events")
    at = Counter(zip(events["name"], events["kind"], events["text"]))
    said = Counter(events.where(kind="say")["name"])
    return throng.Frame.of(("name", *PLACES, "said"), (
        (agent.name, *(at[agent.name, "at", place] for place in PLACES), said[agent.name]) for agent in result.agents))


def plot(axes, frame):
    start = [0] * frame.num_rows
    for place in PLACES:
        axes.barh(frame["name"], frame[place], left=start, label=place)
        start = [sum(pair) for pair in zip(start, frame[place])]
    axes.set_xlabel("steps there")
    axes.legend()


if __name__ == "__main__":
    sys.exit(common.main("town", __doc__, Town, table, plot, agents=6, steps=60))
