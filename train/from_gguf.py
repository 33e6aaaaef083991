"""Makes of a GGUF file that export.py wrote what train.py --resume goes on from: out/tokenizer.json and out/checkpoint.pt, with the
weights as they are in the file (Q8_0), no state of the optimizer, and the clock where --minutes says: the later, the more of the
curriculum's beginning is skipped."""

import argparse
from pathlib import Path

import numpy as np
import torch

from export import HERE, gguf_tensors
from gguf_model import GgufModel
from lexicon import TOWN
from model import Config, Model


def read_config(read: GgufModel) -> Config:
    return Config(vocab=len(read.tokenizer.tokens), layers=read.key("block_count"), dim=read.key("embedding_length"),
                  heads=read.key("attention.head_count"), kv_heads=read.key("attention.head_count_kv"),
                  head_dim=read.key("attention.key_length"), ffn=read.key("feed_forward_length"), context=read.key("context_length"))


def halves(matrix: np.ndarray, head_dim: int) -> np.ndarray:
    """Undoes export.adjacent_pairs."""
    heads = matrix.reshape(-1, head_dim // 2, 2, matrix.shape[1])
    return heads.swapaxes(1, 2).reshape(matrix.shape)


@torch.no_grad()
def read_model(read: GgufModel) -> Model:
    model = Model(read_config(read))
    model.embed.copy_(torch.tensor(read.tensors["token_embd.weight"]))
    model.norm.copy_(torch.tensor(read.tensors["output_norm.weight"]))
    for i, layer in enumerate(model.layers):
        part = {name: read.tensors[f"blk.{i}.{name}.weight"] for name in (
            "attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down")}
        for name in ("attn_q", "attn_k"):
            part[name] = halves(part[name], model.c.head_dim)
        layer.attn_norm.copy_(torch.tensor(part["attn_norm"]))
        layer.ffn_norm.copy_(torch.tensor(part["ffn_norm"]))
        layer.qkv.copy_(torch.tensor(np.concatenate([part["attn_q"], part["attn_k"], part["attn_v"]])))
        layer.out.copy_(torch.tensor(part["attn_output"]))
        layer.gate_up.copy_(torch.tensor(np.concatenate([part["ffn_gate"], part["ffn_up"]])))
        layer.down.copy_(torch.tensor(part["ffn_down"]))
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=TOWN / "model.gguf")
    parser.add_argument("--out", type=Path, default=HERE / "out")
    parser.add_argument("--minutes", type=float, default=0, help="what the clock says; train.py --minutes counts from there")
    args = parser.parse_args()
    read = GgufModel(args.model)
    model = read_model(read)
    for name, tensor in gguf_tensors(model).items():
        assert np.array_equal(tensor, read.tensors[name]), name
    args.out.mkdir(exist_ok=True)
    read.tokenizer.save(args.out / "tokenizer.json")
    torch.save(dict(model=model.state_dict(), optimizer=None, config=model.c.as_dict(), step=0, tokens=0, seconds=60 * args.minutes),
               args.out / "checkpoint.pt")


if __name__ == "__main__":
    main()
