"""Writes a checkpoint as GGUF (matrices Q8_0, norms F32), reads it back and compares with the trained model."""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

import gguf
from gguf_model import GgufModel
from lexicon import TOWN
from model import Config, Model
from tokenizer import Tokenizer

HERE = Path(__file__).resolve().parent
FILE_TYPES = {gguf.F16: 1, gguf.Q8_0: 7}
NORMAL, CONTROL = 1, 3  # token types


def adjacent_pairs(matrix: np.ndarray, head_dim: int) -> np.ndarray:
    """Rows of each head from (i, i + head_dim/2) to (2i, 2i + 1), where the llama format rotates."""
    heads = matrix.reshape(-1, 2, head_dim // 2, matrix.shape[1])
    return heads.swapaxes(1, 2).reshape(matrix.shape)


def gguf_metadata(name: str, c: Config, tokenizer: Tokenizer, matrices: int, add_bos: bool) -> dict[str, object]:
    """add_bos: prompts begin with the end of a text."""
    return {
        "general.architecture": "llama",
        "general.name": name,
        "general.alignment": gguf.ALIGNMENT,
        "general.file_type": FILE_TYPES[matrices],
        "general.quantization_version": 2,
        "llama.block_count": c.layers,
        "llama.context_length": c.context,
        "llama.embedding_length": c.dim,
        "llama.feed_forward_length": c.ffn,
        "llama.attention.head_count": c.heads,
        "llama.attention.head_count_kv": c.kv_heads,
        "llama.attention.key_length": c.head_dim,
        "llama.attention.value_length": c.head_dim,
        "llama.attention.layer_norm_rms_epsilon": c.eps,
        "llama.rope.freq_base": c.rope_base,
        "llama.rope.dimension_count": c.head_dim,
        "llama.vocab_size": c.vocab,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokenizer.tokens,
        "tokenizer.ggml.token_type": [CONTROL if i == tokenizer.eos else NORMAL for i in range(c.vocab)],
        "tokenizer.ggml.merges": [" ".join(m) for m in tokenizer.merges],
        "tokenizer.ggml.eos_token_id": tokenizer.eos,
        "tokenizer.ggml.add_bos_token": add_bos,
    } | ({"tokenizer.ggml.bos_token_id": tokenizer.eos} if add_bos else {})


def gguf_tensors(model: Model) -> dict[str, np.ndarray]:
    c = model.c
    tensors = {"token_embd.weight": model.embed}
    for i, layer in enumerate(model.layers):
        q, k, v = layer.qkv.split([n * c.head_dim for n in (c.heads, c.kv_heads, c.kv_heads)])
        gate, up = layer.gate_up.chunk(2)
        parts = dict(attn_norm=layer.attn_norm, attn_q=q, attn_k=k, attn_v=v, attn_output=layer.out,
                     ffn_norm=layer.ffn_norm, ffn_gate=gate, ffn_up=up, ffn_down=layer.down)
        tensors.update({f"blk.{i}.{name}.weight": part for name, part in parts.items()})
    tensors["output_norm.weight"] = model.norm
    tensors["rope_freqs.weight"] = c.rope_factors()
    arrays = {name: t.detach().numpy() for name, t in tensors.items()}
    for name in arrays:
        if name.endswith(("attn_q.weight", "attn_k.weight")):
            arrays[name] = adjacent_pairs(arrays[name], c.head_dim)
    return arrays


def check(path: Path, model: Model, prompt: str) -> dict:
    """Compares the file's logits with the model's on one prompt; returns what a reader of the file should find."""
    read = GgufModel(path)
    ids = read.encode(prompt)
    with torch.no_grad():
        expected = model.logits(model.hidden(torch.tensor([ids]))[0])[0].numpy()
    got = read.logits(ids, last_only=False)
    error = np.sqrt(np.mean((got - expected) ** 2)) / expected.std()
    agree = np.mean(got.argmax(-1) == expected.argmax(-1))
    print(f"{path.name}: {path.stat().st_size} bytes; against the trained model on {len(ids)} tokens: "
          f"relative error {error:.4f}, same best token {agree:.3f}")
    if error > 0.05:
        raise SystemExit("the file does not compute what was trained")
    best = np.argsort(-got[-1])[:8]
    return dict(prompt=prompt, tokens=ids, best=best.tolist(), logits=[round(float(got[-1][b]), 4) for b in best])


def load_checkpoint(path: Path) -> tuple[Model, dict]:
    saved = torch.load(path, map_location="cpu")
    model = Model(Config(**saved["config"]))
    model.load_state_dict(saved["model"])
    return model, saved


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=HERE / "out" / "checkpoint.pt")
    parser.add_argument("--tokenizer", type=Path, default=HERE / "out" / "tokenizer.json")
    parser.add_argument("--out", type=Path, default=TOWN / "model.gguf")
    parser.add_argument("--logits", type=Path, help="writes a prompt's tokens and best logits here")
    args = parser.parse_args()
    model, saved = load_checkpoint(args.checkpoint)
    gguf.write(args.out, gguf_metadata("throng-town", model.c, Tokenizer.load(args.tokenizer), gguf.Q8_0, add_bos=False), gguf_tensors(model))
    prompt = json.loads((TOWN / "eval" / "recall.jsonl").read_text().splitlines()[0])["prompt"]
    found = check(args.out, model, prompt)
    if args.logits:
        args.logits.write_text(json.dumps(found) + "\n")
    print(f"after {saved['step']} steps, {saved['tokens']} tokens, {saved['seconds'] / 60:.1f} minutes")


if __name__ == "__main__":
    main()
