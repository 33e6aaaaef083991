"""The initial state. From random matrices the circuit that recall needs (gather who and what a memory is about, find the memory
that the question names, copy a word of it) forms late or never: what heads copy looks like noise until they look at the right
place, and is unlearnt before they do. So training starts with a form of it in which each kind of knowledge has dimensions of
its own and is copied faithfully; where to look is learnt (looks.py)."""

from collections import Counter
from random import Random

import torch

from generator import make_document
from looks import (ANSWER_LAYER, ASK_LAYER, COPY, COPY_LAYER, FIRST, LINE_LAYER, SECOND, TELLER, TELLER_BEFORE, VALUE_AFTER, VALUE_BEFORE)
from model import Layer, Model
from tokenizer import Tokenizer

SPACE = "\u0120"  # stands for the space in a byte-level token

# Dimensions of the residual stream.
COMMON, SPACED = 0, 1  # the same in all embeddings; in those of words with a space before them
WORD = slice(2, 96)
AROUND = slice(96, 160)  # the tokens before; at the end of a question: what it names
SLOTS = {FIRST: slice(160, 192), SECOND: slice(192, 224), TELLER: slice(224, 256)}  # of a memory's tokens: LINE_LAYER's finds

WORD_NORM = 4.6
COMMON_NORM = 4.0
SPACED_NORM = 1.5
RARE = 0.002  # share of the text up to which a token is a word worth finding
FAST_PAIRS = 12  # rotary pairs whose period is short enough to tell neighbours apart
OFFSETS = (1, 2, 4, 6, 3, 5, 7, 8)  # tokens back, by head
OFFSET_GAIN = 3.2
MLP_OUT = 0.1
AROUND_OUT, COPY_OUT = 0.25, 0.7


def word_scales(tokenizer: Tokenizer, seed: int) -> torch.Tensor:
    """[vocab]: frequent tokens (punctuation, articles) start small, so that sums of neighbours are about the words."""
    counts: Counter[int] = Counter()
    for i in range(60):
        for segment in make_document(Random(f"start/{seed}/{i}"), 512, 0.2):
            counts.update(tokenizer.encode(segment.text))
    share = torch.tensor([counts[i] / counts.total() for i in range(len(tokenizer.tokens))])
    return (RARE / share.clamp(min=RARE)).sqrt()


def start_embeddings(model: Model, tokenizer: Tokenizer, seed: int) -> None:
    """" park" and "park" start as the same word: memories hold the one, answers the other, and as strangers each would need a
    learnt translation before looking back could pay at all."""
    size = WORD.stop - WORD.start
    words = torch.randn(len(tokenizer.tokens), size) * WORD_NORM * size**-0.5
    scales = word_scales(tokenizer, seed)
    model.embed.zero_()
    for token, i in tokenizer.ids.items():
        bare = tokenizer.ids.get(token[1:]) if token.startswith(SPACE) else None
        if bare is not None:
            words[i] = words[bare]
            scales[i] = scales[bare] = torch.minimum(scales[i], scales[bare])
            model.embed[i, SPACED] = SPACED_NORM
    model.embed[:, WORD] = words * scales[:, None]
    model.embed[:, COMMON] = COMMON_NORM


def orthogonal(rows: int, columns: int) -> torch.Tensor:
    """Random, with orthogonal rows or columns of length 1, whichever are fewer."""
    return torch.nn.init.orthogonal_(torch.empty(rows, columns))


def look_back(q: torch.Tensor, k: torch.Tensor, frequency: torch.Tensor) -> None:
    """Heads that look a few tokens back, by position alone: cos((distance - offset) * frequency), summed over the fast
    pairs, peaks at the offset."""
    half = q.shape[1] // 2
    k[:, :FAST_PAIRS, COMMON] = OFFSET_GAIN
    for h, offset in enumerate(OFFSETS):
        angle = offset * frequency
        q[h, :FAST_PAIRS, COMMON] = OFFSET_GAIN * angle.cos()
        q[h, half:half + FAST_PAIRS, COMMON] = -OFFSET_GAIN * angle.sin()


def start_layer(layer: Layer, index: int, slot_of_word: dict[int, torch.Tensor]) -> None:
    c = layer.c
    q, k, v = (m.view(-1, c.head_dim, c.dim) for m in layer.qkv.split([n * c.head_dim for n in (c.heads, c.kv_heads, c.kv_heads)]))
    out = layer.out.view(c.dim, c.heads, c.head_dim)
    groups, half = c.heads // c.kv_heads, c.head_dim // 2
    layer.down *= MLP_OUT
    q *= 0.3
    k *= 0.3
    q[..., COMMON] = 0
    k[..., COMMON] = 0
    out.zero_()
    copy = orthogonal(c.head_dim, WORD.stop - WORD.start)
    if index == 0:
        look_back(q, k, c.rope_base ** (-torch.arange(FAST_PAIRS) / half))
        v.zero_()
        v[:, :, WORD] = copy
        for h in range(c.heads):
            out[AROUND, h] = AROUND_OUT * orthogonal(c.head_dim, c.head_dim)
    elif index == LINE_LAYER:
        for head, slot in SLOTS.items():
            v[head // groups].zero_()
            v[head // groups, :half, WORD] = slot_of_word[head]
            out[slot, head, :half] = COPY_OUT * torch.eye(half)
    elif index == ASK_LAYER:
        for head in (FIRST, SECOND):
            v[head // groups].zero_()
            v[head // groups, :, WORD] = copy
            out[AROUND, head] = COPY_OUT * orthogonal(c.head_dim, c.head_dim)
    elif index == ANSWER_LAYER:
        v[VALUE_AFTER // groups].zero_()
        v[VALUE_AFTER // groups, :, WORD] = copy
        out[WORD, VALUE_AFTER] = 2 * COPY_OUT * copy.T
        for head, slot in ((VALUE_BEFORE, FIRST), (TELLER_BEFORE, TELLER)):
            v[head // groups].zero_()
            v[head // groups, :half, SLOTS[slot]] = torch.eye(half)
            out[WORD, head, :half] = 4 * COPY_OUT * slot_of_word[slot].T
    elif index == COPY_LAYER:
        v[COPY // groups].zero_()
        v[COPY // groups, :, WORD] = copy
        out[WORD, COPY] = 2 * COPY_OUT * copy.T


@torch.no_grad()
def start_as_memory(model: Model, tokenizer: Tokenizer, seed: int) -> None:
    start_embeddings(model, tokenizer, seed)
    slot_of_word = {head: orthogonal(slot.stop - slot.start, WORD.stop - WORD.start) for head, slot in SLOTS.items()}
    for i, layer in enumerate(model.layers):
        start_layer(layer, i, slot_of_word)
