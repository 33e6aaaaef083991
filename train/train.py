"""Trains the town's model on documents that are generated on the fly. Writes out/checkpoint.pt and a loss curve."""

from pathlib import Path
from random import Random
from typing import NamedTuple

import torch

from generator import make_document
from looks import ANSWER_LAYER, ASK_LAYER, COPY_LAYER, LINE_LAYER, DocumentLooks
from loop import Batch, Look, Stage, Task, look_tensors, parse_arguments, run
from model import Config, Model
from start import start_as_memory
from tokenizer import Tokenizer

HERE = Path(__file__).resolve().parent


class Mix(NamedTuple):
    pairs: float  # share of bare recall documents
    given: float  # weight of given text


# At first queries and keys learn where to look, and nothing else moves: gradients of answers read from wrong places would wipe
# out that words are copied faithfully. Looking back is learnt on short dense rows, then stretched.
CURRICULUM = (
    Stage(0.01, ((128, 16),), decisions=0.0, looks=1.0, options=Mix(pairs=1.0, given=0.0)),
    Stage(0.07, ((128, 16),), decisions=1.0, looks=1.0, options=Mix(pairs=1.0, given=0.0)),
    Stage(0.20, ((256, 6),), decisions=1.0, looks=1.0, options=Mix(pairs=0.5, given=0.0)),
    Stage(0.55, ((256, 8), (512, 4)), decisions=1.0, looks=0.5, options=Mix(pairs=0.2, given=0.01)),
    Stage(1.00, ((256, 8), (256, 8), (512, 4), (768, 3)), decisions=1.0, looks=0.2, options=Mix(pairs=0.2, given=0.01)),
)
WEIGHTS = dict(answer=3.0, act=3.0, talk=3.0, say=1.0, plan=1.0, reflect=1.0)
GIVEN_SHARE = 0.25  # a quarter of the given tokens stand for all
LOOK_COLUMNS = {LINE_LAYER: "line_looks", ASK_LAYER: "ask_looks", ANSWER_LAYER: "answer_looks", COPY_LAYER: "copy_looks"}


class Row:
    """length + 1 tokens, the decision that each belongs to, and the looks; a short document is followed by another."""

    def __init__(self, rng: Random, tokenizer: Tokenizer, length: int, pairs_share: float):
        self.ids: list[int] = []
        self.kinds: list[str] = []
        self.looks: list[Look] = []
        while len(self.ids) <= length:
            begin = len(self.ids)
            document = DocumentLooks(make_document(rng, max(110, length - begin), pairs_share), tokenizer)
            self.looks += [look.moved(begin) for look in document.looks if begin + look.token < length]
            self.ids += document.ids + [tokenizer.eos]
            self.kinds += document.kinds + [""]
        del self.ids[length + 1:], self.kinds[length + 1:]


def make_batch(seed: int, tokenizer: Tokenizer, step: int, length: int, rows: range, stage: Stage) -> Batch:
    mix: Mix = stage.options
    made = [Row(Random(f"train/{seed}/{step}/{row}"), tokenizer, length, mix.pairs) for row in rows]
    picks, targets, weights, names = [], [], [], []
    for i, row in enumerate(made):
        rng = Random(f"given/{seed}/{step}/{rows[i]}")
        for t in range(length):
            kind = row.kinds[t + 1]
            if not kind and (not mix.given or rng.random() >= GIVEN_SHARE):
                continue
            picks.append(i * length + t)
            targets.append([row.ids[t + 1]])
            weights.append(WEIGHTS[kind] if kind else mix.given / GIVEN_SHARE)
            # The first token of an answer is the one that had to be found.
            names.append(f"{kind}_first" if kind and not row.kinds[t] else kind)
    inputs = torch.tensor([row.ids[:-1] for row in made])
    looks = look_tensors([(i, look) for i, row in enumerate(made) for look in row.looks], tuple(LOOK_COLUMNS), length)
    return Batch(inputs, torch.tensor(picks), torch.tensor(targets), torch.tensor(weights), names, looks)


def main() -> None:
    args = parse_arguments(__doc__, HERE / "out", HERE / "loss.csv", lr=7e-4)
    tokenizer = Tokenizer.load(args.out / "tokenizer.json")

    def new_model(dtype: torch.dtype) -> Model:
        model = Model(Config(vocab=len(tokenizer.tokens)), dtype)
        start_as_memory(model, tokenizer, args.seed)
        return model

    task = Task(CURRICULUM, [f"{k}_first" for k in WEIGHTS] + ["say"], LOOK_COLUMNS,
                lambda step, length, rows, stage: make_batch(args.seed, tokenizer, step, length, rows, stage),
                embed_speed=0.1, mlp_speed=0.3)
    run(task, new_model, args)


if __name__ == "__main__":
    main()
