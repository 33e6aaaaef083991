"""Draws loss.csv: the loss, what looking elsewhere costs, and how often the first token of an answer is found."""

import csv
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

HERE = Path(__file__).resolve().parent


def main() -> None:
    rows = list(csv.DictReader((HERE / "loss.csv").open()))
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.2))
    tokens = [int(r["tokens"]) / 1e6 for r in rows]
    left.plot(tokens, [float(r["loss"]) for r in rows], linewidth=0.8)
    left.set(xlabel="million tokens", ylabel="weighted loss", ylim=(0, 2.5))
    for name in ("line", "ask", "answer", "copy"):
        middle.plot(tokens, [float(r[f"{name}_looks"]) for r in rows], linewidth=0.8, label=name)
    middle.set(xlabel="million tokens", ylabel="-log of attention where it should be", ylim=(0, 1))
    middle.legend(frameon=False)
    for name in ("answer_first", "act_first", "talk_first", "say"):
        found = [(t, float(r[name])) for t, r in zip(tokens, rows) if r[name]]
        right.plot(*zip(*found), linewidth=0.8, label=name.removesuffix("_first"))
    right.set(xlabel="million tokens", ylabel="share of answers right", ylim=(0, 1))
    right.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(HERE / "loss.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
