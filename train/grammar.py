"""The language in which the people of the town talk: the forms of sentences and how they follow each other. The generator makes
utterances from these tables, and the parser reads them with the same ones.

A talk takes turns. The first utterance greets and tells or asks something; each later one first responds to what was told or
asked last, then may tell or ask something itself. Who has nothing to tell or ask says goodbye, which ends the talk."""

import re
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from lexicon import EVENTS, GOODS, LIKES, LOST, MAX_PRICE, NAMES, NEEDS, OTHER_NAMES, PLACES, PUBLIC

TELL = ("fact", "own")  # acts that tell something
MAX_TURNS = 4  # the utterance that ends a talk at the latest

# Words of each slot; a form may name its own.
SLOTS = dict(
    you=NAMES + OTHER_NAMES, who=NAMES + OTHER_NAMES, other=NAMES + OTHER_NAMES, place=PUBLIC, topic=EVENTS, good=GOODS,
    coins=[str(n) for n in range(2, MAX_PRICE + 1)], at=[f"{h:02d}:00" for h in range(24)],
    do=sorted({a for activities in PLACES.values() for a in activities} | {f"join the {topic}" for topic in EVENTS}),
)


@dataclass(frozen=True)
class Form:
    act: str  # hello, thanks, bye, fact, own, question, answer, reaction
    kind: str  # what it is about; of a reaction, the kind of what it reacts to
    text: str
    words: dict[str, list[str]] = field(default_factory=dict, hash=False)

    def parts(self) -> list[tuple[str, str]]:
        """(text, "") or ("", slot), in order."""
        return [(piece, "") if i % 2 == 0 else ("", piece) for i, piece in enumerate(re.split(r"\{(\w+)\}", self.text)) if piece]

    def slots(self) -> list[str]:
        return [slot for _, slot in self.parts() if slot]


# What anybody may pass on: no word of it depends on who says it to whom.
FACTS = [
    Form("fact", "event", "the {topic} is at the {place} at {at}."),
    Form("fact", "lost", "{who} lost a {thing} at the {place}.", dict(thing=LOST)),
    Form("fact", "meet", "{who} will meet {other} at the {place} at {at}."),
    Form("fact", "likes", "{who} likes {thing}.", dict(thing=LIKES)),
    Form("fact", "needs", "{who} needs a {thing}.", dict(thing=NEEDS)),
    Form("fact", "price", "the {good} costs {coins} coins."),
]
OWN = [
    Form("own", "saw", "I saw {who} at the {place}."),
    Form("own", "plan", "I will {do} at the {place} at {at}."),
    Form("own", "home", "I will {do} at home at {at}."),
]
QUESTIONS = [
    Form("question", "where", "where is {who}?"),
    Form("question", "next", "what will you do next?"),
    Form("question", "news", "what is new?"),
]
# For those who cannot answer a question by telling something.
UNKNOWN = dict(
    where=Form("answer", "where", "I do not know where {who} is."),
    next=Form("answer", "next", "I have no plan."),
    news=Form("answer", "news", "I have no news."),
)
# What answers a question, by kind; every fact is news.
TOLD_BY = dict(where=("saw",), next=("plan", "home"),
               news=("saw", "plan", "home", "remark", *(form.kind for form in FACTS)))
# Each names only what was told. A word for oneself or for the other in each says that nobody need pass it on.
REACTIONS = [Form("reaction", kind, text, words) for kind, words, texts in (
    ("event", {}, ("I will come to the {topic}.", "see you at the {place} at {at}.")),
    ("lost", dict(thing=LOST), ("I will look for the {thing}.", "I am sorry for {who}.")),
    ("meet", {}, ("I will look for {who} at the {place}.", "I hope {other} is on time.")),
    ("likes", dict(thing=LIKES), ("I like {thing} too.", "I will remember that {who} likes {thing}.")),
    ("needs", dict(thing=NEEDS), ("I will help {who}.", "I do not have a {thing}.")),
    ("price", {}, ("I will buy {good}.", "{coins} coins is too much for me.")),
    ("saw", {}, ("I will look for {who} at the {place}.", "I will say hello to {who}.")),
    ("plan", {}, ("I may see you at the {place}.", "I hope you enjoy the {place}.")),
    ("home", {}, ("I hope you have a good time at home.",)),
    ("remark", {}, ("I did not know that.",)),
    ("where", {}, ("I will look for {who}.",)),
    ("next", {}, ("I hope you have a good time.",)),
    ("news", {}, ("I will ask somebody else.",)),
) for text in texts]
HELLO = Form("hello", "hello", "hello {you}.")
THANKS = Form("thanks", "thanks", "thanks {you}.")
BYE = Form("bye", "bye", "bye {you}.")
FORMS = [HELLO, THANKS, BYE, *FACTS, *OWN, *QUESTIONS, *UNKNOWN.values(), *REACTIONS]

FORM_OF = {form.kind: form for form in FACTS + OWN + QUESTIONS}


class Sentence(NamedTuple):
    act: str
    kind: str
    words: dict[str, str]
    text: str


class Utterance(NamedTuple):
    sentences: list[list[Sentence]]  # each with all its readings
    response: list[Sentence]  # readings of what responds; empty in the first utterance
    told: list[Sentence]  # readings of what the other will respond to; empty after a goodbye
    bye: bool


@cache
def pattern(form: Form) -> re.Pattern:
    return re.compile("".join(f"(?P<{slot}>{'|'.join(map(re.escape, form.words.get(slot) or SLOTS[slot]))})" if slot else re.escape(text)
                              for text, slot in form.parts()))


def parse_sentence(text: str, remarks: frozenset[str] = frozenset()) -> list[Sentence]:
    """All readings. remarks: statements that came from outside and may be repeated as they are."""
    found = [Sentence(form.act, form.kind, match.groupdict(), text) for form in FORMS if (match := pattern(form).fullmatch(text))]
    return found or ([Sentence("fact", "remark", {}, text)] if text in remarks else [])


def responds(sentence: Sentence, heard: Sentence) -> bool:
    """Whether the sentence is what one may say to what was heard."""
    if heard.act == "question":
        fits = sentence.kind == heard.kind if sentence.act == "answer" else sentence.act in TELL and sentence.kind in TOLD_BY[heard.kind]
        return fits and heard.words.items() <= sentence.words.items()
    words = {slot: word for slot, word in sentence.words.items() if slot != "you"}
    return sentence.act == "reaction" and sentence.kind == heard.kind and words.items() <= heard.words.items()


def parse_utterance(text: str, listener: str, heard: list[Sentence], end: bool | None,
                    remarks: frozenset[str] = frozenset()) -> Utterance | str:
    """heard: what the other told or asked last, empty for the first utterance of a talk; end: whether it ended the talk, None if
    that is not known. A string says what is wrong."""
    texts = re.findall(r"[^.?]+[.?]", text)
    if " ".join(t.strip() for t in texts) != text:
        return f"these are not sentences: {text}"
    sentences = [parse_sentence(t.strip(), remarks) for t in texts]
    for sentence, t in zip(sentences, texts):
        if not sentence:
            return f"no form has this sentence: {t.strip()}"
        if sentence[0].words.get("you", listener) != listener:
            return f"this is for somebody else: {t.strip()}"
    rest = list(sentences)

    def take(*acts: str) -> list[Sentence]:
        if not rest or rest[0][0].act not in acts:
            return []
        return rest.pop(0)

    response: list[Sentence] = []
    if not heard:
        if not take("hello"):
            return "the first utterance of a talk does not greet"
    else:
        thanks = take("thanks")
        response = [s for s in take("reaction", "answer", *TELL) if any(responds(s, h) for h in heard)]
        if not response or (thanks and response[0].act != "reaction"):
            return f"this does not respond to \"{heard[0].text}\": {text}"
    told = take("question", *TELL)
    bye = bool(take("bye"))
    if rest:
        return f"this sentence has no place here: {rest[0][0].text}"
    if end is not None and bye != end:
        return "a goodbye and the end of a talk belong together"
    told = told or [s for s in response if s.act != "reaction"]
    if not told and not bye:
        return f"this neither tells nor asks anything: {text}"
    return Utterance(sentences, response, [] if bye else told, bye)
