"""Where attention should look: for each recall of a document, the path from the question to its answer, as (layer, head, token
that looks, tokens to look at). Training adds the cross-entropy of these to the loss. Without them the circuit has to be
found by chance, all of its steps at once; a head that has settled on the wrong word gets no gradient that mends it."""

import re
from bisect import bisect_right

from generator import Copied, Fact, Segment, Sought
from lexicon import OPEN_TRAITS
from loop import Look
from tokenizer import Tokenizer

LINE_LAYER = 1  # within a memory: who, what, who told it
ASK_LAYER = 2  # from the end of the question to what it names
ANSWER_LAYER = 3  # from the end of the question to the memory
COPY_LAYER = 4  # from before each piece that an utterance repeats to where it stands in the prompt
# Heads, each with keys of its own (two query heads share a key head).
FIRST, SECOND, TELLER = 0, 2, 4  # of LINE_LAYER, and of ASK_LAYER the first two
VALUE_AFTER, VALUE_BEFORE, TELLER_BEFORE = 0, 2, 4  # of ANSWER_LAYER: where the value stands, seen from the word asked by
COPY = 0  # of COPY_LAYER
DOING = 4  # of ASK_LAYER, at the question whether to talk: what the other does

COMPANY = re.compile(r"Sees: \w+ \((?P<relation>\w+)\), doing: (?:.* )?(?P<does>\w+)\nLast talk: (?:\d+ )?(?P<last>\w+)")
OPEN = re.compile("|".join(sorted(OPEN_TRAITS)))
TELLER_OF_LINE = re.compile(r"- (?:\d\d:\d\d )?(\w+)(?: said|:)")


def entities(fact: Fact) -> list[str]:
    """Who or what a fact is about, in the order of its text."""
    return [fact.words[name] for name in ("topic", "who", "good", "thing", "other") if name in fact.words]


class DocumentLooks:
    def __init__(self, document: list[Segment], tokenizer: Tokenizer):
        self.ids: list[int] = []
        self.kinds: list[str] = []
        self.looks: list[Look] = []
        self.starts: list[int] = []  # of tokens, in characters
        self.text = ""
        lines: set[tuple[int, str]] = set()
        for segment in document:
            fact = segment.ask.fact if segment.ask else segment.sought.sight if segment.sought else None
            if fact:
                for span in self.occurrences(fact.in_memory()):
                    if (span[0], fact.kind) not in lines:
                        lines.add((span[0], fact.kind))
                        self.look_within_line(fact, span)
            if segment.ask:
                self.look_for_answer(segment)
            elif segment.decision == "act":
                self.look_for_place()
            elif segment.decision == "talk":
                self.look_for_company()
            begin = len(self.text)
            self.append(segment, tokenizer)
            for copied in segment.copied:
                self.look_for_copy(copied, begin)
            if segment.sought:
                self.look_for_sight(segment.sought, begin)

    def append(self, segment: Segment, tokenizer: Tokenizer) -> None:
        at = len(self.text)
        new = tokenizer.encode(segment.text)
        for token in new:
            self.starts.append(at)
            at += len(tokenizer.tokens[token])
        self.text += segment.text
        self.ids += new
        self.kinds += [segment.decision] * len(new)

    def token(self, at: int) -> int:
        return bisect_right(self.starts, at) - 1

    def occurrences(self, text: str) -> list[tuple[int, int]]:
        return [m.span() for m in re.finditer(rf"(?<=\s){re.escape(text)}", self.text)]

    def word(self, word: str, begin: int, end: int) -> tuple[int, int] | None:
        """The span of the last such word there."""
        found = list(re.compile(rf"\b{re.escape(word)}\b").finditer(self.text, begin, end))
        return found[-1].span() if found else None

    def look_within_line(self, fact: Fact, span: tuple[int, int]) -> None:
        """From each token of a fact to what has been named so far, and to who tells it."""
        begin, end = span
        last = self.token(end - 1)
        for head, name in zip((FIRST, SECOND), entities(fact)):
            named = self.word(name, begin, end)
            assert named, (name, fact.text)
            for token in range(self.token(named[1] - 1) + 1, last + 1):
                self.looks.append(Look(LINE_LAYER, head, token, (self.token(named[0]),)))
        teller = TELLER_OF_LINE.match(self.text, self.text.rfind("\n", 0, begin) + 1)
        if teller:
            for token in range(self.token(begin), last + 1):
                self.looks.append(Look(LINE_LAYER, TELLER, token, (self.token(teller.start(1)),)))

    def look_for_answer(self, segment: Segment) -> None:
        """From the token before the answer, the last so far."""
        fact, question, answer, kind = segment.ask
        here = len(self.ids) - 1
        asked_at = self.text.rfind(question)
        keys = [w for w in fact.words.values() if re.search(rf"\b{re.escape(w)}\b", question)]
        named = sorted(self.word(key, asked_at, len(self.text)) for key in keys)
        self.looks.append(Look(ASK_LAYER, FIRST, here, (self.token(named[0][0]),)))
        self.looks.append(Look(ASK_LAYER, SECOND, here, (self.token(named[-1][1] - 1),)))
        at: list[int] = []
        for begin, end in self.occurrences(fact.in_memory()):
            key = max(self.word(key, begin, end) for key in keys)
            if kind == "teller":
                if self.text[:begin].rpartition("\n")[2].find(f" {answer} said") < 0:
                    continue
                head, tokens = TELLER_BEFORE, range(self.token(key[1] - 1), self.token(end - 1) + 1)
            else:
                value = self.word(answer, begin, end)
                if value[0] > key[0]:
                    head, tokens = VALUE_AFTER, range(self.token(value[0]), self.token(value[0]) + 1)
                else:
                    head, tokens = VALUE_BEFORE, range(self.token(key[1] - 1), self.token(end - 1) + 1)
            at += tokens
        if at:
            self.look_at(head, here, tuple(at))

    def look_for_place(self) -> None:
        """From the question where to go next to the hour, and to the plan's place for that hour."""
        here = len(self.ids) - 1
        hour = self.text.rindex("Next place at ") + len("Next place at ")
        planned = self.text.rindex(f"\n- {self.text[hour:hour + 2]} ") + len("\n- 00 ")
        for head in (FIRST, SECOND):
            self.looks.append(Look(ASK_LAYER, head, here, (self.token(hour),)))
        self.look_at(VALUE_AFTER, here, (self.token(planned),))

    def look_for_company(self) -> None:
        """From the question whether to talk to what decides it: the relation, the last talk, what the other does, and a trait."""
        here = len(self.ids) - 1
        seen = COMPANY.search(self.text, self.text.rindex("\nSees: "))
        for head, group in ((FIRST, "relation"), (SECOND, "last"), (DOING, "does")):
            self.looks.append(Look(ASK_LAYER, head, here, (self.token(seen.start(group)),)))
        traits = self.text.index("Traits: ")
        open_traits = [m.start() for m in OPEN.finditer(self.text, traits, self.text.index("\n", traits))]
        self.look_at(VALUE_AFTER, here, tuple(map(self.token, open_traits)) or (here,))

    def look_for_copy(self, copied: Copied, begin: int) -> None:
        """From before each token of the piece to the same token in the prompt."""
        source = self.text.rindex(copied.source, 0, begin) + copied.source.rindex(copied.text)
        first, end = begin + copied.at, begin + copied.at + len(copied.text)
        # The last mark of a sentence is part of a token that ends the text.
        last = self.token(end - 1) if end in self.starts else self.token(end - 1) - 1
        for token in range(self.token(first), last + 1):
            stands = self.token(source + max(self.starts[token] - first, -1))
            self.looks.append(Look(COPY_LAYER, COPY, token - 1, (stands,)))

    def look_for_sight(self, sought: Sought, begin: int) -> None:
        """From before the words that need it to the person asked about, and to the place in the memory."""
        asked = self.text.rindex(f"where is {sought.who}?", 0, begin) + len("where is ")
        for at in sought.at:
            here = self.token(begin + at) - 1
            for head in (FIRST, SECOND):
                self.looks.append(Look(ASK_LAYER, head, here, (self.token(asked),)))
            places = [self.token(end - 2) for _, end in self.occurrences(sought.sight.in_memory())] if sought.sight else []
            self.look_at(VALUE_AFTER, here, tuple(places) or (here,))

    def look_at(self, head: int, here: int, at: tuple[int, ...]) -> None:
        """One head of the answer layer looks at the answer; those that it is not for find nothing where they are."""
        for each in (FIRST, SECOND, TELLER):
            self.looks.append(Look(LINE_LAYER, each, here, (here,)))
        for each in (VALUE_AFTER, VALUE_BEFORE, TELLER_BEFORE):
            self.looks.append(Look(ANSWER_LAYER, each, here, at if each == head else (here,)))
