"""Newsrooms: reporters pitch stories, editors choose the front page; half of the editors also read the other papers.

    PYTHONPATH=build/release/python python3 python/examples/newsroom.py --out results
"""

import collections
import itertools
import sys

import common
import throng

DESK = 4  # an editor and three reporters
STORIES = ["the new bridge", "the election", "a lost dog", "the harvest", "a strike", "football", "the flood", "a trial"]


class Newsroom(throng.World):
    def __init__(self, people):
        self.papers = max(4, people // DESK)
        editors = [paper * DESK for paper in range(self.papers)]
        rows = []
        for paper, editor in enumerate(editors):
            rivals = [other for other in editors[1::2] if other != editor] if paper % 2 else []
            rows.append([editor + 1, editor + 2, editor + 3, *rivals])
            rows += [[editor]] * (DESK - 1)
        self.space = throng.Network(rows)

    def agents(self):
        for i in range(self.papers * DESK):
            paper, desk = divmod(i, DESK)
            yield throng.Agent(f"{'reporter' if desk else 'editor'} {paper}-{desk}", i)

    def proceed(self, view, agent):
        paper, desk = divmod(agent.id, DESK)
        if desk:
            front = view.cell(agent.id - desk) or "nothing yet"
            leads = view.random.sample(STORIES, 3)
            answer = yield throng.Call(
                f"You are a reporter. Yesterday's front page was {front}. You have leads on {', '.join(leads)}. What do you "
                "pitch?", choices=leads, temperature=1.0, function="pitch")
            return throng.Intent(write={agent.pos: str(answer)})
        seen = [(other, view.cell(other.pos)) for other in view.neighbours()]
        pitches = sorted({text for other, text in seen if text and other.id // DESK == paper})
        rivals = collections.Counter(text for other, text in seen if text and other.id // DESK != paper)
        if not pitches:
            return None
        talked_of = min(rivals, key=lambda text: (-rivals[text], text)) if rivals else ""
        read = f"Most of the other papers had {talked_of}. " if talked_of else ""
        answer = yield throng.Call(
            f"You are the editor of paper {paper}. Your reporters pitch {', '.join(pitches)}. {read}What is on the front page?",
            choices=sorted({*pitches, talked_of} - {""}), temperature=1.0, function="print")
        return throng.Intent(write={agent.pos: str(answer)}, events=[("reads" if paper % 2 else "alone", str(answer))])


def table(result):
    """In which share of pairs of papers both have the same front page: those that read each other, and the others."""
    events = result.frame("events")
    pages: dict[tuple[int, str], list[str]] = {}
    for step, kind, text in zip(events["step"], events["kind"], events["text"]):
        pages.setdefault((step, kind), []).append(text)

    def same(step, kind):
        pairs = list(itertools.combinations(pages.get((step, kind), []), 2))
        return round(sum(a == b for a, b in pairs) / max(1, len(pairs)), 3)

    return throng.Frame.of(("step", "alone", "reads"),
                           ((step, same(step, "alone"), same(step, "reads")) for step in range(1, result.steps)))


def plot(axes, frame):
    axes.plot("step", "reads", data=frame, label="editors who read the other papers")
    axes.plot("step", "alone", data=frame, label="editors who do not")
    axes.set_xlabel("day")
    axes.set_ylabel("pairs of papers with the same front page")
    axes.legend()


if __name__ == "__main__":
    sys.exit(common.main("newsroom", __doc__, Newsroom, table, plot, agents=80, steps=30))
