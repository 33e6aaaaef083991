"""A feed of two hundred people: each reads those it follows, and answers in JSON whether to post, share or stay quiet.

    PYTHONPATH=build/release/python python3 python/examples/feed.py --llm local --agents 40 --out results

People of OASIS's profiles, who follow whom they follow there:

    throng import twitter.csv -o mytown
    PYTHONPATH=build/release/python python3 python/examples/feed.py --people mytown/personas.json
"""

import random
import sys

import common
import throng

TOPICS = ["the new bridge", "football", "rain", "bread", "the election", "a lost dog"]
ANSWER = {"type": "object", "required": ["action", "text"],
          "properties": {"action": {"enum": ["post", "share", "nothing"]}, "text": {"type": "string", "maxLength": 60}}}


class Feed(throng.World):
    def __init__(self, agents, people=None):
        if people is None:
            people = [{"name": f"user{i}", "job": TOPICS[i % len(TOPICS)]} for i in range(agents)]
            dice = random.Random(agents)
            # Small numbers are popular.
            follows = [sorted({int(agents * dice.random() ** 3) for _ in range(6)} - {i}) for i in range(agents)]
        else:
            ids = {person["name"]: i for i, person in enumerate(people)}
            follows = [sorted(ids[other["name"]] for other in person["relations"]) for person in people]
        self.people = people
        self.space = throng.Network(follows)

    def agents(self):
        for i, person in enumerate(self.people):
            yield throng.Agent(person["name"], i, mind={"likes": person["job"], "shared": ()})

    def proceed(self, view, agent):
        posts = []
        for author in view.neighbours():
            post = view.cell(author.pos)
            if post and post not in agent.mind["shared"]:
                posts.append((author.name, post))
        if not posts and view.random.random() < 0.7:
            return None  # nothing new, and nothing to say
        lines = "\n".join(f"{name}: {post}" for name, post in posts[-5:])
        about = f" ({self.people[agent.id]['about']})" if "about" in self.people[agent.id] else ""
        answer = yield throng.Call(
            f"You are {agent.name}{about} and like {agent.mind['likes']}. Your feed:\n{lines or '(empty)'}\n"
            "Write a post of your own, share the last one, or do nothing.",
            json_schema=ANSWER, temperature=1.0, max_tokens=160, function="react")
        answer = answer.json()
        if answer["action"] == "nothing" or (answer["action"] == "share" and not posts):
            return throng.Intent(events=[("nothing", "")])
        text = posts[-1][1] if answer["action"] == "share" else f"{agent.mind['likes']}: {answer['text']}"
        mind = {**agent.mind, "shared": (*agent.mind["shared"], text)[-20:]}
        return throng.Intent(write={agent.pos: text}, mind=mind, events=[(answer["action"], text)])


if __name__ == "__main__":
    sys.exit(common.main("feed", __doc__, Feed, common.counts, common.plot_counts, agents=200, steps=10,
                         takes_people=True))
