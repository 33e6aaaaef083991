"""An evening in four pubs: players say in free text what they try, and a game master says what comes of it.

The counterpart of Concordia's examples/games/pub_coordination (901 lines with the configuration for Edinburgh, without
its agents); this file has 73.

    PYTHONPATH=build/release/python python3 python/examples/pub.py --llm local --steps 4
"""

import sys

import common
import throng

PUBS = ["The Sheep Heid", "The Cumberland", "The Bow Bar", "Sandy Bell's"]
PREMISE = "It is Saturday evening, and the football final is about to begin. Everybody wants to see it with friends."
CHARACTERS = ["who lost a bet yesterday", "who is a referee on weekdays", "who hates football", "who owns the place",
              "who came from abroad today"]


class Pubs(throng.World):
    # Who is in one pub is in one scene, with a game master of its own; the pubs are far apart.
    height, perception_radius, max_velocity = 1, 0, 0
    width = 10 * len(PUBS)

    def __init__(self, players):
        self.players = players

    def agents(self):
        for i in range(self.players):
            pub = i % len(PUBS)
            mind = {"character": CHARACTERS[(i // len(PUBS) + pub) % len(CHARACTERS)], "memory": (PREMISE,), "luck": 0}
            yield throng.Agent(f"{PUBS[pub].split()[-1]} guest {i // len(PUBS) + 1}", (10 * pub, 0), mind=mind)

    def proceed(self, view, agent):
        memory = " ".join(agent.mind["memory"][-6:])
        others = ", ".join(other.name for other in view.neighbours()) or "nobody"
        attempt = yield throng.Call(
            f"{memory}\n{agent.name}, {agent.mind['character']}, is in {PUBS[agent.pos.x // 10]} with {others}. In one "
            f"sentence, what does {agent.name} try to do next?",
            max_tokens=40, temperature=1.0, stop=["\n"], function="attempt")
        return attempt.strip()

    def resolve(self, step, members, commit):
        """The game master: the event of each attempt, in the order of the players, then who comes out well."""
        scene: list[str] = []
        for agent in members:
            event = yield throng.Call(
                f"You are the game master in {PUBS[agent.pos.x // 10]}. So far: {' '.join(scene[-3:]) or PREMISE}\n"
                f"{agent.name} tries: {agent.intent}\nIn one sentence, what happens?", agent=agent.id, max_tokens=40,
                temperature=0.7, stop=["\n"], function="resolve")
            scene.append(event.strip())
        verdicts = yield [throng.Call(f"{agent.name} tried: {agent.intent}\nWhat happened: {event}\nDid it go well?",
                                      choices=["yes", "no"], agent=agent.id, function="judge")
                          for agent, event in zip(members, scene)]
        for agent, event, verdict in zip(members, scene, verdicts):
            luck = agent.mind["luck"] + (verdict == "yes")
            commit.set_mind(agent, {**agent.mind, "memory": (*agent.mind["memory"], *scene)[-20:], "luck": luck})
            commit.event(agent, "success" if verdict == "yes" else "failure", f"{agent.intent} -> {event}")


def table(result):
    events = result.frame("events")
    return throng.Frame(step=events["step"], player=events["name"], outcome=events["kind"], what=events["text"])


def plot(axes, frame):
    players = list(dict.fromkeys(frame["player"]))
    axes.barh(players, [frame.where(player=player, outcome="success").num_rows for player in players])
    axes.set_xlabel("successes")


if __name__ == "__main__":
    sys.exit(common.main("pub", __doc__, Pubs, table, plot, agents=12, steps=6))
