"""Accuracy of a GGUF file on held-out prompts, by choice: the answer whose first token is likeliest."""

import argparse
import json
from collections import defaultdict
from pathlib import Path

from gguf_model import GgufModel
from lexicon import TOWN

FAR = 192  # tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=TOWN / "model.gguf")
    parser.add_argument("--n", type=int, help="only the first n prompts of each file")
    parser.add_argument("--misses", action="store_true", help="print what went wrong")
    parser.add_argument("files", nargs="*", type=Path, default=[TOWN / "eval" / "recall.jsonl", TOWN / "eval" / "act.jsonl"])
    args = parser.parse_args()
    model = GgufModel(args.model)
    for path in args.files:
        groups: dict[str, list[bool]] = defaultdict(list)
        for line in path.read_text().splitlines()[: args.n]:
            item = json.loads(line)
            logits = model.logits(model.tokenizer.encode(item["prompt"]))
            first = {model.tokenizer.encode(choice)[0]: choice for choice in item["choices"]}
            assert len(first) == len(item["choices"]), "two choices begin alike"
            chosen = first[max(first, key=lambda token: logits[token])]
            hit = chosen == item["answer"]
            for group in ("all", item["kind"], f"> {FAR} tokens back" if item["distance"] > FAR else f"<= {FAR} tokens back"):
                groups[group].append(hit)
            if args.misses and not hit:
                print(item["prompt"].splitlines()[-2], "| wanted", item["answer"], "| got", chosen, "| distance", item["distance"])
        print(f"{path.name}: " + ", ".join(f"{g} {100 * sum(h) / len(h):.1f} % of {len(h)}" for g, h in sorted(groups.items())))


if __name__ == "__main__":
    main()
