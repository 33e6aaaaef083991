"""Writes the long model's checkpoint as GGUF (matrices F16: few numbers of its circuit are much larger than the others), as export.py does
for the town's, and checks it on a text of each task."""

import argparse
from pathlib import Path
from random import Random

import gguf
from export import HERE, check, gguf_metadata, gguf_tensors, load_checkpoint
from ruler import common, frequent, needles, variables
from tokenizer import Tokenizer

TOKENS = 400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=HERE / "out" / "long", help="with checkpoint.pt and tokenizer.json")
    parser.add_argument("--out", type=Path, default=HERE / "long.gguf")
    args = parser.parse_args()
    model, saved = load_checkpoint(args.folder / "checkpoint.pt")
    tokenizer = Tokenizer.load(args.folder / "tokenizer.json")
    gguf.write(args.out, gguf_metadata("throng-long", model.c, tokenizer, gguf.F16, add_bos=True), gguf_tensors(model), gguf.F16)
    for make in (needles, variables, common, frequent):
        document = make(Random(make.__name__), TOKENS, tokenizer)
        question = document.questions[0]
        check(args.out, model, tokenizer.decode(document.ids[1:] + question.ids[: question.begin]))
    print(f"after {saved['step']} steps, {saved['tokens']} tokens, {saved['seconds'] / 60:.1f} minutes")


if __name__ == "__main__":
    main()
