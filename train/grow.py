"""Doubles the attention heads of a trained model with little change to what it computes. The old heads keep the circuits they
have learnt, but look less sharply: all their weight on one token each, they no longer learnt from what they missed. The
new ones of the first layer look at distances that the old ones leave out, those of later layers look for likeness as at
the start. Eight heads from the start do not find the circuit that four find at once."""

from dataclasses import replace

import torch
import torch.nn.functional as F

from model import Layer, Model
from start import FAST_PAIRS, LIKENESS_GAIN, NEAR_GAIN, SLOW_PAIR

NEW_OFFSETS = (3, 5, 7, 8)  # start.OFFSETS has the others
OFFSET_GAIN = 0.55
NEW_OUT = 0.1  # of the first layer's new heads, relative to the old ones
NOISE = 0.3
COPY_OUT = 0.1  # of later layers' new heads
SHARPNESS = 0.3  # of later layers' old heads, relative to what it was


def look_back(q: torch.Tensor, k: torch.Tensor, common: torch.Tensor, frequency: torch.Tensor) -> None:
    """q [heads, head_dim, dim], k [kv_heads, ...]: attention by position alone, at NEW_OFFSETS (see start.start_layer)."""
    half = q.shape[1] // 2
    for m in (q, k):
        m -= (m @ common)[..., None] * common
        m *= 0.3
    k[:, :FAST_PAIRS] += OFFSET_GAIN * common
    for h, offset in enumerate(NEW_OFFSETS):
        angle = offset * frequency[:FAST_PAIRS]
        q[h, :FAST_PAIRS] += OFFSET_GAIN * torch.outer(angle.cos(), common)
        q[h, half:half + FAST_PAIRS] -= OFFSET_GAIN * torch.outer(angle.sin(), common)


def look_for_likeness(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, common: torch.Tensor) -> None:
    """As start.start_layer has it, from matrices of random numbers."""
    half, groups = q.shape[1] // 2, len(q) // len(k)
    for m in (q, k, v):
        m.normal_(std=q.shape[2] ** -0.5)
        m -= (m @ common)[..., None] * common
    q *= 0.3
    k *= 0.3
    k[:, :FAST_PAIRS] += NEAR_GAIN * common
    q[:, :FAST_PAIRS] -= NEAR_GAIN * common
    for slow in (slice(SLOW_PAIR, half), slice(half + SLOW_PAIR, None)):
        k[:, slow] = v[:, slow] * LIKENESS_GAIN
        q[:, slow] = k[:, slow].repeat_interleave(groups, 0)


def grow_layer(old: Layer, new: Layer, common: torch.Tensor, first: bool) -> None:
    """common: the direction that all inputs share."""
    c = old.c
    parts = list(old.qkv.view(-1, c.head_dim, c.dim).split((c.heads, c.kv_heads, c.kv_heads)))
    added = [p + NOISE * p.std() * torch.randn_like(p) for p in parts]
    out = old.out.view(c.dim, c.heads, c.head_dim)
    if not first:
        look_for_likeness(*added, common)
        parts[0] = SHARPNESS * parts[0]
        added_out = COPY_OUT * added[2].repeat_interleave(c.heads // c.kv_heads, 0).permute(2, 0, 1)
    else:
        frequency = c.rope_base ** (-torch.arange(c.head_dim // 2) / (c.head_dim / 2))
        look_back(added[0], added[1], common, frequency)
        # What a new head gathers looks as if an old one had gathered it, so that later layers know it.
        added[2] = parts[2].clone()
        added_out = NEW_OUT * out
    new.qkv.copy_(torch.cat([torch.cat(pair) for pair in zip(parts, added)]).view(-1, c.dim))
    new.out.copy_(torch.cat((out, added_out), 1).view(c.dim, -1))
    for name in ("attn_norm", "ffn_norm", "gate_up", "down"):
        getattr(new, name).copy_(getattr(old, name))


@torch.no_grad()
def grow(old: Model, seed: int) -> Model:
    torch.manual_seed(seed)
    new = Model(replace(old.c, heads=2 * old.c.heads, kv_heads=2 * old.c.kv_heads), old.dtype)
    new.embed.copy_(old.embed)
    new.norm.copy_(old.norm)
    common = F.normalize(old.embed.mean(0) * old.layers[0].attn_norm, dim=0)
    for i, (a, b) in enumerate(zip(old.layers, new.layers)):
        grow_layer(a, b, common, first=i == 0)
    return new
