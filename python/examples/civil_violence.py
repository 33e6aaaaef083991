"""Civil violence after Epstein: citizens with grievances decide whether to rebel, and police arrest rebels they see.

The counterpart of Mesa-LLM's examples/epstein_civil_violence (521 lines in five files); this file has 78.

    PYTHONPATH=build/release/python python3 python/examples/civil_violence.py --compare
"""

import random
import sys

import common
import throng

LEGITIMACY = 0.6  # of the government, from 0 to 1
JAIL_STEPS = 6


class CivilViolence(throng.World):
    perception_radius = 2
    max_velocity = 1

    def __init__(self, people):
        self.people = people
        self.width = self.height = int(7 * people ** 0.5)

    def parameters(self):
        return LEGITIMACY, JAIL_STEPS

    def agents(self):
        dice = random.Random(self.people)
        for i in range(self.people):
            pos = (dice.randrange(self.width), dice.randrange(self.height))
            hardship, fear = round(dice.random(), 2), round(dice.random(), 2)
            kind = "police" if i % 8 == 0 else "quiet"
            yield throng.Agent(f"{'officer' if kind == 'police' else 'citizen'} {i}", pos, status=kind,
                               mind={"hardship": hardship, "fear": fear, "jailed": 0})

    def proceed(self, view, agent):
        if agent.mind["jailed"]:
            return {"pos": agent.pos, "status": agent.status}
        seen = view.neighbours()
        pos = (agent.pos.x + view.random.randint(-1, 1), agent.pos.y + view.random.randint(-1, 1))
        pos = (min(max(pos[0], 0), self.width - 1), min(max(pos[1], 0), self.height - 1))
        rebels = [other for other in seen if other.status == "rebelling"]
        if agent.status == "police":
            if not rebels:
                return {"pos": pos, "status": "police"}
            names = [other.name for other in rebels]
            whom = yield throng.Call(
                f"You are {agent.name} of the police. Rebels near you: {', '.join(names)}. Whom do you arrest?",
                choices=[*names, "nobody"], temperature=1.0, function="arrest")
            return {"pos": pos, "status": "police", "arrests": [other.id for other in rebels if other.name == whom]}
        grievance = round(agent.mind["hardship"] * (1 - LEGITIMACY), 2)
        police = sum(other.status == "police" for other in seen)
        answer = yield throng.Call(
            f"You are {agent.name}. Your grievance is {grievance} and your fear {agent.mind['fear']}, both out of 1. "
            f"Near you are {police} police and {len(rebels)} rebels. What do you do?",
            choices=["stay quiet", "rebel"], temperature=1.0, function="decide")
        return {"pos": pos, "status": "rebelling" if answer == "rebel" else "quiet"}

    def resolve(self, step, members, commit):
        arrested = {id for agent in members for id in agent.intent.get("arrests", ())}
        for agent in members:
            jailed, status = agent.mind["jailed"], agent.intent["status"]
            if agent.id in arrested and not jailed:
                jailed, status = JAIL_STEPS, "jailed"
            elif jailed:
                jailed, status = jailed - 1, "jailed" if jailed > 1 else "quiet"
            else:
                commit.move(agent, agent.intent["pos"])
            commit.set_status(agent, status)
            commit.set_mind(agent, {**agent.mind, "jailed": jailed})
            commit.event(agent, status, "")


if __name__ == "__main__":
    sys.exit(common.main("civil_violence", __doc__, CivilViolence, common.counts, common.plot_counts,
                         agents=60, steps=20))
