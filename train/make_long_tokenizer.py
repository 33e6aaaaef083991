"""The tokenizer of the long model: each word of the tasks (town/eval/ruler.json) is one token, with and without its space."""

import argparse
from collections import Counter
from pathlib import Path

from ruler import TASKS, all_words
from tokenizer import train

MOST_TOKENS = 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    spaced = [" " + word for word in all_words()] + [" " + TASKS["frequent"]["noise"]]
    bare = [word for word in all_words() if word[0].isupper()]  # begin a line
    tokenizer = train(Counter({word: 1 for word in spaced + bare}), MOST_TOKENS)
    tokenizer.save(args.out)
    split = [word for word in spaced + bare if len(tokenizer.encode(word)) > 1]
    print(f"{len(tokenizer.tokens)} tokens; words of several tokens: {split or 'none'}")


if __name__ == "__main__":
    main()
