"""A microblog of a hundred people: each reads twenty posts of those it follows, and posts, likes, reposts, replies or follows.

Whom people follow changes while the world runs. A post is read two steps later, likes count and messages arrive eight steps
later, so nobody waits for more than that (docs/networks.md).

    PYTHONPATH=build/release/python python3 python/examples/microblog.py --compare
"""

import collections
import random
import re
import sys

import common
import throng

TOPICS = ["music", "bread", "football", "gardens", "books", "trains", "the sea", "politics"]
FEED = 20
EDITOR = 0  # what this one posts is a headline: a global variable, which everybody knows


def topic_of(person):
    return TOPICS[person % len(TOPICS)]


def form(num_posts):
    """The form of an answer to so many posts."""
    actions = ["post", "nothing"] + ["like", "repost", "reply", "follow", "unfollow"] * (num_posts > 0)
    number = {"type": "integer", "minimum": 1, "maximum": max(num_posts, 1)}
    return {"type": "object", "required": ["action", "number", "text"],
            "properties": {"action": {"enum": actions}, "number": number, "text": {"type": "string", "maxLength": 40}}}


def origin(post):
    """The id and the text of what a post repeats, or its own. A post begins with its topic, so nobody can write a repost."""
    repost = re.match(r"repost of (\d+)\.(\d+)\.(\d+) ", post.text)
    if repost is None:
        return post.id, post.text
    return throng.PostId(*map(int, repost.groups())), post.text[repost.end():]


class Microblog(throng.World):
    height, perception_radius, max_velocity = 1, 0, 0  # everybody sits alone
    post_latency, post_kept, horizon = 2, 24, 8

    def __init__(self, agents):
        self.width = agents

    def agents(self):
        for i in range(self.width):
            dice = random.Random(i)
            # Some follow many, and some are often there; small numbers are popular.
            count = min(int(8 / max(dice.random(), 0.001) ** 0.5), self.width)
            follows = {int(self.width * dice.random() ** 3) for _ in range(count)} - {i}
            active = min(0.5, 0.06 / max(dice.random(), 0.001) ** 0.5)
            yield throng.Agent(f"person {i}", (i, 0), mind=active, follows=follows)

    def ranking(self, view, agent):
        """A feed is by recency, by likes, or by what the agent likes itself."""
        def own(post):
            source, _ = origin(post)
            return 2 * view.likes(source) + 10 * (topic_of(source.by) == topic_of(agent.id)) + post.id.step - view.step

        return (None, lambda post: view.likes(origin(post)[0]), own)[agent.id % 3]

    def proceed(self, view, agent):
        messages = view.messages()
        if not messages and view.random.random() > agent.mind:
            return None
        feed = view.feed(FEED, self.ranking(view, agent))
        lines = [f"Headline: {text}" for _, text in view.announced()[-1:]]
        for number, post in enumerate(feed, 1):
            source, text = origin(post)
            lines.append(f"{number}. {post.name} ({view.likes(source)} likes): {text}")
        lines += [f"{message.name} writes to you: {message.text}" for message in messages]
        answer = yield throng.Call(
            f"You are {agent.name} and like {topic_of(agent.id)}. You read:\n" + "\n".join(lines or ["nothing yet"]) +
            "\nPost something, or like, repost or reply to a post by its number, follow or unfollow its author, or do "
            "nothing.",
            json_schema=form(len(feed)), temperature=1.0, max_tokens=120, function="react")
        return self.intent(agent, feed, **answer.json())

    def intent(self, agent, feed, action, number, text):
        if action == "post":
            text = f"{topic_of(agent.id)}: {text}"
            return throng.Intent(status=action, posts=[text], announce=[text] if agent.id == EDITOR else [])
        if action == "nothing":
            return None
        post = feed[number - 1]
        source, text_of_source = origin(post)
        if action == "like":
            return throng.Intent(status=action, likes=[source])
        if action == "repost":
            return throng.Intent(status=action, posts=["repost of {}.{}.{} {}".format(*source, text_of_source)])
        if action == "reply":
            return throng.Intent(status=action, messages=[(post.id.by, text)])
        if action == "unfollow":
            return throng.Intent(status=action, unfollow=[post.id.by])
        return throng.Intent(status=action, follow=[source.by] if source.by != agent.id else [])


def table(result):
    followers = collections.Counter(whom for agent in result.agents for whom in agent.follows)
    posts = collections.Counter(event.agent for event in result.events if event.kind == "post")
    # "post 0 of agent 3 in step 12: +1"
    likes = collections.Counter(int(event.text.split()[4]) for event in result.events if event.kind == "like")
    return throng.Frame.of(("name", "follows", "followers", "posts", "likes"),
                           ((agent.name, len(agent.follows), followers[agent.id], posts[agent.id], likes[agent.id])
                            for agent in result.agents))


def plot(axes, frame):
    axes.scatter("followers", "likes", data=frame, alpha=0.5)
    axes.set_xlabel("followers")
    axes.set_ylabel("likes")


if __name__ == "__main__":
    sys.exit(common.main("microblog", __doc__, Microblog, table, plot, agents=100, steps=48))
