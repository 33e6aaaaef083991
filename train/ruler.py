"""The tasks of `throng eval ruler`, as training documents: words and texts are those of town/eval/ruler.json, which the program reads, too.
A document has many questions, and each sees the document and itself alone, as if it were the only one. In the evaluation there is
one question per text; many make a document supervise more."""

import json
from dataclasses import dataclass, field
from random import Random

from lexicon import TOWN
from loop import Look
from tokenizer import Tokenizer

DATA = json.loads((TOWN / "eval" / "ruler.json").read_text())
WORDS = " ".join(DATA["words"]).split()
FILLER, TASKS = DATA["filler"], DATA["tasks"]
NUMBERS = [str(n) for n in range(10, 100)]
NUM_COMMON, RATIO = 10, 10  # common words, and how many times more frequent they are than the others
NUM_FREQUENT = 3
LIST_QUESTIONS = 4  # the same, answered in another order

# Layers and heads that look (long_start.py).
ASK_LAYER, FIND_LAYERS = 1, (2, 3)
ASK = 0  # of ASK_LAYER: from the answer to the colon before it
VALUE, VARIABLE, COUNTED, GIVEN = 0, 1, 2, 3  # of FIND_LAYERS: to values of a key, variables set to it, frequent words, the answer so far
# What looks at the answer so far gives the first token as much weight as this many words, so that each word has the same, however many.
SINK_SHARE = 10.0


def all_words() -> list[str]:
    """Every word of the tasks, with a space before it where it stands so."""
    texts = [text for task in TASKS.values() for text in task.values()] + [FILLER["sentence"], *FILLER["ends"], *FILLER["subjects"],
                                                                        *FILLER["verbs"], *FILLER["objects"], *WORDS, *NUMBERS]
    return sorted({word.strip(".,?:") for text in texts for word in text.split() if "{" not in word} - {""})


def filler_sentence(rng: Random) -> str:
    return " " + FILLER["sentence"].format(subject=rng.choice(FILLER["subjects"]), verb=rng.choice(FILLER["verbs"]),
                                           object=rng.choice(FILLER["objects"]), end=rng.choice(FILLER["ends"]))


@dataclass
class Question:
    ids: list[int]  # up to the colon, then the answer
    begin: int  # of the answer
    targets: list[set[int]]  # what may stand at each place of the answer
    head: int  # of FIND_LAYERS, which looks at the words of the document that give the answer,
    places: list[list[list[int]]]  # in the first of them, and in the second, by the word of the answer


@dataclass
class Document:
    name: str
    ids: list[int]
    filler: list[bool]  # tokens that could be any number of tokens
    starts: list[int]  # tokens at which a sentence begins
    questions: list[Question] = field(default_factory=list)


def list_answer(question: list[int], words: list[int], ordered: bool, tokenizer: Tokenizer, head: int, places: list[list[int]]) -> Question:
    """The words with commas between them, a full stop, and the end. places: of each word, in the document."""
    comma, stop = tokenizer.encode(",")[0], tokenizer.encode(".")[0]
    ids, targets, looked = list(question), [], ([], [])
    for i, word in enumerate(words):
        targets += [{word} if ordered else set(words[i:]), {comma if i + 1 < len(words) else stop}]
        ids += [word, *targets[-1]]
        # What was given already is left out in the second layer only, since the first finds out what that is.
        looked[0].append(places[i] if head == VARIABLE else sum(places, []))
        looked[1].append(places[i] if ordered else sum(places[i:], []))
    targets.append({tokenizer.eos})
    ids.append(tokenizer.eos)
    return Question(ids, len(question), targets, head, list(looked))


class Writer:
    """Text as tokens, each fact noted by where its words stand."""

    def __init__(self, name: str, tokenizer: Tokenizer):
        self.tokenizer = tokenizer
        self.document = Document(name, [tokenizer.eos], [False], [])
        self.add(TASKS[name]["intro"])

    def add(self, text: str, filler: bool = False) -> int:
        """Returns the place of its first token."""
        document = self.document
        begin = len(document.ids)
        document.starts.append(begin)
        document.ids += self.tokenizer.encode(text)
        document.filler += [filler] * (len(document.ids) - begin)
        return begin

    def one(self, word: str) -> int:
        (token,) = self.tokenizer.encode(" " + word)
        return token

    def fact(self, name: str, key: str, value: str) -> dict[str, int]:
        """Returns where key and value stand."""
        begin = self.add(" " + TASKS[name]["fact"].format(key=key, value=value))
        ids = self.document.ids
        return {word: ids.index(self.one(word), begin) for word in (key, value)}

    def ask(self, name: str, key: str = "") -> list[int]:
        task = TASKS[name]
        return self.tokenizer.encode("\n" + task["question"].format(key=key) + "\n" + task["start"].format(key=key))


def scattered(rng: Random, writer: Writer, facts: list, length: int) -> None:
    """Calls the facts in their order among sentences of filler."""
    while len(writer.document.ids) < length or facts:
        left = max(0, (length - len(writer.document.ids)) // 10)
        if facts and rng.random() < len(facts) / (len(facts) + left):
            facts.pop(0)()
        else:
            writer.add(filler_sentence(rng), filler=True)


def needles(rng: Random, length: int, tokenizer: Tokenizer) -> Document:
    writer = Writer("multivalue" if rng.random() < 0.5 else "multikey", tokenizer)
    words = iter(rng.sample(WORDS, len(WORDS)))
    places: dict[str, list[tuple[str, int]]] = {}
    facts = []

    def fact(key: str, value: str) -> None:
        places.setdefault(key, []).append((value, writer.fact("single", key, value)[value]))

    most = max(2, min(60, length // 16))
    while len(facts) < most:
        key = next(words)
        for _ in range(rng.choice((1, 1, 1, 4, 4, 3, 2))):
            facts.append(lambda key=key, value=next(words): fact(key, value))
        if rng.random() < 0.08:
            break
    rng.shuffle(facts)
    scattered(rng, writer, facts, length)
    document = writer.document
    for key, found in places.items():
        order = rng.sample(found, len(found))
        values = [writer.one(value) for value, _ in order]
        name = "single" if len(found) == 1 else "multivalue"
        document.questions.append(list_answer(writer.ask(name, key), values, False, tokenizer, VALUE, [[place] for _, place in order]))
    return document


def variables(rng: Random, length: int, tokenizer: Tokenizer) -> Document:
    writer = Writer("variables", tokenizer)
    words = iter(rng.sample(WORDS, len(WORDS)))
    numbers = iter(rng.sample(NUMBERS, len(NUMBERS)))
    chains: list[list[str]] = []
    places: dict[str, int] = {}  # of the value that a variable is set to
    steps: list[list] = []

    def fact(name: str, value: str) -> None:
        places[name] = writer.fact("variables", name, value)[value]

    for _ in range(rng.choice((1, 2, 3, max(4, length // 80)))):
        chain = [next(numbers)] + [next(words) for _ in range(5 if rng.random() < 0.8 else rng.randint(1, 4))]
        chains.append(chain)
        steps.append([lambda name=name, value=value: fact(name, value) for value, name in zip(chain, chain[1:])])
    facts = []
    while any(steps):  # chains are interleaved, each in its order
        facts.append(rng.choice([s for s in steps for _ in s]).pop(0))
    scattered(rng, writer, facts, length)
    for number, *names in chains:
        writer.document.questions.append(list_answer(writer.ask("variables", number), [writer.one(n) for n in names], True, tokenizer,
                                                     VARIABLE, [[places[n]] for n in names]))
    return writer.document


def list_document(writer: Writer, rng: Random, words: list[str], answer: list[str]) -> Document:
    name = writer.document.name
    begin = writer.add("".join(" " + word for word in words), filler=True)
    document = writer.document
    document.starts += [begin + i for i in range(1, len(words)) if rng.random() < 0.03]
    document.starts.sort()
    for _ in range(LIST_QUESTIONS):
        order = rng.sample(answer, len(answer))
        places = [[begin + i for i, word in enumerate(words) if word == each] for each in order]
        document.questions.append(list_answer(writer.ask(name), [writer.one(word) for word in order], False, writer.tokenizer, COUNTED, places))
    return document


def common(rng: Random, length: int, tokenizer: Tokenizer) -> Document:
    writer = Writer("common", tokenizer)
    words = rng.sample(WORDS, len(WORDS))
    # As many other words as there are, then more of each; short lists have fewer words.
    times = -(-length // (NUM_COMMON * RATIO + len(words) - NUM_COMMON))
    others = min(len(words) - NUM_COMMON, max(20, (length - NUM_COMMON * RATIO * times) // times))
    most = words[:NUM_COMMON]
    listed = most * (RATIO * times) + words[NUM_COMMON:NUM_COMMON + others] * times
    rng.shuffle(listed)
    return list_document(writer, rng, listed, most)


def frequent(rng: Random, length: int, tokenizer: Tokenizer) -> Document:
    writer = Writer("frequent", tokenizer)
    words = [TASKS["frequent"]["noise"]] + rng.sample(WORDS, len(WORDS))
    total = sum(1 / (k + 1) ** 2 for k in range(len(words)))
    counts = [round(length / (k + 1) ** 2 / total) for k in range(len(words))]
    listed = [word for word, count in zip(words, counts) for _ in range(count)]
    rng.shuffle(listed)
    return list_document(writer, rng, listed, words[1:1 + NUM_FREQUENT])


def make_document(rng: Random, length: int, tokenizer: Tokenizer) -> Document:
    """About `length` tokens, without the questions."""
    kind = rng.choices((needles, variables, common, frequent), (3, 1, 3, 2))[0]
    return kind(rng, length, tokenizer)


def looks_of(question: Question, at: int) -> list[Look]:
    """at: where the question stands in its row. Heads that the answer is not for look at the first token."""
    looks = []
    colon = at + question.begin - 1
    given: list[int] = []
    for token in range(colon, at + len(question.ids) - 1):
        looks.append(Look(ASK_LAYER, ASK, token, (colon,)))
        after = token - colon
        if after % 2 == 1:
            given.append(token)
        for layer, places in zip(FIND_LAYERS, question.places):
            looks.append(Look(layer, GIVEN, token, (0, *given), (SINK_SHARE, *(1.0 for _ in given))))
            if after % 2 == 0 and after // 2 < len(places):  # a word follows
                for each in (VALUE, VARIABLE, COUNTED):
                    looks.append(Look(layer, each, token, tuple(places[after // 2]) if each == question.head else (0,)))
    return looks
