"""Training documents: a persona with plan and memories, then many decisions on them, so that one sequence supervises
many recalls. A document is a list of segments; everything is a function of the random generator passed in."""

import json
import re
import zlib
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from grammar import BYE, FORM_OF, HELLO, MAX_TURNS, QUESTIONS, REACTIONS, THANKS, UNKNOWN, Form
from lexicon import (DAY_HOURS, EVENING, EVENTS, GOODS, HOURS, LIKES, LOST, LUNCH, MAX_PRICE, NAMES, NEEDS, OPEN_TRAITS, OTHER_NAMES,
                     PERSONAS, PLACES, PUBLIC, RELATIONS, REMARKS, TRAITS, WORK, WORK_START)
from prompts import HEAD, TAILS, TEMPLATES, block, fill, listing

MAX_SAY = 120
MAX_NEWS = 3  # lines of news in a prompt


def held_out(*words: object) -> bool:
    """One combination in ten is never asked in training; the evaluation asks only those."""
    return zlib.crc32("|".join(map(str, words)).encode()) % 10 == 0


def hour(h: int) -> str:
    return f"{h:02d}:00"


@dataclass
class Fact:
    kind: str
    text: str
    words: dict[str, str]
    subjects: tuple[str, ...]  # what questions name; no two facts of a kind share one
    asks: list[tuple[str, str, str]]  # question, answer, class of the answer
    teller: str | None = None

    @staticmethod
    def of(kind: str, words: dict[str, str], subjects: tuple[str, ...], asks: list[tuple[str, str, str]]) -> "Fact":
        return Fact(kind, FORM_OF[kind].text.format(**words), words, subjects, asks)

    def in_memory(self) -> str:
        """Its text in the memories of the one who speaks."""
        return f"You{self.text.removeprefix('I')}" if self.kind == "saw" else self.text

    def key(self) -> tuple:
        return (self.kind, *self.words.values())


class Ask(NamedTuple):
    fact: Fact
    question: str
    answer: str
    kind: str  # of answer


class Copied(NamedTuple):
    """A piece of an answer that stands in the prompt."""

    at: int  # characters from the beginning of the answer
    text: str
    source: str  # the last such text in the prompt contains the piece


class Sought(NamedTuple):
    """What an answer needs of the memories: where the speaker saw a person, if it did."""

    who: str
    sight: Fact | None
    at: tuple[int, ...]  # characters of the answer before which it is needed


class Segment(NamedTuple):
    text: str
    decision: str = ""  # that the text is; empty for text that is given
    ask: Ask | None = None  # what the decision answers
    copied: tuple[Copied, ...] = ()
    sought: Sought | None = None


@dataclass
class Scene:
    """One agent at one moment: what a prompt is made from."""

    persona: dict
    plan: list[tuple[int, str, str]]
    lines: list[str] = field(default_factory=list)
    facts: list[tuple[int, Fact]] = field(default_factory=list)  # index of the memory line
    end_minute: int = 0

    def head(self, by_hour: bool = False) -> str:
        """by_hour: the plan as a line for each hour of the day, which the question where to go wants."""
        if by_hour:
            plan = [f"- {h:02d} {planned_place(self, h * 60)}" for h in DAY_HOURS]
        else:
            plan = [f"- {hour(h)} {place}: {do}" for h, place, do in self.plan]
        return fill(HEAD, plan=block(plan), memories=block(self.lines), **persona_fields(self.persona))


def persona_fields(p: dict) -> dict:
    return dict(name=p["name"], age=p["age"], job=p["job"], workplace=p["workplace"], traits=", ".join(p["traits"]),
                relations=listing([f"{r['name']} ({r['relation']})" for r in p["relations"]]))


def made_up(rng: Random) -> str:
    """A word that no document has twice: it can only be copied."""
    return "".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(rng.choice((2, 2, 3))))


def pick_name(rng: Random) -> str:
    return rng.choice(OTHER_NAMES) if rng.random() < 0.1 else rng.choice(NAMES)


class FactMaker:
    """Facts of one document; the words that questions name occur once per kind, so each question has one answer."""

    KINDS = ("event",) * 5 + ("lost",) * 2 + ("meet",) * 2 + ("likes", "likes", "needs", "price", "price", "saw", "saw")

    def __init__(self, rng: Random, you: str, held: bool = False):
        self.rng = rng
        self.you = you
        self.held = held
        self.used: set[tuple] = set()

    def fresh(self, kind: str, choose) -> str | None:
        for _ in range(8):
            word = choose()
            if (kind, word) not in self.used:
                return word
        return None

    def person(self, kind: str) -> str | None:
        who = self.fresh(kind, lambda: pick_name(self.rng))
        return None if who == self.you else who

    def noun(self, kind: str, words: list[str]) -> str | None:
        return self.fresh(kind, lambda: made_up(self.rng) if self.rng.random() < 0.06 and not self.held else self.rng.choice(words))

    def make(self, kind: str | None = None) -> Fact | None:
        kind = kind or self.rng.choice(self.KINDS)
        for _ in range(60):
            fact = getattr(self, kind)()
            if fact and held_out(*fact.key()) == self.held:
                self.used.update((kind, subject) for subject in fact.subjects)
                return fact
        return None

    def event(self) -> Fact | None:
        topic = self.noun("event", EVENTS)
        place, at = self.rng.choice(PUBLIC), hour(self.rng.choice(HOURS))
        if topic is None or ("event", place + at) in self.used:
            return None
        asks = [(f"Where is the {topic}?", place, "place"), (f"When is the {topic}?", at, "time"),
                (f"Who told you about the {topic}?", "", "teller"), (f"What is at the {place} at {at}?", topic, "event")]
        return Fact.of("event", dict(topic=topic, place=place, at=at), (topic, place + at), asks)

    def lost(self) -> Fact | None:
        who, thing = self.person("lost"), self.noun("lost", LOST)
        place = self.rng.choice(PUBLIC)
        if who is None or thing is None:
            return None
        return Fact.of("lost", dict(who=who, thing=thing, place=place), (who, thing),
                       [(f"Who lost a {thing}?", who, "name"), (f"What did {who} lose?", thing, "lost"),
                        (f"Where did {who} lose a {thing}?", place, "place")])

    def meet(self) -> Fact | None:
        who, other = (self.person("meet") for _ in range(2))
        if who is None or other is None or who == other:
            return None
        place, at = self.rng.choice(PUBLIC), hour(self.rng.choice(HOURS))
        return Fact.of("meet", dict(who=who, other=other, place=place, at=at),
                       (who, other), [(f"Where will {who} meet {other}?", place, "place"), (f"When will {who} meet {other}?", at, "time"),
                        (f"Who will meet {other}?", who, "name"), (f"Who will {who} meet?", other, "name")])

    def likes(self) -> Fact | None:
        who, thing = self.person("likes"), self.noun("likes", LIKES)
        if who is None or thing is None:
            return None
        return Fact.of("likes", dict(who=who, thing=thing), (who, thing),
                       [(f"What does {who} like?", thing, "likes"), (f"Who likes {thing}?", who, "name")])

    def needs(self) -> Fact | None:
        who, thing = self.person("needs"), self.noun("needs", NEEDS)
        if who is None or thing is None:
            return None
        return Fact.of("needs", dict(who=who, thing=thing), (who, thing),
                       [(f"What does {who} need?", thing, "needs"), (f"Who needs a {thing}?", who, "name")])

    def price(self) -> Fact | None:
        good = self.noun("price", GOODS)
        if good is None:
            return None
        coins = str(self.rng.randint(2, MAX_PRICE))
        return Fact.of("price", dict(good=good, coins=coins), (good,),
                       [(f"What does the {good} cost?", coins, "number")])

    def saw(self) -> Fact | None:
        who = self.person("saw")
        if who is None:
            return None
        place = self.rng.choice(PUBLIC)
        return Fact.of("saw", dict(who=who, place=place), (who,),
                       [(f"Where did you see {who}?", place, "place")])


def random_persona(rng: Random) -> dict:
    p = dict(rng.choice(PERSONAS))
    if rng.random() < 0.5:
        q = rng.choice(PERSONAS)
        p.update(name=pick_name(rng), age=rng.randint(17, 80), job=q["job"], workplace=q["workplace"],
                 wake_hour=q["wake_hour"], sleep_hour=q["sleep_hour"], traits=rng.sample(TRAITS, 2))
        others = rng.sample([n for n in NAMES + OTHER_NAMES if n != p["name"]], rng.randint(0, 4))
        p["relations"] = [dict(name=n, relation=rng.choice(RELATIONS)) for n in others]
    return p


def usual_plan(rng: Random, p: dict, wake: int, events: list[Fact]) -> list[tuple[int, str, str]]:
    """A working day of this persona; events heard of take their hour."""
    work = p["workplace"]
    start = max(WORK_START[work], wake + 1)
    plan = {}
    if start > wake:
        plan[wake] = ("home", "have breakfast")
    if start >= 13:
        plan[11] = rng.choice(EVENING)
        plan[13] = rng.choice(LUNCH)
        plan[start] = (work, rng.choice(WORK[work]))
        plan[22] = ("home", "cook dinner")
    else:
        plan[start] = (work, rng.choice(WORK[work]))
        plan[max(12, start + 2)] = rng.choice(LUNCH)
        plan[max(13, start + 3)] = (work, rng.choice(WORK[work]))
        plan[rng.choice((17, 18))] = rng.choice(EVENING)
        plan[rng.choice((20, 21))] = ("home", rng.choice(("cook dinner", "read a novel", "rest on the sofa")))
    for event in events[-1:]:
        plan[int(event.words["at"][:2])] = (event.words["place"], f"join the {event.words['topic']}")
    return [(h, *plan[h]) for h in sorted(plan)][:7]


def scattered_plan(rng: Random) -> list[tuple[int, str, str]]:
    """Any places at any hours: such a plan has to be read."""
    hours = sorted(rng.sample(range(5, 23), rng.randint(4, 7)))
    plan = []
    for h in hours:
        place = rng.choice(list(PLACES))
        plan.append((h, place, rng.choice(PLACES[place])))
    return plan


# Pieces of an utterance with what they are copied from, if anything (Copied.source).
Pieces = list[tuple[str, str]]


def filled(form: Form, words: dict[str, str], source: str = "", you_source: str = "") -> Pieces:
    """Words come from the source, the name of the other from you_source."""
    return [(text, "") if text else (words[slot], you_source if slot == "you" else source) for text, slot in form.parts()]


def text_of(pieces: Pieces) -> str:
    return "".join(text for text, _ in pieces)


def reaction_to(rng: Random, kind: str) -> Form:
    return rng.choice([form for form in REACTIONS if form.kind == kind])


def sighting(rng: Random, you: str) -> Fact:
    who = rng.choice([n for n in NAMES + OTHER_NAMES[:4] if n != you])
    return Fact.of("saw", dict(who=who, place=rng.choice(PUBLIC)), (), [])


def intention(at: int, place: str, do: str) -> Fact:
    kind = "home" if place == "home" else "plan"
    words = dict(do=do, at=hour(at)) if place == "home" else dict(do=do, place=place, at=hour(at))
    return Fact.of(kind, words, (), [])


def some_intention(rng: Random) -> Fact:
    # At home as often as people of the town mean to be there: what one says to that differs.
    place = "home" if rng.random() < 0.35 else rng.choice(list(PLACES))
    return intention(rng.choice(HOURS), place, rng.choice(PLACES[place]))


def remark(rng: Random) -> Fact:
    text = rng.choice(REMARKS)
    if rng.random() < 0.5:
        words = text.split()
        spot = rng.randrange(len(words) - 1)
        words[spot] = made_up(rng)
        text = " ".join(words)
    return Fact("remark", text, {}, (), [])


def question_text(rng: Random, you: str) -> str:
    return rng.choice(QUESTIONS).text.format(who=rng.choice([n for n in NAMES if n != you]))


def remembered(rng: Random, speaker: str, listener: str, fact: Fact | None, heard: list[Fact]) -> str:
    """An utterance as memories hold it: it tells this fact, or something that nobody asks about."""
    before = rng.choice(heard) if heard and rng.random() < 0.8 else rng.choice((sighting(rng, speaker), some_intention(rng)))
    told = fact.text if fact else rng.choice((sighting(rng, speaker).text, some_intention(rng).text, question_text(rng, listener)))
    opening = HELLO.text.format(you=listener)
    response = reaction_to(rng, before.kind).text.format(**before.words)
    if rng.random() < 0.4:
        response = f"{THANKS.text.format(you=listener)} {response}"
    bye = BYE.text.format(you=listener)
    if fact is None:
        return rng.choice((f"{opening} {told}", f"{response} {told}", f"{response} {bye}", f"{response} {bye}", told, UNKNOWN["news"].text))
    return rng.choice((f"{opening} {told}", f"{opening} {told}", f"{response} {told}", told, f"{told} {bye}"))


def said_line(rng: Random, you: str, fact: Fact, heard: list[Fact], prefix: str) -> str:
    """A memory of a fact; sets who told it."""
    if fact.kind == "saw":
        return f"{prefix}{fact.in_memory()}"
    names = [fact.words[k] for k in ("who", "other") if k in fact.words]
    fact.teller = rng.choice([n for n in NAMES + OTHER_NAMES[:4] if n != you and n not in names])
    return f"{prefix}{fact.teller} said: {remembered(rng, fact.teller, you, fact, heard)}"


def filler_line(rng: Random, p: dict, facts: list[Fact], prefix: str) -> str:
    roll = rng.random()
    if roll < 0.3:
        place = rng.choice(list(PLACES))
        at = "at home" if place == "home" else f"at the {place}"
        return f"{prefix}You began to {rng.choice(PLACES[place])} {at}."
    other = next(name for name in iter(lambda: pick_name(rng), None) if name != p["name"])
    told = [f for f in facts if f.kind != "saw"]
    if roll < 0.6:
        # Repeats a known fact, as happens when the agent passes it on.
        return f"{prefix}You said to {other}: {remembered(rng, p['name'], other, rng.choice(told) if told else None, told)}"
    if roll < 0.85:
        return f"{prefix}{other} said: {remembered(rng, other, p['name'], None, told)}"
    return f"{prefix}You said to {other}: {remembered(rng, p['name'], other, None, told)}"


def make_scene(rng: Random, num_lines: int, fill_share: float, held: bool = False) -> Scene:
    p = random_persona(rng)
    plan = scattered_plan(rng) if rng.random() < 0.5 else usual_plan(rng, p, p["wake_hour"], [])
    scene = Scene(p, plan)
    maker = FactMaker(rng, p["name"], held)
    minute = rng.randint(300, 600)
    step = max(1, min(40, (1300 - minute) // max(1, num_lines)))
    for i in range(num_lines):
        minute += rng.randint(1, 2 * step)
        minute = min(minute, 22 * 60)
        prefix = f"- {minute // 60:02d}:{minute % 60:02d} "
        fact = None if rng.random() < fill_share else maker.make()
        if fact is None:
            scene.lines.append(filler_line(rng, p, [f for _, f in scene.facts], prefix))
            continue
        scene.lines.append(said_line(rng, p["name"], fact, [f for _, f in scene.facts if f.kind != "saw"], prefix))
        fact.asks = [(q, fact.teller if cls == "teller" else a, cls) for q, a, cls in fact.asks]
        scene.facts.append((i, fact))
    scene.end_minute = minute
    return scene


def clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def random_clock(rng: Random) -> str:
    return clock(rng.randint(6 * 60, 23 * 60 - 1))


def relation_of(p: dict, other: str) -> str:
    return next((r["relation"] for r in p["relations"] if r["name"] == other), "stranger")


def pick_other(rng: Random, p: dict) -> str:
    if p["relations"] and rng.random() < 0.6:
        return rng.choice(p["relations"])["name"]
    return rng.choice([n for n in NAMES if n != p["name"]])


def planned_place(scene: Scene, minute: int) -> str:
    begun = [place for h, place, _ in scene.plan if h * 60 <= minute]
    return begun[-1] if begun else "home"


def questions(rng: Random, facts: list[Fact]) -> list[Ask]:
    """All questions on the facts with their answers, to be asked once each: a question asked before would be answered
    from its first answer, a few tokens back, and not from the memory. The two-key question is hard and rare in use."""
    return [Ask(fact, *ask) for fact in facts for ask in fact.asks if ask[2] != "event" or rng.random() < 0.4]


def answer_tail(rng: Random, pending: list[Ask]) -> list[Segment]:
    """Takes one of the pending questions."""
    ask = pending.pop(rng.randrange(len(pending)))
    return [Segment(fill(TAILS["answer"], question=ask.question)), Segment(ask.answer + "\n", "answer", ask)]


def act_tail(rng: Random, scene: Scene, held: bool = False) -> tuple[list[Segment], str] | None:
    """(segments, answer), or None if the combination drawn is not of the wanted part. For heads by hour."""
    minute = rng.choice(DAY_HOURS) * 60 + rng.randint(0, 59)
    answer = planned_place(scene, minute)
    if held_out(scene.persona["name"], minute // 60, answer) != held:
        return None
    near = rng.sample([n for n in NAMES if n != scene.persona["name"]], rng.choice((0, 0, 1, 1, 2, 3)))
    # Often still at the place before, but not so often that staying would be a good guess.
    place = planned_place(scene, minute - 60) if rng.random() < 0.3 else rng.choice(list(PLACES))
    tail = fill(TAILS["act"], time=clock(minute), place=place, near=listing(near))
    return [Segment(tail), Segment(answer + "\n", "act")], answer


def talk_tail(rng: Random, scene: Scene) -> list[Segment]:
    p = scene.persona
    other = pick_other(rng, p)
    relation = relation_of(p, other)
    place = rng.choice(list(PLACES))
    does = "sleep" if place == "home" and rng.random() < 0.5 else rng.choice(PLACES[place])
    last = rng.choice(("never", f"{rng.choice((10, 20, 30, 40, 50))} minutes ago", f"{rng.randint(1, 23)} hours ago"))
    known = relation != "stranger" or bool(OPEN_TRAITS & set(p["traits"]))
    answer = "yes" if known and "minutes" not in last and does != "sleep" else "no"
    tail = fill(TAILS["talk"], time=random_clock(rng), place=place, other=other, relation=relation, other_does=does,
                last_talk=last)
    return [Segment(tail), Segment(answer + "\n", "talk")]


class Turn(NamedTuple):
    """What is said, and what the other will respond to: a fact, or a question by kind with whom it is about."""

    pieces: Pieces
    told: Fact | None = None
    asked: tuple[str, str] | None = None
    end: bool = False
    sought: str = ""  # the person whose place is told, or not known


@dataclass
class Speaker:
    """One side of a talk: what its prompt shows."""

    you: str  # the other's name
    news: list[Fact]  # not yet told to the other, best first
    next: Fact | None
    friends: list[str]
    sights: dict[str, Fact]

    def question(self, rng: Random, talk: str) -> tuple[Pieces, tuple[str, str]]:
        friends = [n for n in self.friends if n != self.you and n not in talk]
        kinds = [form for form in QUESTIONS if form.text not in talk and (form.kind != "where" or friends)]
        form = rng.choice(kinds or QUESTIONS[1:])
        who = rng.choice(friends) if form.kind == "where" else ""
        return filled(form, dict(who=who), f"{who} ("), (form.kind, who)

    def answer(self, asked: tuple[str, str], source: str) -> Turn:
        kind, who = asked
        if kind == "news" and self.news:
            fact = self.news.pop(0)
            return Turn([(fact.text, f"- {fact.text}")], fact)
        if kind == "next" and self.next:
            return Turn([(self.next.text, f"Next: {self.next.text}")], self.next)
        if kind == "where" and who in self.sights:
            fact = self.sights[who]
            pieces = [(text, source if text == who else "") for text, _ in filled(FORM_OF["saw"], fact.words)]
            return Turn(pieces, fact, sought=who)
        return Turn(filled(UNKNOWN[kind], dict(who=who), source), Fact(kind, "", dict(who=who), (), []), sought=who)

    def speak(self, rng: Random, turn: int, heard: Turn | None, talk: str) -> Turn:
        named = f"Talk with: {self.you}"
        last = talk.rpartition("\n")[2]  # what words about the fact or question heard are copied from
        if heard is None:
            turn_ = Turn(filled(HELLO, dict(you=self.you), "", named))
        elif heard.asked:
            turn_ = self.answer(heard.asked, last)
        else:
            pieces = filled(reaction_to(rng, heard.told.kind), heard.told.words, last)
            if rng.random() < 0.5:
                pieces = filled(THANKS, dict(you=self.you), "", named) + [(" ", "")] + pieces
            turn_ = Turn(pieces)
        # Whoever has answered may leave it at that; after a greeting comes something, after the last response nothing.
        more = 1.0 if heard is None else 0.0 if turn == MAX_TURNS - 1 else 0.4 if heard.asked else 0.75
        if rng.random() < more:
            if self.news and rng.random() < 0.75:
                fact = self.news.pop(0)
                turn_ = turn_._replace(pieces=turn_.pieces + [(" ", ""), (fact.text, f"- {fact.text}")], told=fact)
            elif heard is None or rng.random() < 0.6:
                asking, asked = self.question(rng, talk)
                turn_ = turn_._replace(pieces=turn_.pieces + [(" ", "")] + asking, told=None, asked=asked)
        silent = turn_.told is None and turn_.asked is None
        if silent or turn == MAX_TURNS - 1:
            turn_ = turn_._replace(pieces=turn_.pieces + [(" ", "")] + filled(BYE, dict(you=self.you), "", named), end=True)
        return turn_


def news_for(rng: Random, scene: Scene, other: str) -> list[Fact]:
    """As the town shows them: facts heard and people seen that the other may not know, and the agent's own intention last.
    Most stand in the memories; what was heard long ago does not."""
    maker = FactMaker(rng, scene.persona["name"])
    known = [f for _, f in scene.facts if other not in f.words.values() and f.teller != other]
    rng.shuffle(known)
    news = known[:rng.choice((0, 1, 2, 3))]
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
        fact = remark(rng) if rng.random() < 0.15 else maker.make()
        if fact and other not in fact.words.values():
            news.append(fact)
    rng.shuffle(news)
    if rng.random() < 0.15:
        news = []
    return news[:MAX_NEWS]


def say_tail(rng: Random, scene: Scene) -> list[Segment]:
    p = scene.persona
    other = pick_other(rng, p)
    turn = rng.choice((0, 0, 1, 1, 1, 2, 2, 3))
    minute = rng.randint(6 * 60, 23 * 60 - 1)
    later = [entry for entry in scene.plan if entry[0] * 60 > minute]
    next_fact = intention(*later[0]) if later else None
    me = Speaker(other, news_for(rng, scene, other), next_fact, [r["name"] for r in p["relations"]],
                 {f.words["who"]: f for _, f in scene.facts if f.kind == "saw"})
    if next_fact and len(me.news) < MAX_NEWS and rng.random() < 0.4:
        me.news.append(next_fact)
    them_maker = FactMaker(rng, p["name"])
    theirs = [rng.choice((remark, some_intention, some_intention, lambda r: sighting(r, other)))(rng) if rng.random() < 0.45
              else them_maker.make() or sighting(rng, other) for _ in range(rng.choice((0, 1, 2, 2)))]
    friends = list(me.sights) if me.sights and rng.random() < 0.6 else rng.sample(NAMES, 3)
    them = Speaker(p["name"], theirs, some_intention(rng), [n for n in friends if n not in (p["name"], other)],
                   {n: Fact.of("saw", dict(who=n, place=rng.choice(PUBLIC)), (), []) for n in rng.sample(NAMES, 9)})
    lines: list[str] = []
    said: Turn | None = None
    for t in range(turn + 1):
        mine = (turn - t) % 2 == 0
        before = list(me.news)
        said = (me if mine else them).speak(rng, t, said, "\n".join(lines))
        if t < turn:
            if said.end:
                return say_tail(rng, scene)
            lines.append(f"{'You' if mine else other}: {text_of(said.pieces)}")
    text = text_of(said.pieces)
    if len(text) > MAX_SAY:
        return say_tail(rng, scene)
    prompt = fill(TAILS["say"], time=clock(minute), place=rng.choice(list(PLACES)), other=other,
                  relation=relation_of(p, other), next=next_fact.text if next_fact else "none",
                  news=block([f"- {f.text}" for f in before]), talk=block(lines))
    answer = compact(say=text, end=said.end)
    copied, at = [], len(SAY_BEGIN)
    assert answer.startswith(SAY_BEGIN)
    for piece, source in said.pieces:
        if source:
            copied.append(Copied(at, piece, source))
        at += len(piece)
    sought = None
    if said.sought:
        sight = me.sights.get(said.sought)
        # The word after "I" says whether it is known; the last word of the sentence is where.
        at = [len("I")] + ([len(sight.text) - len(f"{sight.words['place']}.")] if sight else [])
        sought = Sought(said.sought, sight, tuple(len(SAY_BEGIN) + i for i in at))
    return [Segment(prompt), Segment(answer + "\n", "say", copied=tuple(copied), sought=sought)]


SAY_BEGIN = '{"say":"'


def compact(**values: object) -> str:
    return json.dumps(values, separators=(",", ":"))


def reflect_tail(rng: Random, scene: Scene) -> list[Segment]:
    order = ("event", "lost", "meet", "needs", "likes", "price", "saw")
    facts = [f for _, f in scene.facts]
    fact = next((f for kind in order for f in reversed(facts) if f.kind == kind), None)
    if fact is None:
        text, importance = "it was a quiet day.", 1
    else:
        w = fact.words
        text, importance = dict(
            event=lambda: (f"{fact.teller} told me about the {w['topic']} at the {w['place']}.", 8 if w["at"] >= "17" else 7),
            lost=lambda: (f"{w['who']} lost a {w['thing']} and may need help.", 6),
            meet=lambda: (f"{w['who']} will meet {w['other']} at the {w['place']}.", 5),
            needs=lambda: (f"{w['who']} needs a {w['thing']}, maybe I can help.", 4),
            likes=lambda: (f"{w['who']} likes {w['thing']}, a gift could please.", 4),
            price=lambda: (f"the {w['good']} costs {w['coins']} coins.", 2),
            saw=lambda: (fact.text, 3),
        )[fact.kind]()
    prompt = fill(TAILS["reflect"], time=clock(rng.randint(20 * 60, 23 * 60)))
    return [Segment(prompt), Segment(compact(insight=text, importance=importance) + "\n", "reflect")]


def plan_document(rng: Random, num_lines: int) -> list[Segment]:
    scene = make_scene(rng, num_lines, fill_share=0.5)
    p = scene.persona
    wake = p["wake_hour"] + rng.choice((0, 0, 0, 1))
    events = [f for _, f in scene.facts if f.kind == "event" and int(f.words["at"][:2]) > wake]
    plan = usual_plan(rng, p, wake, events)
    answer = compact(plan=[dict(at=hour(h), place=place, do=do[:32]) for h, place, do in plan])
    copied = [Copied(m.start(1), m[1], f" at the {m[1]}\nTraits") for m in re.finditer(f'"place":"({p["workplace"]})"', answer)]
    for event in events[-1:]:
        joined = re.search(r'"at":"(\d\d:00)","place":"(\w+)","do":"join the (\w+)"', answer)
        copied += [Copied(joined.start(i), joined[i], event.text) for i in (2, 3)]
    prompt = fill(TEMPLATES["plan"], memories=block(scene.lines), time=clock(wake * 60 + rng.choice((0, 0, 10, 20, 30))),
                  **persona_fields(p))
    return [Segment(prompt), Segment(answer + "\n", "plan", copied=tuple(copied))]


def pairs_document(rng: Random, max_tokens: int) -> list[Segment]:
    """The barest recall, memory lines with questions in between: from these the model first learns to look back."""
    you = pick_name(rng)
    maker = FactMaker(rng, you)
    segments = [Segment("Memories:\n")]
    known: list[Fact] = []
    pending: list[Ask] = []
    budget = max_tokens - 8
    # Long rows bring no more facts than the memories of a day, but longer pauses between them.
    fill_share = max(0.0, 1 - 160 / max_tokens)
    while budget > 0:
        for _ in range(rng.randint(1, 4)):
            if rng.random() < fill_share:
                segments.append(Segment(filler_line(rng, dict(name=you), known, f"- {random_clock(rng)} ") + "\n"))
                budget -= 20
                continue
            fact = maker.make()
            if fact is None:
                continue
            line = said_line(rng, you, fact, [f for f in known if f.kind != "saw"], f"- {random_clock(rng)} ")
            fact.asks = [(q, fact.teller if cls == "teller" else a, cls) for q, a, cls in fact.asks]
            known.append(fact)
            pending += questions(rng, [fact])
            segments.append(Segment(line + "\n"))
            budget -= 24
        for _ in range(min(rng.randint(1, 6), len(pending))):
            segments += answer_tail(rng, pending)
            budget -= 13
    return segments


def mixed_document(rng: Random, max_tokens: int) -> list[Segment]:
    """Persona, plan, memories, then decisions of all kinds until the budget is full. Where the plan is by hour, mostly
    the one that wants it so: where to go."""
    by_hour = rng.random() < 0.15
    talk = not by_hour and rng.random() < 0.5
    budget = max_tokens - (210 if by_hour else 130)
    low, high = (0.0, 0.8) if by_hour else (0.05, 0.55) if talk else (0.25, 0.8)
    num_lines = max(0 if by_hour else 1, min(44, int(budget / 21 * rng.uniform(low, high))))
    scene = make_scene(rng, num_lines, fill_share=rng.choice((0.3, 0.6, 0.75)))
    segments = [Segment(scene.head(by_hour))]
    budget -= 21 * num_lines
    recall_share, act_share = (0.2, 1.0) if by_hour else (0.15 if talk else rng.choice((0.3, 0.8, 0.95)), 0.0)
    pending = questions(rng, [fact for _, fact in scene.facts])
    while budget > 0:
        if pending and rng.random() < recall_share:
            segments += answer_tail(rng, pending)
            budget -= 13
            continue
        roll = rng.random()
        if roll < act_share:
            drawn = act_tail(rng, scene)
            if drawn:
                segments += drawn[0]
            budget -= 22
        elif roll < act_share + 0.35 * (1 - act_share):
            segments += talk_tail(rng, scene)
            budget -= 32
        elif roll < act_share + 0.93 * (1 - act_share):
            segments += say_tail(rng, scene)
            budget -= 105
        else:
            segments += reflect_tail(rng, scene)
            budget -= 36
    return segments


def make_document(rng: Random, max_tokens: int, pairs_share: float) -> list[Segment]:
    if rng.random() < pairs_share:
        return pairs_document(rng, max_tokens)
    if rng.random() < 0.15:
        return plan_document(rng, rng.randint(0, max(1, (max_tokens - 200) // 21)))
    return mixed_document(rng, max_tokens)
