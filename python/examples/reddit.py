"""A forum of communities: members read the best posts, and post, comment or vote, with answers in JSON.

The counterpart of OASIS's examples/reddit_simulation_openai.py (90 lines without the platform, which is in its
library); this file has 84, platform included.

    PYTHONPATH=build/release/python python3 python/examples/reddit.py --compare
"""

import json
import sys

import common
import throng

COMMUNITIES = ["gardening", "cycling", "baking", "astronomy", "chess", "birds"]
ANSWER = {"type": "object", "required": ["action", "post", "text"],
          "properties": {"action": {"enum": ["create_post", "create_comment", "like_post", "dislike_post", "nothing"]},
                         "post": {"type": "integer", "minimum": 1, "maximum": 5},
                         "text": {"type": "string", "maxLength": 50}}}


def ranked(board):
    """The five posts that a member is shown: likes count, and the newer goes first."""
    return sorted(board, key=lambda post: (post["dislikes"] - post["likes"], -post["id"]))[:5]


class Reddit(throng.World):
    height, perception_radius, max_velocity = 1, 0, 0
    width = 10 * len(COMMUNITIES)

    def __init__(self, members):
        self.members = members

    def agents(self):
        for i in range(self.members):
            yield throng.Agent(f"u/{COMMUNITIES[i % len(COMMUNITIES)]}_fan_{i}", (10 * (i % len(COMMUNITIES)), 0))

    def proceed(self, view, agent):
        # A community's board is a cell, which its members share. Not everybody is online all the time.
        if view.random.random() < 0.4:
            return {"action": "nothing"}
        lines = []
        for number, post in enumerate(ranked(json.loads(view.cell(agent.pos) or "[]")), 1):
            comments = " | ".join(post["comments"][-2:])
            lines.append(f"{number}. {post['text']} (+{post['likes']} -{post['dislikes']}) {comments}")
        answer = yield throng.Call(
            f"You are {agent.name} in r/{COMMUNITIES[agent.pos.x // 10]}. Posts:\n" + "\n".join(lines or ["none yet"]) +
            "\nWhat do you do?", json_schema=ANSWER, temperature=1.0, max_tokens=140, function="act")
        return answer.json()

    def resolve(self, step, members, commit):
        board = json.loads(commit.cell(members[0].pos) or "[]")
        shown = ranked(board)
        for agent in members:
            did = agent.intent
            if did["action"] == "create_post":
                board.append({"id": len(board), "by": agent.name, "text": did["text"], "likes": 0, "dislikes": 0,
                              "comments": []})
            elif did["action"] != "nothing" and did["post"] <= len(shown):
                post = shown[did["post"] - 1]
                if did["action"] == "create_comment":
                    post["comments"].append(f"{agent.name}: {did['text']}")
                else:
                    post["likes" if did["action"] == "like_post" else "dislikes"] += 1
            commit.event(agent, did["action"], did.get("text", ""))
        commit.write(members[0].pos, json.dumps(board))


def table(result):
    columns = ("id", "by", "text", "likes", "dislikes")
    return throng.Frame.of(("community", *columns, "comments"), (
        (COMMUNITIES[pos.x // 10], *(post[column] for column in columns), len(post["comments"]))
        for pos, board in sorted(result.cells.items()) for post in json.loads(board)))


def plot(axes, frame):
    axes.scatter([likes - dislikes for likes, dislikes in zip(frame["likes"], frame["dislikes"])], frame["comments"],
                 alpha=0.5)
    axes.set_xlabel("likes minus dislikes")
    axes.set_ylabel("comments")


if __name__ == "__main__":
    sys.exit(common.main("reddit", __doc__, Reddit, table, plot, agents=36, steps=10))
