"""What the sparse softmax SAS (src/attention/sas.h) does to attention over long texts: on rows of scores of the long model, and on made-up
rows in which many keys matter a little. For the published threshold of 6, for the one that grows with the number of keys, and for the
published one in 16-bit floats. Prints, as a table, the weight that the threshold drops and the relative error of the output, |o - exact| /
|exact|: mean and (most)."""

import argparse
from collections import defaultdict
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.nn.functional as F

from export import HERE, load_checkpoint
from model import Model, rms_norm
from ruler import common, frequent, needles, variables
from tokenizer import Tokenizer

CUBIC = (-0.1025, 0.4626, -0.9922, 0.9996)


def sas(x: np.ndarray, threshold: float, number: type) -> np.ndarray:
    """x: how far scores lie below the row's maximum."""
    x = x.astype(number)
    whole = np.floor(x)
    f = x - whole
    e = np.full_like(f, CUBIC[0])
    for c in CUBIC[1:]:
        e = (e * f).astype(number) + number(c)
    return np.where(x > threshold, 0, np.exp(-whole.astype(np.float64)).astype(number) * e).astype(np.float64)


def compare(scores: np.ndarray, values: np.ndarray) -> dict[str, tuple[float, float]]:
    """scores [keys], values [keys, d]."""
    x = scores.max() - scores
    exact = np.exp(-x)
    out = exact / exact.sum() @ values
    result = {}
    for name, threshold, number in (("6", 6.0, np.float64), ("growing", 6.0 + max(0.0, np.log(len(x) / 1024)), np.float64),
                                    ("6, f16", 6.0, np.float16)):
        weights = sas(x, threshold, number)
        got = weights / weights.sum() @ values
        result[name] = (exact[x > threshold].sum() / exact.sum(), np.linalg.norm(got - out) / np.linalg.norm(out))
    return result


@torch.no_grad()
def model_rows(model: Model, ids: list[int], num_rows: int, seed: int):
    """(layer and head, scores [keys], values [keys, d]) of the last token and of others."""
    c = model.c
    rng = Random(seed)
    rows = [len(ids) - 1] + rng.sample(range(len(ids) // 2, len(ids)), num_rows - 1)
    x = F.embedding(torch.tensor([ids]), model.embed)
    for i, layer in enumerate(model.layers):
        h = rms_norm(x, layer.attn_norm, c.eps)
        qk, v = F.linear(h, layer.qkv).view(1, len(ids), -1, c.head_dim).split((c.heads + c.kv_heads, c.kv_heads), 2)
        q, k = model.rotate(qk, None)[0].split((c.heads, c.kv_heads), 1)
        for head in range(c.heads):
            at = head * c.kv_heads // c.heads
            for row in rows:
                scores = k[: row + 1, at] @ q[row, head] * c.head_dim**-0.5
                yield f"layer {i}", scores.double().numpy(), v[0, : row + 1, at].double().numpy()
        mixed, _ = model.attend(h, layer, None, None)
        x = x + mixed
        gate, up = F.linear(rms_norm(x, layer.ffn_norm, c.eps), layer.gate_up).chunk(2, -1)
        x = x + F.linear(F.silu(gate) * up, layer.down)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=HERE / "out" / "long")
    parser.add_argument("--lengths", type=int, nargs="+", default=[1024, 4096, 16384])
    parser.add_argument("--rows", type=int, default=8)
    args = parser.parse_args()
    model, _ = load_checkpoint(args.folder / "checkpoint.pt")
    tokenizer = Tokenizer.load(args.folder / "tokenizer.json")
    names = ("6", "growing", "6, f16")
    print("| keys | rows | " + " | ".join(f"{name}: {what}" for name in names for what in ("dropped", "error")) + " |")
    print("|" + "---|" * (2 + 2 * len(names)))
    for length in args.lengths:
        found: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))

        def add(group: str, scores: np.ndarray, values: np.ndarray) -> None:
            for name, pair in compare(scores, values).items():
                found[group][name].append(pair)

        for make in (needles, variables, common, frequent):
            document = make(Random(f"{make.__name__}/{length}"), length, tokenizer)
            question = document.questions[0]
            for group, scores, values in model_rows(model, document.ids + question.ids[: question.begin], args.rows, length):
                add(group, scores, values)
        rng = np.random.default_rng(length)
        for spread in (1.0, 2.0, 3.0):
            for _ in range(args.rows):
                add(f"normal, deviation {spread:g}", rng.normal(0, spread, length), rng.normal(0, 1, (length, 64)))
        for group, by_name in found.items():
            cells = [f"{column.mean():.2g} ({column.max():.2g})" for name in names for column in np.array(by_name[name]).T]
            print(f"| {length} | {group} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
