"""The initial state. Random matrices take very long to find the circuit that recall needs (gather a value's
surroundings, find the surroundings that share a word with the question, copy the value), so training starts from a
rough form of it and only has to sharpen it."""

from collections import Counter
from random import Random

import torch
import torch.nn.functional as F

from generator import make_document
from model import Layer, Model
from tokenizer import Tokenizer

SPACE = "\u0120"  # stands for the space in a byte-level token

WORD_STD = 0.3
COMMON_NORM = 4.0  # of the part that all embeddings share, on which attention by position alone rests
RARE = 0.002  # share of the text up to which a token is a word worth finding
FAST_PAIRS = 12  # rotary pairs whose period is short enough to tell neighbours apart
SLOW_PAIR = 16  # from here on the rotation is slow enough to compare words far apart
OFFSETS = (1, 2, 4, 6)  # tokens back, by head
OFFSET_GAIN = 0.2
NEAR_GAIN = 0.2
LIKENESS_GAIN = 1.5
LOCAL_OUT, COPY_OUT = 0.5, 0.5


def word_scales(tokenizer: Tokenizer, seed: int) -> torch.Tensor:
    """[vocab]: frequent tokens (punctuation, articles) start small, so that sums of neighbours are about the words."""
    counts: Counter[int] = Counter()
    for i in range(60):
        for text, _ in make_document(Random(f"start/{seed}/{i}"), 512, 0.2):
            counts.update(tokenizer.encode(text))
    share = torch.tensor([counts[i] / counts.total() for i in range(len(tokenizer.tokens))])
    return (RARE / share.clamp(min=RARE)).sqrt()


def start_embeddings(model: Model, tokenizer: Tokenizer, seed: int) -> torch.Tensor:
    """Sets the embeddings; returns the direction [dim] that they share.

    " park" and "park" start close together: memories hold the one, answers the other, and as strangers each word would
    need a learnt translation before looking back could pay at all."""
    words = WORD_STD * torch.randn_like(model.embed)
    scales = word_scales(tokenizer, seed)
    for token, i in tokenizer.ids.items():
        bare = tokenizer.ids.get(token[1:]) if token.startswith(SPACE) else None
        if bare is not None:
            words[i] = 0.95 * words[bare] + 0.3 * words[i]
            scales[i] = scales[bare] = torch.minimum(scales[i], scales[bare])
    common = F.normalize(torch.randn(model.c.dim), dim=0)
    words -= torch.outer(words @ common, common)
    model.embed.copy_(words * scales[:, None] + COMMON_NORM * common)
    return common


def start_layer(layer: Layer, common: torch.Tensor, first: bool) -> None:
    """The first layer's heads look a few tokens back, by position alone. In the others queries resemble keys in the
    slow pairs, so that like finds like, and the fast pairs push away what is near, which is always alike. Everywhere
    the output is the transpose of the values, so that what is found is copied."""
    c = layer.c
    q, k, v = (m.view(-1, c.head_dim, c.dim) for m in layer.qkv.split([n * c.head_dim for n in (c.heads, c.kv_heads, c.kv_heads)]))
    out = layer.out.view(c.dim, c.heads, c.head_dim)
    groups, half = c.heads // c.kv_heads, c.head_dim // 2
    frequency = c.rope_base ** (-torch.arange(FAST_PAIRS) / half)
    for m in (q, k, v):
        m -= (m @ common)[..., None] * common
    q *= 0.3
    k *= 0.3
    k[:, :FAST_PAIRS] += (OFFSET_GAIN if first else NEAR_GAIN) * common
    for h in range(c.heads):
        if first:
            # cos((distance - offset) * frequency), summed over the fast pairs, peaks at the offset.
            angle = OFFSETS[h % len(OFFSETS)] * frequency
            q[h, :FAST_PAIRS] += OFFSET_GAIN * torch.outer(angle.cos(), common)
            q[h, half:half + FAST_PAIRS] -= OFFSET_GAIN * torch.outer(angle.sin(), common)
        else:
            q[h, :FAST_PAIRS] -= NEAR_GAIN * common
            for slow in (slice(SLOW_PAIR, half), slice(half + SLOW_PAIR, None)):
                shared = v[h // groups, slow] * LIKENESS_GAIN
                q[h, slow] = shared
                k[h // groups, slow] = shared
        out[:, h] = (LOCAL_OUT if first else COPY_OUT) * v[h // groups].T


@torch.no_grad()
def start_as_memory(model: Model, tokenizer: Tokenizer, seed: int) -> None:
    common = start_embeddings(model, tokenizer, seed)
    for i, layer in enumerate(model.layers):
        start_layer(layer, common, first=i == 0)
