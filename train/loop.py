"""What the trainings of both models share: the clock and the curriculum, workers, optimizer, checkpoints and the loss curve. Batch i is
a function of (seed, i), so that a resumed run sees what an uninterrupted one would have seen."""

import argparse
import csv
import ctypes
import math
import os
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Callable, NamedTuple, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from model import Config, Frame, Looks, Model

WARM_UP_STEPS = 50


class Look(NamedTuple):
    """In this layer, this head of this token should look at any of these tokens, or at all, in these shares."""

    layer: int
    head: int
    token: int
    at: tuple[int, ...]
    shares: tuple[float, ...] = ()

    def moved(self, by: int) -> "Look":
        return self._replace(token=self.token + by, at=tuple(t + by for t in self.at))


class Stage(NamedTuple):
    """A part of the curriculum; subclass it for what else changes."""

    until: float  # share of the run
    shapes: tuple[tuple[int, int], ...]  # (tokens per row, rows), taken in turn
    decisions: float  # weights of the answers,
    looks: float  # and of where to look
    options: object = None  # what the batches of this stage are made by


class Batch(NamedTuple):
    inputs: Tensor  # [rows, length]
    picks: Tensor  # [N]: supervised tokens, as indices of inputs.view(-1)
    targets: Tensor  # [N, most]: any of these may follow; -1 fills up
    weights: Tensor  # [N]
    names: list[str]  # [N]: columns of the curve that count the hits
    looks: dict[int, Looks]
    frame: Frame | None = None


class Task(NamedTuple):
    curriculum: Sequence[Stage]
    columns: Sequence[str]  # names of Batch
    look_columns: dict[int, str]  # by layer
    make_batch: Callable[[int, int, range, Stage], Batch]  # (step, length, rows, stage)
    # Of the learning rate. Embeddings move slowly: what is copied must stay the same word; MLPs must not drown it.
    embed_speed: float
    mlp_speed: float


def look_tensors(looks: Sequence[tuple[int, Look]], layers: Sequence[int], length: int) -> dict[int, Looks]:
    """looks: with the row of the batch that each is of."""
    tensors = {}
    for layer in layers:
        found = sorted((look.token, row, look) for row, look in looks if look.layer == layer)
        at = torch.zeros(len(found), length)
        for n, (_, _, look) in enumerate(found):
            at[n, list(look.at)] = torch.tensor(look.shares) if look.shares else 1.0
        rows_of = torch.tensor([(row, look.head, token) for token, row, look in found], dtype=torch.long).view(-1, 3)
        tensors[layer] = Looks(rows_of, at, torch.tensor([bool(look.shares) for _, _, look in found], dtype=torch.bool))
    return tensors


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


def make_optimizer(model: Model, task: Task) -> torch.optim.Optimizer:
    groups: dict[float, list[torch.nn.Parameter]] = defaultdict(list)
    for name, p in model.named_parameters():
        groups[task.embed_speed if name == "embed" else task.mlp_speed if name.endswith(("gate_up", "down")) else 1.0].append(p)
    return torch.optim.AdamW([dict(params=params, speed=speed) for speed, params in groups.items()], betas=(0.9, 0.98), weight_decay=0.01)


def keep_queries_and_keys(model: Model) -> None:
    """Drops all other gradients."""
    for name, p in model.named_parameters():
        if name.endswith("qkv"):
            p.grad[-model.c.kv_heads * model.c.head_dim:] = 0
        else:
            p.grad = None


def parse_arguments(description: str | None, out: Path, loss: Path, lr: float) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, default=out, help="folder with tokenizer.json; gets checkpoint.pt")
    parser.add_argument("--loss", type=Path, default=loss)
    parser.add_argument("--steps", type=int, help="budget in steps: the run is then repeatable exactly")
    parser.add_argument("--minutes", type=float, help="budget in minutes instead")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lr", type=float, default=lr)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--log-every", type=int, default=25)
    parser.add_argument("--save-minutes", type=float, default=3)
    args = parser.parse_args()
    if (args.steps is None) == (args.minutes is None):
        parser.error("give either --steps or --minutes")
    return args


def answer_loss(logits: Tensor, batch: Batch) -> Tensor:
    """-log of the probability of any right token, weighted."""
    scores = logits.gather(1, batch.targets.clamp(min=0)).masked_fill(batch.targets < 0, float("-inf"))
    return ((logits.logsumexp(1) - scores.logsumexp(1)) * batch.weights).sum() / batch.weights.sum()


def moved_to(batch: Batch, device: torch.device) -> Batch:
    return batch._replace(
        **{name: getattr(batch, name).to(device) for name in ("inputs", "picks", "targets", "weights")},
        looks={layer: Looks(l.rows.to(device), l.at.to(device), l.even.to(device)) for layer, l in batch.looks.items()},
        frame=batch.frame and Frame(batch.frame.positions.to(device), batch.frame.bias.to(device)))


def run(task: Task, new_model: Callable[[torch.dtype], Model], args: argparse.Namespace) -> None:
    keep_freed_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(args.seed)
    dtype = fastest_dtype(device)
    checkpoint_path = args.out / "checkpoint.pt"
    saved = torch.load(checkpoint_path, map_location=device) if args.resume else None
    if saved:
        model = Model(Config(**saved["config"]), dtype)
        model.load_state_dict(saved["model"])
    else:
        model = new_model(dtype)
    model.to(device)
    optimizer = make_optimizer(model, task)
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

    def num_parts(rows: int) -> int:
        return min(rows, num_workers)

    def part(worker: int, step: int, length: int, rows: int, stage: Stage):
        mine = range(rows * worker // num_parts(rows), rows * (worker + 1) // num_parts(rows))
        batch = moved_to(task.make_batch(step, length, mine, stage), device)
        hidden, costs = model.hidden(batch.inputs, batch.looks, batch.frame)
        logits = model.logits(hidden.view(batch.inputs.numel(), -1)[batch.picks])
        loss = answer_loss(logits, batch)
        look_costs = [costs[layer].mean() if len(costs[layer]) else torch.zeros((), device=device) for layer in task.look_columns]
        gradients = torch.autograd.grad(stage.decisions * loss + stage.looks * sum(look_costs), parameters)
        hits = (logits.argmax(-1, keepdim=True) == batch.targets).any(1)
        return [loss.item()] + [c.item() for c in look_costs], gradients, list(zip(batch.names, hits.tolist()))

    def save() -> None:
        partial = checkpoint_path.with_suffix(".tmp")
        torch.save(dict(model=model.state_dict(), optimizer=optimizer.state_dict(), config=model.c.as_dict(), step=step,
                        tokens=tokens, seconds=seconds), partial)
        partial.replace(checkpoint_path)

    if args.resume:
        drop_later_rows(args.loss, step)
    with args.loss.open("a" if args.resume else "w", newline="") as curve:
        writer = csv.writer(curve, lineterminator="\n")
        if not args.resume:
            writer.writerow(["step", "tokens", "seconds", "lr", "loss", *task.look_columns.values(), *task.columns])
        losses: list[list[float]] = []
        hits: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        last, saved_at = time.perf_counter(), seconds
        while True:
            progress = step / args.steps if args.steps else seconds / (60 * args.minutes)
            if progress >= 1:
                break
            stage = next(stage for stage in task.curriculum if progress < stage.until)
            length, rows = stage.shapes[step % len(stage.shapes)]
            parts = list(workers.map(lambda worker: part(worker, step, length, rows, stage), range(num_parts(rows))))
            for i, parameter in enumerate(parameters):
                parameter.grad = sum(gradients[i] for _, gradients, _ in parts) / len(parts)
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
                shares = [f"{hits[c][0] / hits[c][1]:.3f}" if hits[c][1] else "" for c in task.columns]
                means = [f"{sum(each) / len(losses):.4f}" for each in zip(*losses)]
                writer.writerow([step, tokens, f"{seconds:.0f}", f"{rate:.2e}"] + means + shares)
                curve.flush()
                losses.clear()
                hits.clear()
            if seconds - saved_at > 60 * args.save_minutes:
                save()
                saved_at = seconds
        save()
