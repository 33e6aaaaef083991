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

import torch
import torch.nn.functional as F

from generator import make_document
from grow import grow
from model import Config, Model
from start import start_as_memory
from tokenizer import Tokenizer

HERE = Path(__file__).resolve().parent

# (until this share of the run; (tokens per row, rows), taken in turn; share of bare recall documents; share of mere lists;
# weight of given text): look-back is learnt on short dense rows, then stretched. Given text weighs nothing at first,
# because its large and random gradients wipe out the circuit that recall starts from.
CURRICULUM = (
    (0.03, ((96, 20),), 1.0, 1.0, 0.0),
    (0.15, ((128, 16),), 1.0, 0.3, 0.0),
    (0.35, ((256, 12),), 0.5, 0.1, 0.0),
    (0.65, ((256, 16), (512, 8)), 0.5, 0.03, 0.01),
    (0.76, ((128, 16), (256, 12)), 0.9, 0.4, 0.0),
    (0.82, ((256, 16), (512, 8)), 0.5, 0.02, 0.01),
    (1.00, ((512, 8), (768, 5)), 0.35, 0.02, 0.01),
)
GROW_AT = 0.65  # the heads double (grow.py)
WEIGHTS = dict(answer=3.0, act=3.0, talk=3.0, say=0.7, plan=0.5, reflect=1.0)
GIVEN_SHARE = 0.25  # a quarter of the given tokens stand for all
WARM_UP_STEPS = 100


def make_row(rng: Random, tokenizer: Tokenizer, length: int, pairs_share: float, list_share: float) -> tuple[list[int], list[str]]:
    """length + 1 tokens and the decision each belongs to; a short document is followed by another."""
    ids: list[int] = []
    kinds: list[str] = []
    while len(ids) <= length:
        for text, kind in make_document(rng, max(110, length - len(ids)), pairs_share, list_share):
            new = tokenizer.encode(text)
            ids += new
            kinds += [kind] * len(new)
        ids.append(tokenizer.eos)
        kinds.append("")
    return ids[: length + 1], kinds[: length + 1]


def make_batch(seed: int, step: int, tokenizer: Tokenizer, length: int, rows: range, pairs_share: float, list_share: float,
               given_weight: float):
    """inputs [rows, length]; then positions, targets, weights and decisions of the supervised tokens."""
    inputs, picks, targets, weights, names = [], [], [], [], []
    for i, row in enumerate(rows):
        rng = Random(f"train/{seed}/{step}/{row}")
        ids, kinds = make_row(rng, tokenizer, length, pairs_share, list_share)
        inputs.append(ids[:-1])
        for t in range(length):
            kind = kinds[t + 1]
            if not kind and (not given_weight or rng.random() >= GIVEN_SHARE):
                continue
            picks.append(i * length + t)
            targets.append(ids[t + 1])
            weights.append(WEIGHTS[kind] if kind else given_weight / GIVEN_SHARE)
            # The first token of an answer is the one that had to be found.
            names.append(f"{kind}_first" if kind and not kinds[t] else kind)
    return torch.tensor(inputs), torch.tensor(picks), torch.tensor(targets), torch.tensor(weights), names


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
    matrices = [p for p in model.parameters() if p.dim() == 2]
    norms = [p for p in model.parameters() if p.dim() == 1]
    return torch.optim.AdamW([dict(params=matrices, weight_decay=0.05), dict(params=norms, weight_decay=0.0)], betas=(0.9, 0.98))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE / "out", help="folder with tokenizer.json; gets checkpoint.pt")
    parser.add_argument("--loss", type=Path, default=HERE / "loss.csv")
    parser.add_argument("--steps", type=int, help="budget in steps: the run is then repeatable exactly")
    parser.add_argument("--minutes", type=float, help="budget in minutes instead")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lr", type=float, default=1.5e-3)
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
    step, tokens, seconds, warm_up_from = 0, 0, 0.0, 0
    if saved:
        optimizer.load_state_dict(saved["optimizer"])
        step, tokens, seconds, warm_up_from = (saved[name] for name in ("step", "tokens", "seconds", "warm_up_from"))
    print(f"{sum(p.numel() for p in model.parameters())} parameters, {device}, products in {dtype}", flush=True)

    # Each worker computes its share of the rows with one thread of its own: on a busy machine the workers wait for each
    # other once a step, where threads within a product would wait at each product.
    num_workers = 1 if device.type == "cuda" else args.threads
    workers = ThreadPoolExecutor(num_workers, initializer=torch.set_num_threads, initargs=(1,))
    parameters = list(model.parameters())

    def part(worker: int, step: int, length: int, rows: int, *shares: float):
        mine = range(rows * worker // num_workers, rows * (worker + 1) // num_workers)
        inputs, picks, targets, weights, names = make_batch(args.seed, step, tokenizer, length, mine, *shares)
        inputs, picks, targets, weights = (t.to(device) for t in (inputs, picks, targets, weights))
        logits = model.logits(model.hidden(inputs).view(inputs.numel(), -1)[picks])
        loss = (F.cross_entropy(logits, targets, reduction="none") * weights).sum() / weights.sum()
        gradients = torch.autograd.grad(loss, parameters)
        return loss.item(), gradients, list(zip(names, (logits.argmax(-1) == targets).tolist()))

    def save() -> None:
        partial = checkpoint_path.with_suffix(".tmp")
        torch.save(dict(model=model.state_dict(), optimizer=optimizer.state_dict(), config=model.c.as_dict(), step=step,
                        tokens=tokens, seconds=seconds, warm_up_from=warm_up_from), partial)
        partial.replace(checkpoint_path)

    columns = ["step", "tokens", "seconds", "loss", "lr"] + [f"{k}_first" for k in WEIGHTS] + ["say"]
    if args.resume:
        drop_later_rows(args.loss, step)
    with args.loss.open("a" if args.resume else "w", newline="") as curve:
        writer = csv.writer(curve, lineterminator="\n")
        if not args.resume:
            writer.writerow(columns)
        losses: list[float] = []
        hits: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        last, saved_at = time.perf_counter(), seconds
        while True:
            progress = step / args.steps if args.steps else seconds / (60 * args.minutes)
            if progress >= 1:
                break
            if progress >= GROW_AT and model.c.heads == Config.heads:
                model = grow(model, args.seed).to(device)
                parameters = list(model.parameters())
                optimizer = make_optimizer(model)
                warm_up_from = step
            _, shapes, *shares = next(stage for stage in CURRICULUM if progress < stage[0])
            length, rows = shapes[step % len(shapes)]
            parts = list(workers.map(lambda worker: part(worker, step, length, rows, *shares), range(num_workers)))
            for i, parameter in enumerate(parameters):
                parameter.grad = sum(gradients[i] for _, gradients, _ in parts) / num_workers
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            rate = learning_rate(progress, args.lr) * min(1, (step - warm_up_from + 1) / WARM_UP_STEPS)
            for group in optimizer.param_groups:
                group["lr"] = rate
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
                shares = [f"{hits[c][0] / hits[c][1]:.3f}" if hits[c][1] else "" for c in columns[5:]]
                writer.writerow([step, tokens, f"{seconds:.0f}", f"{sum(losses) / len(losses):.4f}", f"{rate:.2e}"] + shares)
                curve.flush()
                losses.clear()
                hits.clear()
            if seconds - saved_at > 60 * args.save_minutes:
                save()
                saved_at = seconds
        save()


if __name__ == "__main__":
    main()
