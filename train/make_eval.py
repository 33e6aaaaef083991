"""Writes held-out prompts, one JSON object a line: prompt, choices, answer, distance (tokens from the answer's place in
the prompt to its end), kind. No combination asked here was asked in training."""

import argparse
import json
from pathlib import Path
from random import Random

from generator import act_tail, hour, make_scene
from lexicon import EVENTS, GOODS, HOURS, LIKES, LOST, MAX_PRICE, NAMES, NEEDS, PLACES, PUBLIC
from prompts import TAILS, fill
from tokenizer import Tokenizer

HERE = Path(__file__).resolve().parent
MAX_PROMPT_TOKENS = 900
MAX_LINES = 24  # the town shows 20 memories
MIN_CHOICES = 12

POOLS = dict(name=NAMES, teller=NAMES, event=EVENTS, lost=LOST, likes=LIKES, needs=NEEDS,
             number=[str(n) for n in range(2, MAX_PRICE + 1)])
CLOSED = dict(place=PUBLIC, time=[hour(h) for h in HOURS])


def choices_for(rng: Random, kind: str, answer: str, rivals: list[str]) -> list[str]:
    """Closed classes whole; else the rivals from the same prompt first, so that guessing a fitting word is not enough."""
    if kind in CLOSED:
        return CLOSED[kind]
    choices = [answer] + [r for r in dict.fromkeys(rivals) if r != answer][: MIN_CHOICES - 1]
    rest = [w for w in POOLS[kind] if w not in choices]
    choices += rng.sample(rest, MIN_CHOICES - len(choices))
    return sorted(choices)


def recall_item(rng: Random, tokenizer: Tokenizer) -> dict | None:
    scene = make_scene(rng, rng.randint(4, MAX_LINES), rng.choice((0.5, 0.75)), held=True)
    if not scene.facts:
        return None
    index, fact = rng.choice(scene.facts)
    question, answer, kind = rng.choice([a for a in fact.asks if a[2] != "event"])
    head = scene.head()
    prompt = head + fill(TAILS["answer"], question=question)
    length = len(tokenizer.encode(prompt))
    if length > MAX_PROMPT_TOKENS:
        return None
    line = scene.lines[index]
    # The teller is named before the fact, everything else within it.
    at = head.index(line) + (line.index(answer) if kind == "teller" else line.rindex(fact.in_memory()) + fact.in_memory().rindex(answer))
    rivals = [a for _, f in scene.facts for _, a, k in f.asks if (k in ("name", "teller")) == (kind in ("name", "teller"))
              and (k == kind or kind in ("name", "teller"))]
    rng.shuffle(rivals)
    return dict(prompt=prompt, choices=choices_for(rng, kind, answer, rivals), answer=answer,
                distance=length - len(tokenizer.encode(prompt[:at])), kind=kind)


def act_item(rng: Random, tokenizer: Tokenizer) -> dict | None:
    scene = make_scene(rng, rng.randint(0, 24), rng.choice((0.3, 0.6)))
    drawn = act_tail(rng, scene, held=True)
    if drawn is None:
        return None
    segments, answer = drawn
    head = scene.head(by_hour=True)
    prompt = head + segments[0][0]
    length = len(tokenizer.encode(prompt))
    now = segments[0][0].split("Next place at ")[1][:2]
    at = head.index(f"- {now} ")
    return dict(prompt=prompt, choices=list(PLACES), answer=answer, distance=length - len(tokenizer.encode(prompt[:at])), kind="plan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=("recall", "act"), default="recall")
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1001)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, default=HERE / "out" / "tokenizer.json")
    args = parser.parse_args()
    tokenizer = Tokenizer.load(args.tokenizer)
    make = recall_item if args.kind == "recall" else act_item
    items: list[dict] = []
    draw = 0
    while len(items) < args.n:
        item = make(Random(f"{args.kind}/{args.seed}/{draw}"), tokenizer)
        draw += 1
        if item:
            items.append(item)
    args.out.write_text("".join(json.dumps(item) + "\n" for item in items))


if __name__ == "__main__":
    main()
