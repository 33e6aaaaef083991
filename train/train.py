"""Trains the model on documents that are generated on the fly: batch i is a function of (seed, i), so that a resumed run
sees what an uninterrupted one would have seen. Writes out/checkpoint.pt and a loss curve."""

import argparse
import csv
import ctypes
import math
import os
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import NamedTuple

import torch
import torch.nn.functional as F

from generator import make_document
from looks import ANSWER_LAYER, ASK_LAYER, COPY_LAYER, LINE_LAYER, DocumentLooks, Look
from model import Config, Looks, Model
from start import start_as_memory
from tokenizer import Tokenizer

HERE = Path(__file__).resolve().parent

class Stage(NamedTuple):
    until: float  # share of the run
    shapes: tuple[tuple[int, int], ...]  # (tokens per row, rows), taken in turn
    pairs: float  # share of bare recall documents
    given: float  # weights of given text,
    decisions: float
    looks: float  # and of where to look


# At first queries and keys learn where to look, and nothing else moves: gradients of answers read from wrong places would wipe
# out that words are copied faithfully. Looking back is learnt on short dense rows, then stretched.
CURRICULUM = (
    Stage(0.01, ((128, 16),), pairs=1.0, given=0.0, decisions=0.0, looks=1.0),
    Stage(0.07, ((128, 16),), pairs=1.0, given=0.0, decisions=1.0, looks=1.0),
    Stage(0.20, ((256, 6),), pairs=0.5, given=0.0, decisions=1.0, looks=1.0),
    Stage(0.55, ((256, 8), (512, 4)), pairs=0.2, given=0.01, decisions=1.0, looks=0.5),
    Stage(1.00, ((256, 8), (256, 8), (512, 4), (768, 3)), pairs=0.2, given=0.01, decisions=1.0, looks=0.2),
)
WEIGHTS = dict(answer=3.0, act=3.0, talk=3.0, say=1.0, plan=1.0, reflect=1.0)
GIVEN_SHARE = 0.25  # a quarter of the given tokens stand for all
WARM_UP_STEPS = 50
EMBED_SPEED, MLP_SPEED = 0.1, 0.3  # of the learning rate
LOOK_LAYERS = (LINE_LAYER, ASK_LAYER, ANSWER_LAYER, COPY_LAYER)


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


def layer_looks(rows: list[Row], length: int) -> dict[int, Looks]:
    looks = {}
    for layer in LOOK_LAYERS:
        found = sorted(((look.token, i, look) for i, row in enumerate(rows) for look in row.looks if look.layer == layer))
        at = torch.zeros(len(found), length, dtype=torch.bool)
        for n, (_, _, look) in enumerate(found):
            at[n, list(look.at)] = True
        rows_of = torch.tensor([(i, look.head, token) for token, i, look in found], dtype=torch.long).view(-1, 3)
        looks[layer] = Looks(rows_of, at)
    return looks


def make_batch(seed: int, step: int, tokenizer: Tokenizer, length: int, rows: range, stage: Stage):
    """inputs [rows, length]; then positions, targets, weights and decisions of the supervised tokens, and the looks."""
    made = [Row(Random(f"train/{seed}/{step}/{row}"), tokenizer, length, stage.pairs) for row in rows]
    picks, targets, weights, names = [], [], [], []
    for i, row in enumerate(made):
        rng = Random(f"given/{seed}/{step}/{rows[i]}")
        for t in range(length):
            kind = row.kinds[t + 1]
            if not kind and (not stage.given or rng.random() >= GIVEN_SHARE):
                continue
            picks.append(i * length + t)
            targets.append(row.ids[t + 1])
            weights.append(WEIGHTS[kind] if kind else stage.given / GIVEN_SHARE)
            # The first token of an answer is the one that had to be found.
            names.append(f"{kind}_first" if kind and not row.kinds[t] else kind)
    inputs = torch.tensor([row.ids[:-1] for row in made])
    return inputs, torch.tensor(picks), torch.tensor(targets), torch.tensor(weights), names, layer_looks(made, length)


def fastest_dtype(device: torch.device) -> torch.dtype:
    """bf16 products are many times faster on some processors and emulated on others."""
    def seconds(dtype: torch.dtype) -> float:
        a, b = torch.randn(2048, 256, device=device).to(dtype), torch.randn(1280, 256, device=device).to(dtype)
        for _ in range(2):
            F.linear(a, b)
        start = time.perf_counter()
        for _ in range(5):
            F.linear(a, b).sum().item()
        return time.perf_counter() - start
    return min((torch.bfloat16, torch.float32), key=seconds)


def keep_freed_memory() -> None:
    """Large tensors come and go each step; handing them back to the kernel each time costs more than the mathematics."""
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, 1 << 30)  # M_TRIM_THRESHOLD
    except OSError:
        pass


def drop_later_rows(path: Path, step: int) -> None:
    """A run that was cut off may have logged steps beyond its last checkpoint."""
    header, *rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join([header] + [r for r in rows if int(r.split(",")[0]) <= step]))


def learning_rate(progress: float, peak: float) -> float:
    return peak * (0.04 + 0.96 * 0.5 * (1 + math.cos(math.pi * progress)))


def make_optimizer(model: Model) -> torch.optim.Optimizer:
    """Embeddings and MLPs move slowly: what is copied must stay the same word, and not drown."""
    groups: dict[float, list[torch.nn.Parameter]] = defaultdict(list)
    for name, p in model.named_parameters():
        groups[EMBED_SPEED if name == "embed" else MLP_SPEED if name.endswith(("gate_up", "down")) else 1.0].append(p)
    return torch.optim.AdamW([dict(params=params, speed=speed) for speed, params in groups.items()], betas=(0.9, 0.98), weight_decay=0.01)


def keep_queries_and_keys(model: Model) -> None:
    """Drops all other gradients."""
    for name, p in model.named_parameters():
        if name.endswith("qkv"):
            p.grad[-model.c.kv_heads * model.c.head_dim:] = 0
        else:
            p.grad = None


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE / "out", help="folder with tokenizer.json; gets checkpoint.pt")
    parser.add_argument("--loss", type=Path, default=HERE / "loss.csv")
    parser.add_argument("--steps", type=int, help="budget in steps: the run is then repeatable exactly")
    parser.add_argument("--minutes", type=float, help="budget in minutes instead")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lr", type=float, default=7e-4)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--log-every", type=int, default=25)
    parser.add_argument("--save-minutes", type=float, default=3)
    args = parser.parse_args()
    if (args.steps is None) == (args.minutes is None):
        parser.error("give either --steps or --minutes")
    return args


def main() -> None:
    args = parse_arguments()
    keep_freed_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(args.seed)
    tokenizer = Tokenizer.load(args.out / "tokenizer.json")
    dtype = fastest_dtype(device)
    checkpoint_path = args.out / "checkpoint.pt"
    saved = torch.load(checkpoint_path, map_location=device) if args.resume else None
    if saved:
        model = Model(Config(**saved["config"]), dtype)
        model.load_state_dict(saved["model"])
    else:
        model = Model(Config(vocab=len(tokenizer.tokens)), dtype)
        start_as_memory(model, tokenizer, args.seed)
    model.to(device)
    optimizer = make_optimizer(model)
    step, tokens, seconds = 0, 0, 0.0
    if saved:
        if saved["optimizer"]:  # from_gguf.py has none
            optimizer.load_state_dict(saved["optimizer"])
        step, tokens, seconds = (saved[name] for name in ("step", "tokens", "seconds"))
    print(f"{sum(p.numel() for p in model.parameters())} parameters, {device}, products in {dtype}", flush=True)

    # Each worker computes its share of the rows with one thread of its own: on a busy machine the workers wait for each
    # other once a step, where threads within a product would wait at each product.
    num_workers = 1 if device.type == "cuda" else args.threads
    workers = ThreadPoolExecutor(num_workers, initializer=torch.set_num_threads, initargs=(1,))
    parameters = list(model.parameters())

    def part(worker: int, step: int, length: int, rows: int, stage: Stage):
        mine = range(rows * worker // num_workers, rows * (worker + 1) // num_workers)
        *tensors, names, looks = make_batch(args.seed, step, tokenizer, length, mine, stage)
        inputs, picks, targets, weights = (t.to(device) for t in tensors)
        looks = {layer: Looks(l.rows.to(device), l.at.to(device)) for layer, l in looks.items()}
        hidden, costs = model.hidden(inputs, looks)
        logits = model.logits(hidden.view(inputs.numel(), -1)[picks])
        loss = (F.cross_entropy(logits, targets, reduction="none") * weights).sum() / weights.sum()
        look_costs = [costs[layer].mean() if len(costs[layer]) else torch.zeros((), device=device) for layer in LOOK_LAYERS]
        gradients = torch.autograd.grad(stage.decisions * loss + stage.looks * sum(look_costs), parameters)
        return [loss.item()] + [c.item() for c in look_costs], gradients, list(zip(names, (logits.argmax(-1) == targets).tolist()))

    def save() -> None:
        partial = checkpoint_path.with_suffix(".tmp")
        torch.save(dict(model=model.state_dict(), optimizer=optimizer.state_dict(), config=model.c.as_dict(), step=step,
                        tokens=tokens, seconds=seconds), partial)
        partial.replace(checkpoint_path)

    hit_columns = [f"{k}_first" for k in WEIGHTS] + ["say"]
    if args.resume:
        drop_later_rows(args.loss, step)
    with args.loss.open("a" if args.resume else "w", newline="") as curve:
        writer = csv.writer(curve, lineterminator="\n")
        if not args.resume:
            writer.writerow(["step", "tokens", "seconds", "lr", "loss", "line_looks", "ask_looks", "answer_looks", "copy_looks"] + hit_columns)
        losses: list[list[float]] = []
        hits: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        last, saved_at = time.perf_counter(), seconds
        while True:
            progress = step / args.steps if args.steps else seconds / (60 * args.minutes)
            if progress >= 1:
                break
            stage = next(stage for stage in CURRICULUM if progress < stage.until)
            length, rows = stage.shapes[step % len(stage.shapes)]
            parts = list(workers.map(lambda worker: part(worker, step, length, rows, stage), range(num_workers)))
            for i, parameter in enumerate(parameters):
                parameter.grad = sum(gradients[i] for _, gradients, _ in parts) / num_workers
            if not stage.decisions:
                keep_queries_and_keys(model)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            rate = learning_rate(progress, args.lr) * min(1, (step + 1) / WARM_UP_STEPS)
            for group in optimizer.param_groups:
                group["lr"] = rate * group["speed"]
            optimizer.step()

            for loss, _, outcomes in parts:
                losses.append(loss)
                for name, hit in outcomes:
                    hits[name][0] += hit
                    hits[name][1] += 1
            step += 1
            tokens += rows * length
            now = time.perf_counter()
            seconds, last = seconds + now - last, now
            if step % args.log_every == 0:
                shares = [f"{hits[c][0] / hits[c][1]:.3f}" if hits[c][1] else "" for c in hit_columns]
                means = [f"{sum(each) / len(losses):.4f}" for each in zip(*losses)]
                writer.writerow([step, tokens, f"{seconds:.0f}", f"{rate:.2e}"] + means + shares)
                curve.flush()
                losses.clear()
                hits.clear()
            if seconds - saved_at > 60 * args.save_minutes:
                save()
                saved_at = seconds
        save()


if __name__ == "__main__":
    main()
