"""Headers of GGUF files as convert_hf_to_gguf.py of llama.cpp writes them: all keys and tensors, without data."""

import math
import struct
from dataclasses import dataclass, field

# Number in the file; elements and bytes of a block.
BLOCKS = {"F32": (0, 1, 4), "Q8_0": (8, 32, 34), "MXFP4": (39, 32, 17), "type 99": (99, 1, 1)}


@dataclass
class Header:
    architecture: str
    size: dict  # what the functions below read
    keys: dict = field(default_factory=dict)  # full names
    tensors: list = field(default_factory=list)  # (name, type, dims), the contiguous dimension first

    def set(self, **keys):
        """Keys of the architecture; __ stands for a dot."""
        self.keys |= {f"{self.architecture}.{key.replace('__', '.')}": value for key, value in keys.items()}

    def matrix(self, name, *dims, kind="Q8_0"):
        self.tensors.append((name, kind, dims))

    def vector(self, name, *dims):
        self.tensors.append((name, "F32", dims))

    def norm(self, name, bias=False):
        self.vector(f"{name}.weight", self.size["dim"])
        if bias:
            self.vector(f"{name}.bias", self.size["dim"])

    def data(self):
        """The bytes of the file up to its tensors' data."""
        keys = b"".join(string(key) + struct.pack("<I", packed(value)[0]) + packed(value)[1] for key, value in self.keys.items())
        infos, offset = b"", 0
        for name, kind, dims in self.tensors:
            infos += string(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, BLOCKS[kind][0], offset)
            offset += (bytes_of(kind, dims) + 31) // 32 * 32
        return b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), len(self.keys)) + keys + infos


def string(text):
    return struct.pack("<Q", len(text.encode())) + text.encode()


def packed(value):
    """A value's type and its bytes."""
    if isinstance(value, bool):
        return 7, struct.pack("<?", value)
    if isinstance(value, int):
        return 4, struct.pack("<I", value)
    if isinstance(value, float):
        return 6, struct.pack("<f", value)
    if isinstance(value, str):
        return 8, string(value)
    items = [packed(item) for item in value]
    return 9, struct.pack("<IQ", items[0][0], len(items)) + b"".join(item for _, item in items)


def bytes_of(kind, dims):
    _, elements, size = BLOCKS[kind]
    return math.prod(dims) // elements * size


def start(name, architecture, *, layers, dim, ffn, heads, kv_heads=None, head_dim=None, vocab, context, tokenizer, rms=None, layer_norm=None,
          rope_base=None, tied=False, says_head_dim=True, norm_bias=False):
    """The keys that all converters write, and the tensors outside of layers. head_dim: written as key too, unless says_head_dim is off."""
    header = Header(architecture, {"layers": layers, "dim": dim, "ffn": ffn, "heads": heads, "kv_heads": kv_heads or heads,
                                   "head_dim": head_dim or dim // heads})
    header.keys |= {"general.architecture": architecture, "general.type": "model", "general.name": name, "general.file_type": 7,
                    "general.quantization_version": 2}
    header.set(block_count=layers, context_length=context, embedding_length=dim, feed_forward_length=ffn, attention__head_count=heads)
    if kv_heads:
        header.set(attention__head_count_kv=kv_heads)
    if rms:
        header.set(attention__layer_norm_rms_epsilon=rms)
    if layer_norm:
        header.set(attention__layer_norm_epsilon=layer_norm)
    if rope_base:
        header.set(rope__freq_base=float(rope_base))
    if head_dim and says_head_dim:
        header.set(attention__key_length=head_dim, attention__value_length=head_dim)
    header.matrix("token_embd.weight", dim, vocab)
    header.norm("output_norm", norm_bias)
    if not tied:
        header.matrix("output.weight", dim, vocab)
    model, pre = tokenizer
    vocab = 1000  # stands for the real one
    tokens = [f"<{i}>" for i in range(vocab)]
    if model == "gpt2":
        tokens[300:556] = byte_symbols()
    header.keys |= {"tokenizer.ggml.model": model, "tokenizer.ggml.pre": pre, "tokenizer.ggml.tokens": tokens,
                    "tokenizer.ggml.token_type": [1] * vocab, "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2,
                    "tokenizer.chat_template": "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"}
    if model == "llama":
        header.keys |= {"tokenizer.ggml.scores": [0.0] * vocab, "tokenizer.ggml.unknown_token_id": 0}
    else:
        header.keys["tokenizer.ggml.merges"] = ["< 0"]
    return header


def byte_symbols():
    """The characters that stand for bytes in the vocabulary of GPT-2."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(byte) for byte in printable] + [chr(256 + i) for i in range(256 - len(printable))]


def attention(header, i, bias="", head_norms=0):
    """bias: which of q, k, v and o have one. head_norms: the size of those of queries and keys; "rows": whole rows; 0: none."""
    size = header.size
    dim, q, kv = size["dim"], size["heads"] * size["head_dim"], size["kv_heads"] * size["head_dim"]
    for letter, name, cols, rows in (("q", "attn_q", dim, q), ("k", "attn_k", dim, kv), ("v", "attn_v", dim, kv), ("o", "attn_output", q, dim)):
        header.matrix(f"blk.{i}.{name}.weight", cols, rows)
        if letter in bias:
            header.vector(f"blk.{i}.{name}.bias", rows)
    if head_norms:
        header.vector(f"blk.{i}.attn_q_norm.weight", q if head_norms == "rows" else head_norms)
        header.vector(f"blk.{i}.attn_k_norm.weight", kv if head_norms == "rows" else head_norms)


def feed_forward(header, i, width=None, gate=True, bias=False, suffix=""):
    dim, width = header.size["dim"], width or header.size["ffn"]
    for name, cols, rows in (("gate", dim, width), ("up", dim, width), ("down", width, dim)):
        if gate or name != "gate":
            header.matrix(f"blk.{i}.ffn_{name}{suffix}.weight", cols, rows)
            if bias:
                header.vector(f"blk.{i}.ffn_{name}{suffix}.bias", rows)


def experts(header, i, count, width, kind="Q8_0", bias=False, selection_bias=False):
    dim = header.size["dim"]
    header.vector(f"blk.{i}.ffn_gate_inp.weight", dim, count)
    if bias:
        header.vector(f"blk.{i}.ffn_gate_inp.bias", count)
    if selection_bias:
        header.vector(f"blk.{i}.exp_probs_b.bias", count)
    for name, cols, rows in (("gate", dim, width), ("up", dim, width), ("down", width, dim)):
        header.matrix(f"blk.{i}.ffn_{name}_exps.weight", cols, rows, count, kind=kind)
        if bias:
            header.vector(f"blk.{i}.ffn_{name}_exps.bias", rows, count)


def norms(header, i, *names, bias=False):
    for name in names:
        header.norm(f"blk.{i}.{name}", bias)


def standard(header, bias="", head_norms=0, names=("attn_norm", "ffn_norm"), norm_bias=False, gate=True, ffn_bias=False):
    """Attention and feed-forward in all layers."""
    for i in range(header.size["layers"]):
        norms(header, i, *names, bias=norm_bias)
        attention(header, i, bias, head_norms)
        feed_forward(header, i, gate=gate, bias=ffn_bias)
    return header
