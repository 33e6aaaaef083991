"""Makes of a model of ours one of Qwen2's architecture whose key projections have a large bias, and which computes nearly the same.

Heads get twice the elements. The new pairs turn as fast as the old ones between them; keys have a bias of --length in two of them, and
queries a part that is so small that the bias moves scores by at most about --score: the same cosine of the distance for all texts. So a
cache that keeps keys as they are must span the bias, while answers hardly change."""

import argparse
from pathlib import Path

import numpy as np

import gguf
from lexicon import TOWN

OLD, NEW = "llama.", "qwen2."


def widened(matrix: np.ndarray, head_dim: int, pairs: bool) -> np.ndarray:
    """Rows of each head, twice as many. Queries and keys, in pairs of neighbours, become pairs of halves, the old ones at even indices."""
    heads = matrix.reshape(-1, head_dim, matrix.shape[1])
    wide = np.zeros((len(heads), 2 * head_dim, matrix.shape[1]), np.float32)
    if pairs:
        wide[:, 0:head_dim:2] = heads[:, 0::2]
        wide[:, head_dim::2] = heads[:, 1::2]
    else:
        wide[:, :head_dim] = heads
    return wide.reshape(-1, matrix.shape[1])


def wide_output(matrix: np.ndarray, head_dim: int) -> np.ndarray:
    heads = matrix.reshape(len(matrix), -1, head_dim)
    wide = np.zeros((len(matrix), heads.shape[1], 2 * head_dim), np.float32)
    wide[:, :, :head_dim] = heads
    return wide.reshape(len(matrix), -1)


def biases(heads: int, kv_heads: int, head_dim: int, pairs: list[int], length: float, score: float) -> dict[str, np.ndarray]:
    """head_dim: of the wide heads. Each head's bias points elsewhere; the query's at distance 0 points with it."""
    q, k = np.zeros((heads, head_dim), np.float32), np.zeros((kv_heads, head_dim), np.float32)
    for pair in pairs:
        for head in range(kv_heads):
            direction = np.array([np.cos(1 + pair + 2 * head), np.sin(1 + pair + 2 * head)])
            k[head, [pair, pair + head_dim // 2]] = length * direction
            share = score / len(pairs) * np.sqrt(head_dim) / length
            for of_group in range(head * heads // kv_heads, (head + 1) * heads // kv_heads):
                q[of_group, [pair, pair + head_dim // 2]] = share * direction
    return dict(attn_q=q.reshape(-1), attn_k=k.reshape(-1), attn_v=np.zeros(kv_heads * head_dim, np.float32))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=TOWN / "model.gguf")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--length", type=float, default=300.0, help="of the bias in each of its pairs")
    parser.add_argument("--pairs", type=int, nargs="+", default=[5, 41], help="odd: the new ones; small: fast")
    parser.add_argument("--score", type=float, default=0.5, help="most that the bias adds to a score, in nats")
    args = parser.parse_args()
    metadata, tensors = gguf.read(args.model)
    head_dim = metadata[OLD + "attention.key_length"]
    assert all(pair % 2 == 1 and pair < head_dim for pair in args.pairs), f"--pairs must be odd and below {head_dim}"
    heads, kv_heads = metadata[OLD + "attention.head_count"], metadata[OLD + "attention.head_count_kv"]
    metadata = {NEW + key[len(OLD):] if key.startswith(OLD) else key: value for key, value in metadata.items()}
    metadata |= {"general.architecture": "qwen2", "general.name": f"throng-town, key bias {args.length:g}",
                 NEW + "attention.key_length": 2 * head_dim, NEW + "attention.value_length": 2 * head_dim,
                 NEW + "rope.dimension_count": 2 * head_dim}
    wide = {}
    for name, tensor in tensors.items():
        part = name.split(".")[-2]
        if part == "attn_q":
            # Scores are divided by the root of twice the size.
            tensor = np.sqrt(2) * widened(tensor, head_dim, pairs=True)
        elif part in ("attn_k", "attn_v"):
            tensor = widened(tensor, head_dim, pairs=part == "attn_k")
        elif part == "attn_output":
            tensor = wide_output(tensor, head_dim)
        elif part == "rope_freqs":
            tensor = np.repeat(tensor, 2)
        wide[name] = np.ascontiguousarray(tensor, np.float32)
        if part == "attn_norm":
            layer = biases(heads, kv_heads, 2 * head_dim, args.pairs, args.length, args.score)
            wide |= {f"{name.rsplit('.', 2)[0]}.{which}.bias": bias for which, bias in layer.items()}
    gguf.write(args.out, metadata, wide)


if __name__ == "__main__":
    main()
