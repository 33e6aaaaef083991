"""An election with a rumour: it begins with the most followed people of one town, and with ordinary ones of another.

    PYTHONPATH=build/release/python python3 python/examples/election.py --out results
"""

import random
import sys

import common
import throng

SOURCES = 3  # people of a town with whom the rumour begins
ELECTION = 12  # the step in which all vote
RUMOUR = "Rivera has sold the town's forest"


class Election(throng.World):
    def __init__(self, people):
        self.half = people // 2
        dice = random.Random(people)
        # Both towns are alike. Small numbers are popular.
        follows = [sorted({int(self.half * dice.random() ** 2) for _ in range(4)} - {i}) for i in range(self.half)]
        self.space = throng.Network(follows + [[self.half + other for other in row] for row in follows])
        fans = [sum(i in row for row in follows) for i in range(self.half)]
        by_fans = sorted(range(self.half), key=lambda i: (-fans[i], i))
        middle = self.half // 2
        self.sources = {*by_fans[:SOURCES], *(self.half + i for i in by_fans[middle:middle + SOURCES])}

    def agents(self):
        for i in range(2 * self.half):
            town = "popular" if i < self.half else "ordinary"
            yield throng.Agent(f"{town} {i % self.half}", i, mind={"town": town, "said": ""})

    def proceed(self, view, agent):
        said = agent.mind["said"]
        if view.step == ELECTION:
            answer = yield throng.Call(
                f"You are {agent.name}. Today your town elects its mayor. {f'You said of the rumour: {said}. ' if said else ''}"
                "Whom do you vote for?", choices=["Rivera", "Okoye"], temperature=1.0, function="vote")
            return throng.Intent(events=[("vote", str(answer))])
        if view.step > ELECTION or said:
            return None
        tellers = [other.name for other in view.neighbours() if view.cell(other.pos) == RUMOUR]
        if agent.id in self.sources and view.step == 0:
            tellers = ["a stranger"]
        if not tellers:
            return None
        answer = yield throng.Call(
            f"You are {agent.name}. {', '.join(tellers)} wrote: {RUMOUR}. Do you share it, doubt it or say nothing?",
            choices=["share", "doubt", "nothing"], temperature=1.0, function="hear")
        mind = {**agent.mind, "said": str(answer)}
        write = {agent.pos: RUMOUR} if answer == "share" or agent.id in self.sources else {}
        return throng.Intent(write=write, mind=mind, events=[("hear", agent.mind["town"])])


def table(result):
    """How many have heard the rumour by the end of each step."""
    heard = {"popular": 0, "ordinary": 0}
    rows = []
    events = result.frame("events").where(kind="hear")
    towns = list(zip(events["step"], events["text"]))
    for step in range(result.steps):
        for when, town in towns:
            heard[town] += when == step
        rows.append((step, *heard.values()))
    return throng.Frame.of(("step", *heard), rows)


def plot(axes, frame):
    axes.plot("step", "popular", data=frame, label="begins with the most followed")
    axes.plot("step", "ordinary", data=frame, label="begins with ordinary people")
    axes.axvline(ELECTION, color="gray", linestyle=":")
    axes.set_xlabel("step")
    axes.set_ylabel("people who have heard it")
    axes.legend()


if __name__ == "__main__":
    sys.exit(common.main("election", __doc__, Election, table, plot, agents=200, steps=14))
