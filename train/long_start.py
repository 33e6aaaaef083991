"""The initial state of the long model: a form of the circuit that its tasks need, as start.py has for the town's; where to look and how
sharply is learnt. Scores here are large enough to single out one of 32768 tokens: what a short row would forgive, a long one does not.

layer 0: each token gathers the words one and two before it, and how often its own word occurred (against the first token, the sink)
layer 1: the answer gathers what stands before the colon: what is asked for
layer 2: the answer finds what it has given already; and, as layer 3: values of that key; variables set to the word before; frequent words
layer 3: the same, but for what has been given"""

import torch
import torch.nn.functional as F
from torch import Tensor

from model import Config, Layer, Model
from ruler import ASK, COUNTED, GIVEN, TASKS, VALUE, VARIABLE
from start import orthogonal
from tokenizer import Tokenizer

# Dimensions of the residual stream.
COMMON, SINK, OFTEN, ANSWERING = range(4)  # in all tokens but the first; in the first; frequency of the word so far; after the colon
WORD = slice(4, 108)
BEFORE, TWO_BEFORE, ASKED, GIVEN_WORDS = (slice(at, at + 36) for at in range(108, 252, 36))
SIZE = BEFORE.stop - BEFORE.start
# Tokens that mark places have a dimension of WORD each, to themselves; words share the others.
MARKS = ("Ġis", "Ġ=", "Ġwords", "Ġfrequent", "Ġ" + TASKS["frequent"]["noise"], ",", ":", ".")
GATHERED = ((BEFORE, 1), (TWO_BEFORE, 2))  # tokens back, by head of layer 0
COUNT = 2  # a head of layer 0

WORD_NORM, COMMON_NORM = 4.6, 4.0
SINK_NORM = 20.0  # more than what random matrices add, so that who looks at the sink copies nothing
MLP_OUT = 0.1
OFFSET_GAIN = 1.05


def config(vocab: int) -> Config:
    """Pairs from slow_pair on hardly turn within 32768 tokens: words compare alike however far apart. The others tell neighbours apart."""
    return Config(vocab=vocab, layers=4, dim=256, heads=4, kv_heads=4, ffn=384, context=32768, slow_pair=8, slow_factor=2.0**20)


class Builder:
    def __init__(self, model: Model, tokenizer: Tokenizer):
        c = model.c
        self.c = c
        pairs, half = c.slow_pair, c.head_dim // 2
        slow = [*range(pairs, half), *range(half + pairs, c.head_dim)]  # elements that hardly turn
        self.flag, self.other = slow[:2]  # for one number each
        self.content = slow[2:2 + SIZE]
        self.rest = slow[2 + SIZE:]
        num_words = WORD.stop - WORD.start
        self.narrow = torch.block_diag(0.55 * torch.eye(len(MARKS)), orthogonal(SIZE - len(MARKS), num_words - len(MARKS)))  # of a word, in the slots
        self.copied = orthogonal(c.head_dim, num_words)  # of a word, as heads copy it
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
    q[COUNT, b.content, WORD] = k[COUNT, b.content, WORD] = 1.25 * b.narrow
    q[COUNT, b.flag, COMMON] = 0.73
    k[COUNT, b.flag, SINK] = 0.73
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


def find(layer: Layer, b: Builder, again: bool) -> None:
    q, k, v, out = parts(layer)
    for m in (q, k, v, out):
        m.zero_()
    narrow, content, copied = b.narrow, b.content, b.copied
    same = torch.diag((torch.arange(SIZE) >= len(MARKS)).float())  # compares words
    # Values of the key asked for: two after it, and after "is".
    q[VALUE, content, ASKED] = 2.25 * same
    k[VALUE, content, TWO_BEFORE] = 2.25 * same
    q[VALUE, b.flag, COMMON] = 1
    k[VALUE, b.flag, BEFORE] = 1.6 * b.slot_word("Ġis")
    k[VALUE, b.flag, SINK] = 2.1
    v[VALUE, :, WORD] = copied
    out[WORD, VALUE] = (1.5 if again else 0.3) * copied.T
    # Variables set to the word before: two before it, it follows "=".
    q[VARIABLE, content, BEFORE] = 2.77 * same
    k[VARIABLE, content, WORD] = 2.77 * narrow
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
    q[COUNTED, b.other, ASKED] = 1.6 * words
    k[COUNTED, b.other, OFTEN] = 1.6
    k[COUNTED, b.other, WORD] = -3 * sum(map(b.word, MARKS))
    v[COUNTED, :, WORD] = copied
    out[WORD, COUNTED] = (5 if again else 0.3) * copied.T
    # The words given already. Each weighs the same, however many, since most of the weight is the sink's.
    q[GIVEN, b.flag, ANSWERING] = 1.8
    q[GIVEN, b.other, COMMON] = 1
    k[GIVEN, b.flag, ANSWERING] = 1.8
    k[GIVEN, b.flag, WORD] = -1.45 * (b.word(",") + b.word(":"))
    k[GIVEN, b.other, SINK] = 1.6
    if again:
        q *= 1.3  # the answer's residual has grown
        # Those given are left out. Of values, words are compared in fewer dimensions, since their keys are compared, too.
        q[COUNTED, content, GIVEN_WORDS] = 2 * same
        k[COUNTED, content, WORD] = 2 * narrow
        few = orthogonal(len(b.rest), SIZE - len(MARKS)) * (SIZE / len(b.rest)) ** 0.5
        q[VALUE, b.rest, GIVEN_WORDS] = 2 * few @ same[len(MARKS):]
        k[VALUE, b.rest, WORD] = 2 * few @ narrow[len(MARKS):]
        v[GIVEN, :, WORD] = copied
        out[WORD, GIVEN] = -4 * copied.T
    else:
        v[GIVEN, :SIZE, WORD] = narrow
        out[GIVEN_WORDS, GIVEN, :SIZE] = -10 * torch.eye(SIZE)
        out[WORD, GIVEN, :SIZE] = -4 * narrow.T


@torch.no_grad()
def start_as_finder(model: Model, tokenizer: Tokenizer) -> None:
    model.embed.zero_()
    words = torch.randn(len(tokenizer.tokens), WORD.stop - WORD.start)
    words[:, : len(MARKS)] = 0
    for i, mark in enumerate(MARKS):
        words[tokenizer.ids[mark]] = F.one_hot(torch.tensor(i), words.shape[1]).float()
    # All of one length, so that places of one key weigh alike.
    model.embed[:, WORD] = WORD_NORM * F.normalize(words)
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
    find(model.layers[2], b, again=False)
    find(model.layers[3], b, again=True)
