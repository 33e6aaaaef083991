"""Makes of a model of ours a larger one that computes the very same: its feed-forward layers get hidden units whose weights are 0.

Its answers, token by token, are those of the small model, but its weights come from memory instead of the processor's cache. So it shows
what a run of the town takes with a model of that size."""

import argparse
from pathlib import Path

import numpy as np

import gguf
from lexicon import TOWN


def padded(name: str, matrix: np.ndarray, hidden: int) -> np.ndarray:
    if name.endswith(("ffn_gate.weight", "ffn_up.weight")):
        wide = np.zeros((hidden, matrix.shape[1]), np.float32)
        wide[:len(matrix)] = matrix
    elif name.endswith("ffn_down.weight"):
        wide = np.zeros((len(matrix), hidden), np.float32)
        wide[:, :matrix.shape[1]] = matrix
    else:
        return matrix
    return wide


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=TOWN / "model.gguf")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--megabytes", type=float, default=300, help="about the size of the file")
    args = parser.parse_args()
    metadata, tensors = gguf.read(args.model)
    layers, dim = metadata["llama.block_count"], metadata["llama.embedding_length"]
    unit = layers * 3 * dim * (gguf.BLOCK + 2) / gguf.BLOCK  # bytes
    hidden = int(args.megabytes * 1e6 / unit) // 256 * 256
    assert hidden > metadata["llama.feed_forward_length"], "the model is as large as that"
    metadata["llama.feed_forward_length"] = hidden
    gguf.write(args.out, metadata, {name: padded(name, tensor, hidden) for name, tensor in tensors.items()})
    print(f"{args.out}: {hidden} hidden units, {args.out.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
