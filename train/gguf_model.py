"""The model as it stands in a GGUF file, run in numpy: a second, independent forward pass, to check the export with
and to measure what is shipped instead of what was trained."""

from pathlib import Path

import numpy as np

import gguf
from tokenizer import Tokenizer


def rms_norm(x: np.ndarray, weight: np.ndarray, eps: float) -> np.ndarray:
    return x / np.sqrt(np.mean(x * x, -1, keepdims=True) + eps) * weight


class GgufModel:
    def __init__(self, path: Path):
        self.meta, self.tensors = gguf.read(path)
        merges = [tuple(m.split(" ")) for m in self.meta["tokenizer.ggml.merges"]]
        self.tokenizer = Tokenizer(self.meta["tokenizer.ggml.tokens"], merges)

    def key(self, name: str):
        return self.meta[f"llama.{name}"]

    def encode(self, prompt: str) -> list[int]:
        begin = [self.meta["tokenizer.ggml.bos_token_id"]] if self.meta["tokenizer.ggml.add_bos_token"] else []
        return begin + self.tokenizer.encode(prompt)

    def rotate(self, x: np.ndarray) -> np.ndarray:
        """x [T, heads, head_dim], rotary on the adjacent pairs (2i, 2i + 1)."""
        size = self.key("rope.dimension_count")
        frequency = self.key("rope.freq_base") ** (-np.arange(0, size, 2) / size) / self.tensors["rope_freqs.weight"]
        angle = np.outer(np.arange(len(x)), frequency)
        cos, sin = np.cos(angle).astype(np.float32)[:, None], np.sin(angle).astype(np.float32)[:, None]
        even, odd = x[..., 0::2], x[..., 1::2]
        return np.stack((even * cos - odd * sin, odd * cos + even * sin), -1).reshape(x.shape)

    def attend(self, x: np.ndarray, prefix: str) -> np.ndarray:
        heads, kv_heads = self.key("attention.head_count"), self.key("attention.head_count_kv")
        weight = lambda name: self.tensors[f"{prefix}{name}.weight"]
        q, k, v = (x @ weight(f"attn_{n}").T for n in "qkv")
        size = q.shape[1] // heads
        q, k = self.rotate(q.reshape(len(x), heads, size)), self.rotate(k.reshape(len(x), kv_heads, size))
        v = v.reshape(len(x), kv_heads, size)
        mask = np.triu(np.full((len(x), len(x)), -np.inf, np.float32), 1)
        mixed = np.empty_like(q)
        for h in range(heads):
            group = h * kv_heads // heads
            scores = q[:, h] @ k[:, group].T * np.float32(size**-0.5) + mask
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            mixed[:, h] = scores / scores.sum(-1, keepdims=True) @ v[:, group]
        return mixed.reshape(len(x), -1) @ weight("attn_output").T

    def logits(self, ids: list[int], last_only: bool = True) -> np.ndarray:
        """[vocab] after the last token, or [T, vocab]."""
        eps = self.key("attention.layer_norm_rms_epsilon")
        x = self.tensors["token_embd.weight"][ids]
        for i in range(self.key("block_count")):
            prefix = f"blk.{i}."
            x = x + self.attend(rms_norm(x, self.tensors[f"{prefix}attn_norm.weight"], eps), prefix)
            h = rms_norm(x, self.tensors[f"{prefix}ffn_norm.weight"], eps)
            gate = h @ self.tensors[f"{prefix}ffn_gate.weight"].T
            h = gate / (1 + np.exp(-gate)) * (h @ self.tensors[f"{prefix}ffn_up.weight"].T)
            x = x + h @ self.tensors[f"{prefix}ffn_down.weight"].T
        x = rms_norm(x[-1:] if last_only else x, self.tensors["output_norm.weight"], eps)
        out = x @ self.tensors["token_embd.weight"].T
        return out[0] if last_only else out
