"""Trains the tokenizer on the generator's own text, plus every word of the town with and without a leading space."""

import argparse
import re
from collections import Counter
from pathlib import Path
from random import Random

import lexicon
from generator import make_document
from grammar import FORMS
from tokenizer import WORDS, Tokenizer, train

# A word of the town weighs as much as if it had occurred this often, so that it becomes one token in both forms.
LEXICON_COUNT = 40


def town_words() -> list[str]:
    groups = [lexicon.EVENTS, lexicon.LOST, lexicon.LIKES, lexicon.NEEDS, lexicon.GOODS, lexicon.NAMES, lexicon.OTHER_NAMES,
              lexicon.PLACES, lexicon.TRAITS, lexicon.RELATIONS]
    words = [w for group in groups for w in group]
    words += [w for form in FORMS for w in re.findall("[A-Za-z]+", re.sub(r"\{\w+\}", "", form.text))]
    words += [w for text in lexicon.REMARKS for w in re.findall("[a-z]+", text)]
    words += [w for activities in lexicon.PLACES.values() for phrase in activities for w in phrase.split()]
    words += [f"{n:02d}" for n in range(100)] + [str(n) for n in range(10)] + ["yes", "no"]
    return words


def build(seed: int, num_documents: int, vocab_size: int) -> Tokenizer:
    counts: Counter[str] = Counter()
    for i in range(num_documents):
        rng = Random(f"tokenizer/{seed}/{i}")
        for segment in make_document(rng, 512, 0.2):
            counts.update(WORDS.findall(segment.text))
    # Made-up words occur once or twice; their fragments shall not push out real words.
    counts = Counter({w: n for w, n in counts.items() if n > 2})
    for word in town_words():
        counts[word] += LEXICON_COUNT
        counts[" " + word] += LEXICON_COUNT
    return train(counts, vocab_size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--documents", type=int, default=3000)
    parser.add_argument("--vocab", type=int, default=2304)
    args = parser.parse_args()
    tokenizer = build(args.seed, args.documents, args.vocab)
    tokenizer.save(args.out)
    split = [w for w in town_words() for form in (w, " " + w) if len(tokenizer.encode(form)) > 1]
    print(f"{len(tokenizer.tokens)} tokens, {len(tokenizer.merges)} merges; words of several tokens: {split or 'none'}")


if __name__ == "__main__":
    main()
