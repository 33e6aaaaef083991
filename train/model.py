"""The language model: a llama (RMSNorm, rotary positions, grouped-query attention, SwiGLU), tied embeddings."""

from dataclasses import asdict, dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

QUERY_BLOCK = 256


@dataclass
class Config:
    vocab: int
    layers: int = 5
    dim: int = 256
    heads: int = 8
    kv_heads: int = 4
    head_dim: int = 64
    ffn: int = 640
    context: int = 1024
    rope_base: float = 10000.0
    # Rotary pairs from here on turn this many times slower, so that words compare alike the whole context apart, while
    # the faster pairs tell neighbours apart (the mechanism of Llama 3.1: tensor rope_freqs).
    slow_pair: int = 16
    slow_factor: float = 64.0
    eps: float = 1e-5

    def as_dict(self) -> dict:
        return asdict(self)

    def rope_factors(self) -> Tensor:
        """[head_dim / 2]: what the frequencies are divided by."""
        return torch.where(torch.arange(self.head_dim // 2) < self.slow_pair, 1.0, self.slow_factor)


class Layer(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.c = c
        self.attn_norm = nn.Parameter(torch.ones(c.dim))
        self.ffn_norm = nn.Parameter(torch.ones(c.dim))
        # Rows: queries, keys, values; one product is faster than three.
        self.qkv = nn.Parameter(torch.empty((c.heads + 2 * c.kv_heads) * c.head_dim, c.dim))
        self.out = nn.Parameter(torch.empty(c.dim, c.heads * c.head_dim))
        self.gate_up = nn.Parameter(torch.empty(2 * c.ffn, c.dim))
        self.down = nn.Parameter(torch.empty(c.dim, c.ffn))


@dataclass
class Looks:
    """Where some heads of one layer should look (looks.py)."""

    rows: Tensor  # [N, 3]: row of the batch, head, token; ascending tokens
    at: Tensor  # [N, T]: above 0 where they should
    even: Tensor  # [N] bool: the attention should be shared as `at` is; else all of it may fall on one place

    def cost(self, scores: Tensor, start: int) -> Tensor:
        """-log of the attention that falls where it should, or how far its shares are off (KL); scores [B, heads, tokens, T up to these],
        tokens from start."""
        block = torch.tensor([start, start + scores.shape[2]], device=self.rows.device)
        begin, end = torch.searchsorted(self.rows[:, 2].contiguous(), block).tolist()
        row, head, token = self.rows[begin:end].unbind(1)
        picked = scores[row, head, token - start].float()
        at = self.at[begin:end, : scores.shape[3]]
        whole = picked.logsumexp(-1)
        falls = whole - picked.masked_fill(at == 0, float("-inf")).logsumexp(-1)
        if not self.even.any():
            return falls
        shares = at / at.sum(-1, keepdim=True)
        off = (shares * (shares.clamp(min=1e-30).log() - picked.masked_fill(at == 0, 0.0))).sum(-1) + whole
        return torch.where(self.even[begin:end], off, falls)


@dataclass
class Frame:
    """Where the tokens of each row stand and what they may see, if not simply one after the other."""

    positions: Tensor  # [B, T]
    bias: Tensor  # [B, T, T], added to the scores: minus infinity hides a key, log n makes one count as n


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight


class Model(nn.Module):
    def __init__(self, c: Config, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.c = c
        self.dtype = dtype  # of matrix products; sums, norms and master weights stay f32
        self.embed = nn.Parameter(torch.empty(c.vocab, c.dim))
        self.layers = nn.ModuleList(Layer(c) for _ in range(c.layers))
        # Small at first: the embeddings, which are the output matrix too, are large to hold their own against the layers.
        self.norm = nn.Parameter(torch.full((c.dim,), 0.25))
        for name, p in self.named_parameters():
            if p.dim() == 2:
                scale = (2 * c.layers) ** -0.5 if name.endswith(("out", "down")) else 1.0
                nn.init.normal_(p, std=0.3 if p is self.embed else scale * p.shape[1] ** -0.5)
        # [context, head_dim / 2]
        frequency = c.rope_base ** (-torch.arange(0, c.head_dim, 2).float() / c.head_dim) / c.rope_factors()
        angle = torch.outer(torch.arange(c.context).float(), frequency)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

    def rotate(self, x: Tensor, frame: Frame | None) -> Tensor:
        """x [B, T, heads, head_dim]. Pairs are (i, i + head_dim/2) here, because slices are cheaper than strides;
        the export reorders the rows of q and k to the adjacent pairs of the llama format."""
        at = slice(x.shape[1]) if frame is None else frame.positions
        cos, sin = (t[at].unsqueeze(-2).to(x.dtype) for t in (self.cos, self.sin))
        a, b = x.chunk(2, -1)
        return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)

    def attend(self, x: Tensor, layer: Layer, looks: Looks | None, frame: Frame | None) -> tuple[Tensor, Tensor | None]:
        """The second is what looks cost, if there are any for this layer."""
        c, (batch, length, _) = self.c, x.shape
        groups = c.heads // c.kv_heads
        qkv = F.linear(x, layer.qkv.to(self.dtype)).view(batch, length, -1, c.head_dim)
        qk, v = qkv.split((c.heads + c.kv_heads, c.kv_heads), 2)
        qk = self.rotate(qk, frame)
        q, k = qk.split((c.heads, c.kv_heads), 2)
        # [B * kv_heads, groups, T, head_dim]: queries of one group share their keys without a copy.
        q = q.view(batch, length, c.kv_heads, groups, c.head_dim).permute(0, 2, 3, 1, 4)
        q = (q * c.head_dim**-0.5).reshape(batch * c.kv_heads, groups, length, c.head_dim)
        k = k.permute(0, 2, 3, 1).reshape(batch * c.kv_heads, c.head_dim, length)
        v = v.permute(0, 2, 1, 3).reshape(batch * c.kv_heads, length, c.head_dim)
        # Blocks of queries skip the keys that lie wholly in their future.
        blocks, costs = [], []
        for start in range(0, length, QUERY_BLOCK):
            stop = min(start + QUERY_BLOCK, length)
            rows = q[:, :, start:stop].reshape(batch * c.kv_heads, -1, c.head_dim)
            scores = torch.bmm(rows, k[:, :, :stop]).view(batch, -1, stop - start, stop)
            if frame is None:
                bias = torch.full((stop - start, stop), float("-inf"), device=x.device).triu(1 + start)
            else:
                bias = frame.bias[:, None, start:stop, :stop]
            scores = scores + bias.to(self.dtype)
            if looks is not None:
                costs.append(looks.cost(scores, start))
            weights = scores.softmax(-1)
            block = torch.bmm(weights.view(*rows.shape[:2], stop), v[:, :stop])
            blocks.append(block.view(batch, c.kv_heads, groups, stop - start, c.head_dim))
        mixed = torch.cat(blocks, 3)
        mixed = mixed.permute(0, 3, 1, 2, 4).reshape(batch, length, -1)
        return F.linear(mixed, layer.out.to(self.dtype)), torch.cat(costs) if costs else None

    def hidden(self, tokens: Tensor, looks: dict[int, Looks] | None = None,
               frame: Frame | None = None) -> tuple[Tensor, dict[int, Tensor]]:
        """tokens [B, T] -> [B, T, dim], normed, ready for the output product; and the costs of the looks of each layer."""
        c = self.c
        x = F.embedding(tokens, self.embed)
        costs = {}
        for i, layer in enumerate(self.layers):
            mixed, cost = self.attend(rms_norm(x, layer.attn_norm, c.eps).to(self.dtype), layer, (looks or {}).get(i), frame)
            if cost is not None:
                costs[i] = cost
            x = x + mixed.float()
            h = rms_norm(x, layer.ffn_norm, c.eps).to(self.dtype)
            gate, up = F.linear(h, layer.gate_up.to(self.dtype)).chunk(2, -1)
            x = x + F.linear(F.silu(gate) * up, layer.down.to(self.dtype)).float()
        return rms_norm(x, self.norm, c.eps), costs

    def logits(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden.to(self.dtype), self.embed.to(self.dtype)).float()
