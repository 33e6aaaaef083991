"""A tournament of the prisoners' dilemma: players remember every game, and meet each other again.

The counterpart of the prisoners' dilemma in Concordia's examples/games/reality_show (770 lines with the configuration
for four players, without its agents); this file has 80.

    PYTHONPATH=build/release/python python3 python/examples/tournament.py --compare
"""

import sys

import common
import throng

PAYOFFS = {("silent", "silent"): (3, 3), ("silent", "betray"): (0, 5), ("betray", "silent"): (5, 0),
           ("betray", "betray"): (1, 1)}
CHARACTERS = ["trusting", "vengeful", "greedy", "cautious", "forgiving"]


def pairs(step, players):
    """Who plays whom: in players - 1 steps everybody meets everybody. One player stays, the others go round."""
    circle = [0] + [(step + i) % (players - 1) + 1 for i in range(players - 1)]
    return [tuple(sorted((circle[i], circle[-1 - i]))) for i in range(players // 2)]


class Tournament(throng.World):
    max_velocity = 0

    def __init__(self, players):
        self.players = players + players % 2
        self.space = throng.Network([[]] * self.players)  # nobody watches the others' games

    def agents(self):
        for i in range(self.players):
            yield throng.Agent(f"Player {i + 1}", i, mind={"score": 0, "met": {}})

    def links(self):
        # Only the two who play need to wait for each other. A game that lasts longer holds up nobody else.
        return [(step, a, b) for step in range(1000) for a, b in pairs(step, self.players)]

    def proceed(self, view, agent):
        a, b = next(pair for pair in pairs(view.step, self.players) if agent.id in pair)
        other = b if agent.id == a else a
        games = agent.mind["met"].get(other, ())[-5:]
        past = "; ".join(f"you: {mine}, they: {theirs}" for mine, theirs in games)
        game = (f"You are {agent.name}, {CHARACTERS[agent.id % len(CHARACTERS)]}, arrested with Player {other + 1}. If "
                "both stay silent, both get 3 points; if both betray, 1; who betrays the silent one gets 5, and that "
                f"one 0. Earlier: {past or 'you never met'}.")
        thought = yield throng.Call(f"{game} In one sentence, what do you think of it?", max_tokens=40, temperature=1.0,
                                    stop=["\n"], function="think")
        choice = yield throng.Call(f"{game} You think: {thought.strip()} What do you do?", choices=["silent", "betray"],
                                   temperature=1.0, function="choose")
        return str(choice)

    def resolve(self, step, members, commit):
        if len(members) < 2:
            return  # the model did not answer the other one: no game
        for me, other in (members, members[::-1]):
            points, _ = PAYOFFS[me.intent, other.intent]
            games = (*me.mind["met"].get(other.id, ()), (me.intent, other.intent))
            commit.set_mind(me, {"score": me.mind["score"] + points, "met": {**me.mind["met"], other.id: games}})
            commit.event(me, me.intent, f"against {other.name}")


def table(result):
    rows = []
    for agent in sorted(result.agents, key=lambda agent: -agent.mind["score"]):
        games = [mine for met in agent.mind["met"].values() for mine, _ in met]
        character = CHARACTERS[agent.id % len(CHARACTERS)]
        rows.append((agent.name, character, agent.mind["score"], len(games), games.count("silent")))
    return throng.Frame.of(("player", "character", "score", "games", "silent"), rows)


def plot(axes, frame):
    axes.bar([f"{player}\n{character}" for player, character in zip(frame["player"], frame["character"])], frame["score"])
    axes.set_ylabel("points")
    axes.tick_params(axis="x", labelrotation=90)


if __name__ == "__main__":
    sys.exit(common.main("tournament", __doc__, Tournament, table, plot, agents=16, steps=30))
