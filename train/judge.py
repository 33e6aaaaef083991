"""Judges what the people of a run said, from their memories at its end: whether each utterance is a sentence of the town's
language (grammar.py), whether it says what its speaker knew or planned at that time, and whether it fits what was said before.

    python3 judge.py town.journal --throng ../build/release/throng --show 20"""

import argparse
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from grammar import FACTS, TELL, Sentence, Utterance, parse_sentence, parse_utterance
from lexicon import PERSONAS

FACT_KINDS = {form.kind for form in FACTS} | {"remark"}
TURN_MINUTES = 2  # lines of one talk are not further apart


class Memory(NamedTuple):
    minute: int  # since midnight before the first day
    kind: str
    text: str


@dataclass
class Spoken:
    speaker: str
    listener: str
    minute: int
    text: str
    answers: bool  # not the first of a talk
    flaw: str = ""  # why it is no utterance of the language, or does not fit
    untrue: list[str] = field(default_factory=list)  # sentences that the speaker did not know


def sentences(text: str) -> list[str]:
    begin, found = 0, []
    for i, c in enumerate(text):
        if c in ".?!" and text[i + 1:i + 2] in ("", " "):
            found.append(text[begin:i + 1].strip())
            begin = i + 1
    return found


def clock_minute(text: str) -> int:
    return 60 * int(text[:2]) + int(text[3:5])


class Person:
    """Walks along the memories of one person."""

    def __init__(self, name: str, memories: list[Memory], remarks: frozenset[str]):
        self.name = name
        self.memories = memories
        self.remarks = remarks
        self.relations = {r["name"] for p in PERSONAS if p["name"] == name for r in p["relations"]}

    def spoken(self) -> list[Spoken]:
        found: list[Spoken] = []
        told: list[Sentence] = []
        last_talk = (-TURN_MINUTES, "")
        begun = False
        for i, memory in enumerate(self.memories):
            if memory.kind not in ("said", "heard"):
                continue
            mine = memory.kind == "said"
            who, mark, text = memory.text.removeprefix("You said to ").partition(": " if mine else " said: ")
            if not mark:
                continue
            if not (memory.minute - last_talk[0] <= TURN_MINUTES and who == last_talk[1] and begun):
                told = []
            last_talk, begun = (memory.minute, who), True
            first = not told
            parsed = parse_utterance(text, who if mine else self.name, told, None, self.remarks)
            if mine:
                line = Spoken(self.name, who, memory.minute, text, not first)
                if isinstance(parsed, str):
                    line.flaw = parsed
                else:
                    line.untrue = self.untrue(i, who, told, parsed)
                found.append(line)
            if isinstance(parsed, str):
                # What follows is judged by what can be read of it.
                told = [r for s in sentences(text) for r in parse_sentence(s, self.remarks) if r.act in (*TELL, "question", "answer")]
            else:
                told = parsed.told
                begun = not parsed.bye
        return found

    def untrue(self, now: int, listener: str, heard: list[Sentence], said: Utterance) -> list[str]:
        return [readings[0].text for readings in said.sentences if not any(self.knows(now, listener, r) for r in readings)]

    def knows(self, now: int, listener: str, s: Sentence) -> bool:
        known, minute = self.memories[:now], self.memories[now].minute
        if s.act == "fact":
            return any(m.kind == "heard" and s.text in sentences(m.text.partition(" said: ")[2] or m.text) for m in known)
        if s.kind == "saw" and s.act == "own":
            seen = [m.text for m in known if m.kind == "saw" and m.text.startswith(f"You saw {s.words['who']} ")]
            return bool(seen) and seen[-1] == f"You{s.text.removeprefix('I')}"
        if s.act == "own":
            return f"{s.words['at']} {s.words.get('place', 'home')}: {s.words['do']}" in self.plan(known)
        if s.act == "answer" and s.kind == "where":
            return not any(m.kind == "saw" and m.text.startswith(f"You saw {s.words['who']} ") for m in known)
        if s.act == "answer" and s.kind == "next":
            return all(clock_minute(entry) <= minute % (24 * 60) for entry in self.plan(known))
        if s.act == "answer" and s.kind == "news":
            return not self.untold(known, minute, listener)
        if s.act == "question" and s.kind == "where":
            return s.words["who"] in self.relations and s.words["who"] != listener
        return True  # manners, and reactions: that they name what was told, the parser has checked

    def plan(self, known: list[Memory]) -> list[str]:
        planned = [m.text for m in known if m.kind == "planned"]
        return planned[-1].removeprefix("You planned: ").split("; ") if planned else []

    def untold(self, known: list[Memory], minute: int, listener: str) -> list[str]:
        """Facts that it could have told."""
        between = [s for m in known if m.text.startswith((f"You said to {listener}: ", f"{listener} said: "))
                   for s in sentences(m.text.partition(": ")[2])]
        found = []
        for m in known:
            for text in sentences(m.text.partition(" said: ")[2] or m.text) if m.kind == "heard" else []:
                for s in parse_sentence(text, self.remarks):
                    day = m.minute - m.minute % (24 * 60)
                    over = "at" in s.words and day + clock_minute(s.words["at"]) <= minute
                    about = {self.name, listener} & set(s.words.values())
                    if s.kind in FACT_KINDS and s.act == "fact" and text not in between and not over and not about:
                        found.append(text)
        return found


def read_mind(journal: Path, throng: str, name: str) -> list[Memory]:
    shown = subprocess.run([throng, "interview", str(journal), "--agent", name, "--json"], check=True, capture_output=True, text=True)
    return [Memory(24 * 60 * m["day"] + clock_minute(m["at"]), m["kind"], m["text"]) for m in json.loads(shown.stdout)["memories"]]


def read_minds(journal: Path, throng: str) -> dict[str, list[Memory]]:
    names = [persona["name"] for persona in PERSONAS]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(names, pool.map(lambda name: read_mind(journal, throng, name), names)))


def judge(minds: dict[str, list[Memory]], remarks: frozenset[str] = frozenset()) -> list[Spoken]:
    return sorted((line for name, memories in minds.items() for line in Person(name, memories, remarks).spoken()),
                  key=lambda line: (line.minute, line.speaker))


def shares(spoken: list[Spoken]) -> dict[str, float]:
    answers = [line for line in spoken if line.answers]
    return dict(utterances=len(spoken), language=1 - sum(bool(line.flaw) for line in spoken) / max(1, len(spoken)),
                true=sum(not line.flaw and not line.untrue for line in spoken) / max(1, len(spoken)),
                fits=1 - sum(bool(line.flaw) for line in answers) / max(1, len(answers)))


def knowers(minds: dict[str, list[Memory]], fact: str) -> list[str]:
    """Who has heard this."""
    return [name for name, memories in minds.items() if any(m.kind == "heard" and fact in m.text for m in memories)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("journal", type=Path)
    parser.add_argument("--throng", default="throng", help="the program")
    parser.add_argument("--remark", action="append", default=[], help="a statement told from outside that no form has")
    parser.add_argument("--show", type=int, default=0, help="print this many utterances, evenly spread")
    parser.add_argument("--wrong", action="store_true", help="print what is wrong")
    parser.add_argument("--fact", help="print who has heard this")
    args = parser.parse_args()
    minds = read_minds(args.journal, args.throng)
    spoken = judge(minds, frozenset(args.remark))
    for line in spoken[::max(1, len(spoken) // max(1, args.show))] if args.show else []:
        print(f"{line.minute // 60 % 24:02d}:{line.minute % 60:02d} {line.speaker} to {line.listener}: {line.text}")
    for line in spoken if args.wrong else []:
        if line.flaw or line.untrue:
            print(f"{line.minute // 60 % 24:02d}:{line.minute % 60:02d} {line.speaker} to {line.listener}: {line.text} [{line.flaw or f'not known: {line.untrue}'}]")
    print(", ".join(f"{name} {value}" if name == "utterances" else f"{name} {100 * value:.1f} %" for name, value in shares(spoken).items()))
    if args.fact:
        print(f"heard by {len(knowers(minds, args.fact))}: {', '.join(knowers(minds, args.fact))}")


if __name__ == "__main__":
    main()
