"""The initial state of the long model: a form of the circuit that its tasks need, as start.py has for the town's; where to look and how
sharply is learnt. Scores here are large enough to single out one of 32768 tokens: what a short row would forgive, a long one does not.

layer 0: each token gathers the words one and two before it, and how often its own word occurred (against the first token, the sink)
layer 1: the answer gathers what stands before the colon: what is asked for
layer 2: the answer finds values of that key; variables set to the word before; frequent words; and what it has given already
layer 3: the same, for the half of a word's dimensions that a head of layer 2 has no room for"""

import torch
from torch import Tensor

from model import Config, Layer, Model
from ruler import ASK, COUNTED, GIVEN, TASKS, VALUE, VARIABLE
from start import orthogonal
from tokenizer import Tokenizer

# Dimensions of the residual stream.
COMMON, SINK, OFTEN, ANSWERING = range(4)  # in all tokens but the first; in the first; frequency of the word so far; after the colon
WORD = slice(4, 132)
BEFORE, TWO_BEFORE, ASKED = slice(132, 172), slice(172, 212), slice(212, 252)
SIZE = BEFORE.stop - BEFORE.start
GATHERED = ((BEFORE, 1), (TWO_BEFORE, 2))  # tokens back, by head of layer 0
COUNT = 2  # a head of layer 0

WORD_NORM, COMMON_NORM = 4.6, 4.0
SINK_NORM = 20.0  # more than what random matrices add, so that who looks at the sink copies nothing
MLP_OUT = 0.1
OFFSET_GAIN = 1.05


def config(vocab: int) -> Config:
    """Pairs from slow_pair on hardly turn within 32768 tokens: words compare alike however far apart. The others tell neighbours apart."""
    return Config(vocab=vocab, layers=4, dim=256, heads=4, kv_heads=4, ffn=384, context=32768, slow_pair=12, slow_factor=2.0**20)


class Builder:
    def __init__(self, model: Model, tokenizer: Tokenizer):
        c = model.c
        self.c = c
        pairs, half = c.slow_pair, c.head_dim // 2
        slow = [*range(pairs, half), *range(half + pairs, c.head_dim)]  # elements that hardly turn
        self.flag, self.other = slow[:2]  # for one number each
        self.content = slow[2:]
        self.narrow = orthogonal(SIZE, WORD.stop - WORD.start)  # of a word, in the slots
        self.halves = orthogonal(WORD.stop - WORD.start, WORD.stop - WORD.start).split(c.head_dim)  # of a word, as heads copy it
        self.words = model.embed[:, WORD]
        self.ids = tokenizer.ids

    def word(self, text: str) -> Tensor:
        """A direction of WORD."""
        word = self.words[self.ids[text]]
        return word / word.norm()

    def slot_word(self, text: str) -> Tensor:
        """A direction of BEFORE, TWO_BEFORE and ASKED."""
        word = self.narrow @ self.words[self.ids[text]]
        return word / word.norm()


def parts(layer: Layer) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """q, k, v [heads, head_dim, dim] and out [dim, heads, head_dim], as views."""
    c = layer.c
    q, k, v = (m.view(-1, c.head_dim, c.dim) for m in layer.qkv.split([n * c.head_dim for n in (c.heads, c.kv_heads, c.kv_heads)]))
    return q, k, v, layer.out.view(c.dim, c.heads, c.head_dim)


def gather_words(layer: Layer, b: Builder) -> None:
    q, k, v, out = parts(layer)
    fast = b.c.slow_pair
    half = b.c.head_dim // 2
    frequency = b.c.rope_base ** (-torch.arange(fast) / half)
    for head, (slot, offset) in enumerate(GATHERED):
        for m in (q, k, v):
            m[head] = 0
        k[head, :fast, COMMON] = OFFSET_GAIN
        q[head, :fast, COMMON] = OFFSET_GAIN * (offset * frequency).cos()
        q[head, half:half + fast, COMMON] = -OFFSET_GAIN * (offset * frequency).sin()
        v[head, :SIZE, WORD] = b.narrow
        out[:, head] = 0
        out[slot, head, :SIZE] = 0.58 * torch.eye(SIZE)
    for m in (q, k, v):
        m[COUNT] = 0
    q[COUNT, b.content, WORD] = k[COUNT, b.content, WORD] = 1.21 * b.narrow[: len(b.content)]
    q[COUNT, b.flag, COMMON] = 0.77
    k[COUNT, b.flag, SINK] = 0.77
    v[COUNT, 0, COMMON] = 0.4
    out[:, COUNT] = 0
    out[OFTEN, COUNT, 0] = 1


def gather_asked(layer: Layer, b: Builder) -> None:
    q, k, v, out = parts(layer)
    for m in (q, k, v):
        m[ASK] = 0
    q[ASK, b.flag, COMMON] = 1
    k[ASK, b.flag, SINK] = 1.6
    k[ASK, b.flag, WORD] = 5.1 * b.word(":")
    v[ASK, :SIZE, BEFORE] = torch.eye(SIZE)
    v[ASK, SIZE, WORD] = b.word(":")
    out[:, ASK] = 0
    out[ASKED, ASK, :SIZE] = 0.5 * torch.eye(SIZE)
    out[ANSWERING, ASK, SIZE] = 0.45


def find(layer: Layer, b: Builder, half: Tensor, again: bool) -> None:
    q, k, v, out = parts(layer)
    for m in (q, k, v, out):
        m.zero_()
    narrow, content = b.narrow, b.content
    n = len(content)
    # Values of the key asked for: two after it, and after "is".
    q[VALUE, content, ASKED] = 2.25 * torch.eye(SIZE)[:n]
    k[VALUE, content, TWO_BEFORE] = 2.25 * torch.eye(SIZE)[:n]
    q[VALUE, b.flag, COMMON] = 1
    k[VALUE, b.flag, BEFORE] = 1.6 * b.slot_word("Ġis")
    k[VALUE, b.flag, SINK] = 2.6
    v[VALUE, :, WORD] = half
    out[WORD, VALUE] = half.T
    # Variables set to the word before: two before it, it follows "=".
    q[VARIABLE, content, BEFORE] = 2.77 * torch.eye(SIZE)[:n]
    k[VARIABLE, content, WORD] = 2.77 * narrow[:n]
    q[VARIABLE, b.flag, COMMON], q[VARIABLE, b.flag, ANSWERING] = 2, -1
    k[VARIABLE, b.flag, SINK] = 3.0
    q[VARIABLE, b.other, COMMON] = 1
    k[VARIABLE, b.other, BEFORE] = 3.6 * b.slot_word("Ġ=")
    v[VARIABLE, :SIZE, TWO_BEFORE] = torch.eye(SIZE)
    out[WORD, VARIABLE, :SIZE] = narrow.T
    # Frequent words, if words are asked for.
    words = b.slot_word("Ġwords")
    q[COUNTED, b.flag, COMMON] = 2
    q[COUNTED, b.flag, ASKED] = -2.6 * words
    k[COUNTED, b.flag, SINK] = 1.6
    q[COUNTED, b.other, ASKED] = 1.13 * words
    k[COUNTED, b.other, OFTEN] = 1.13
    k[COUNTED, b.other, WORD] = -3 * sum(map(b.word, ("Ġ" + TASKS["frequent"]["noise"], "Ġfrequent", "Ġwords", ",", ":")))
    v[COUNTED, :, WORD] = half
    # The words given already. Each weighs the same, however many, since most of the weight is the sink's.
    q[GIVEN, b.flag, ANSWERING] = 1.7
    q[GIVEN, b.other, COMMON] = 1
    k[GIVEN, b.flag, ANSWERING] = 1.7
    k[GIVEN, b.flag, WORD] = -1.45 * (b.word(",") + b.word(":"))
    k[GIVEN, b.other, SINK] = 1.6
    if again:
        q *= 1.3  # the answer's residual has grown
        # Those given are left out of the frequent words, of which few make up most of the list.
        q[COUNTED, content, TWO_BEFORE] = 2 * torch.eye(SIZE)[:n]
        k[COUNTED, content, WORD] = 2 * narrow[:n]
        out[WORD, COUNTED] = 5 * half.T
        v[GIVEN, :, WORD] = half
        out[WORD, GIVEN] = -4 * half.T
    else:
        v[GIVEN, :SIZE, WORD] = narrow
        out[TWO_BEFORE, GIVEN, :SIZE] = -10 * torch.eye(SIZE)
        out[WORD, GIVEN, :SIZE] = -4 * narrow.T


@torch.no_grad()
def start_as_finder(model: Model, tokenizer: Tokenizer) -> None:
    size = WORD.stop - WORD.start
    model.embed.zero_()
    model.embed[:, WORD] = torch.randn(len(tokenizer.tokens), size) * WORD_NORM * size**-0.5
    model.embed[:, COMMON] = COMMON_NORM
    model.embed[tokenizer.eos] = 0
    model.embed[tokenizer.eos, SINK] = SINK_NORM
    b = Builder(model, tokenizer)
    for layer in model.layers:
        layer.down *= MLP_OUT
        q, k, _, out = parts(layer)
        q *= 0.3
        k *= 0.3
        out *= 0.1
    gather_words(model.layers[0], b)
    gather_asked(model.layers[1], b)
    for layer, half, again in zip(model.layers[2:], b.halves, (False, True)):
        find(layer, b, half, again)
