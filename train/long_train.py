"""Trains the long model, which solves the tasks of `throng eval ruler`, on documents that are generated on the fly. Most rows are short,
and made to count as long: a token of filler weighs as much as many in attention, and the positions of sentences leap ahead.
Writes out/long/checkpoint.pt and a loss curve."""

import math
from pathlib import Path
from random import Random
from typing import NamedTuple

import torch

from long_start import config, start_as_finder
from loop import Batch, Look, Stage, Task, look_tensors, parse_arguments, run
from model import Frame, Model
from ruler import ASK_LAYER, FIND_LAYERS, Document, looks_of, make_document
from tokenizer import Tokenizer

HERE = Path(__file__).resolve().parent


class Mix(NamedTuple):
    document: float  # share of a row that the document takes; its questions take the rest
    longest: int  # tokens that filler and positions stand for, at most
    given: float  # weight of the text


CURRICULUM = (
    Stage(0.05, ((256, 8),), decisions=0.0, looks=1.0, options=Mix(0.5, 4096, 0.0)),
    Stage(0.20, ((256, 8), (512, 4)), decisions=1.0, looks=1.0, options=Mix(0.5, 8192, 0.0)),
    Stage(0.50, ((512, 4), (512, 4), (1024, 2)), decisions=1.0, looks=0.5, options=Mix(0.6, 32768, 0.01)),
    Stage(0.90, ((512, 4), (512, 4), (1024, 2)), decisions=1.0, looks=0.2, options=Mix(0.7, 32768, 0.01)),
    Stage(1.00, ((512, 4), (1024, 2), (2048, 1)), decisions=1.0, looks=0.1, options=Mix(0.8, 32768, 0.01)),
)
NAMES = ("multikey", "multivalue", "variables", "common", "frequent", "mark")
WORD_WEIGHT, MARK_WEIGHT = 3.0, 1.0
GIVEN_SHARE = 0.25  # a quarter of the given tokens stand for all
LOOK_COLUMNS = {ASK_LAYER: "ask_looks", FIND_LAYERS[0]: "find_looks", FIND_LAYERS[1]: "find_again_looks"}


class Row:
    """A document and as many of its questions as there is room for. Questions see the document and themselves."""

    def __init__(self, rng: Random, tokenizer: Tokenizer, length: int, mix: Mix):
        document = make_document(rng, int(length * mix.document), tokenizer)
        rng.shuffle(document.questions)
        self.ids = document.ids[:length]
        self.owner = [0] * len(self.ids)  # 0: the document; else which question
        self.positions = leaping(rng, document, mix.longest)[:length]
        self.answers: list[tuple[int, set[int], str]] = []  # token before, what may follow, name
        self.looks: list[Look] = []
        after = self.positions[-1] + 1
        for question in document.questions:
            at = len(self.ids)
            if at + len(question.ids) > length:
                break
            self.ids += question.ids
            self.owner += [1 + len(self.answers)] * len(question.ids)
            self.positions += range(after, after + len(question.ids))
            for i, target in enumerate(question.targets):
                self.answers.append((at + question.begin + i - 1, target, "mark" if i % 2 else document.name))
            self.looks += looks_of(question, at)
        self.document_tokens = len(document.ids)
        self.given = document.name not in ("common", "frequent")
        rest = length - len(self.ids)
        self.ids += [tokenizer.eos] * rest
        self.owner += [-1] * rest
        self.positions += [0] * rest
        # Filler counts as so many tokens: as in a long text, other tokens are outweighed by it.
        most = max(1.0, mix.longest / length)
        self.log_weight = math.log(most) * rng.choice((0.0, rng.random(), 1.0))
        self.filler = (document.filler + [False] * length)[:length]

    def bias(self) -> torch.Tensor:
        """[length, length], for Frame."""
        owner = torch.tensor(self.owner)
        sees = (owner[None, :] == 0) | (owner[None, :] == owner[:, None])
        weights = torch.tensor(self.filler).float() * self.log_weight
        return weights[None, :].masked_fill(~sees.tril(), float("-inf"))


def leaping(rng: Random, document: Document, longest: int) -> list[int]:
    """Positions that leap at the starts of sentences, in half of the documents."""
    length = len(document.ids)
    leaps = [0] * length
    room = longest - 2 * length - 512
    if rng.random() < 0.5 and room > 0:
        shares = [rng.expovariate(1.0) for _ in document.starts]
        scale = rng.random() * room / sum(shares)
        for start, share in zip(document.starts, shares):
            leaps[start] = int(share * scale)
    positions, at = [], 0
    for i, leap in enumerate(leaps):
        at += leap
        positions.append(i + at)
    return positions


def make_batch(seed: int, tokenizer: Tokenizer, step: int, length: int, rows: range, stage: Stage) -> Batch:
    mix: Mix = stage.options
    made = [Row(Random(f"long/{seed}/{step}/{row}"), tokenizer, length, mix) for row in rows]
    picks, targets, weights, names = [], [], [], []

    def supervise(pick: int, target: list[int], weight: float, name: str) -> None:
        picks.append(pick)
        targets.append(target)
        weights.append(weight)
        names.append(name)

    for i, row in enumerate(made):
        for token, target, name in row.answers:
            supervise(i * length + token, sorted(target), MARK_WEIGHT if name == "mark" else WORD_WEIGHT, name)
        rng = Random(f"given/{seed}/{step}/{rows[i]}")
        for token in range(1, min(row.document_tokens, length) - 1):
            if mix.given and row.given and rng.random() < GIVEN_SHARE:
                supervise(i * length + token, [row.ids[token + 1]], mix.given / GIVEN_SHARE, "given")
    most = max(map(len, targets))
    targets = [target + [-1] * (most - len(target)) for target in targets]
    looks = look_tensors([(i, look) for i, row in enumerate(made) for look in row.looks], tuple(LOOK_COLUMNS), length)
    frame = Frame(torch.tensor([row.positions for row in made]), torch.stack([row.bias() for row in made]))
    return Batch(torch.tensor([row.ids for row in made]), torch.tensor(picks), torch.tensor(targets), torch.tensor(weights), names, looks,
                 frame)


def main() -> None:
    args = parse_arguments(__doc__, HERE / "out" / "long", HERE / "long_loss.csv", lr=3e-4)
    tokenizer = Tokenizer.load(args.out / "tokenizer.json")

    def new_model(dtype: torch.dtype) -> Model:
        model = Model(config(len(tokenizer.tokens)), dtype)
        start_as_finder(model, tokenizer)
        return model

    task = Task(CURRICULUM, NAMES, LOOK_COLUMNS,
                lambda step, length, rows, stage: make_batch(args.seed, tokenizer, step, length, rows, stage),
                embed_speed=0.3, mlp_speed=1.0)
    run(task, new_model, args)


if __name__ == "__main__":
    main()
