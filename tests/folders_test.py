#!/usr/bin/env python3
"""Models as folders of safetensors have the logits of their GGUF files. Usage: folders_test.py THRONG

The folders are made of the models in F16 of ../shared, by undoing what a converter does; without these the test is skipped."""

import json
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

SKIPPED = 77
MODELS = Path(__file__).resolve().parent.parent.parent / "shared" / "models"

# GGUF file -> class. gpt-oss is made of two files for MXFP4 in F16, and of one for F16 alone.
CLASSES = {
    "llama.F16": "LlamaForCausalLM",
    "llama_tied_rope500k.F16": "LlamaForCausalLM",
    "more/llama_bias.F16": "LlamaForCausalLM",
    "more/llama_linear.F16": "LlamaForCausalLM",
    "more/llama_moe.F16": "MixtralForCausalLM",
    "qwen2.F16": "Qwen2ForCausalLM",
    "qwen3.F16": "Qwen3ForCausalLM",
    "more/qwen3moe.F16": "Qwen3MoeForCausalLM",
    "phi3.F16": "Phi3ForCausalLM",
    "more/gemma2.F16": "Gemma2ForCausalLM",
    "gemma3.F16": "Gemma3ForCausalLM",
    "more/gpt_oss.F16": "GptOssForCausalLM",
}
MXFP4_EXPERTS = "more/gpt_oss.MXFP4_MOE"

F32, F16, MXFP4, Q8_0 = 0, 1, 39, 8
BLOCKS = {F32: (1, 4), F16: (1, 2), Q8_0: (32, 34), MXFP4: (32, 17)}
NUMBERS = dict(zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd"))

IN_LAYER = {
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_qkv": "self_attn.qkv_proj", "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
    "ffn_norm": "post_attention_layernorm", "post_attention_norm": "post_attention_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}


class Gguf:
    def __init__(self, path):
        self.bytes = path.read_bytes()
        num_tensors, num_keys = struct.unpack_from("<QQ", self.bytes, 8)
        self.at = 24
        self.keys = {}
        for _ in range(num_keys):
            key = self.string()
            self.keys[key] = self.value(self.number("I"))
        infos = []
        for _ in range(num_tensors):
            name = self.string()
            dims = [self.number("Q") for _ in range(self.number("I"))]
            infos.append((name, dims, self.number("I"), self.number("Q")))
        start = (self.at + 31) // 32 * 32
        self.tensors = {}
        for name, dims, kind, offset in infos:
            size = BLOCKS[kind][1]
            for dim in dims:
                size *= dim
            size //= BLOCKS[kind][0]
            self.tensors[name] = (kind, dims[::-1], self.bytes[start + offset:start + offset + size])

    def number(self, code):
        value, = struct.unpack_from("<" + code, self.bytes, self.at)
        self.at += struct.calcsize("<" + code)
        return value

    def string(self):
        size = self.number("Q")
        self.at += size
        return self.bytes[self.at - size:self.at].decode()

    def value(self, kind):
        if kind == 8:
            return self.string()
        if kind == 9:
            kind, count = self.number("I"), self.number("Q")
            return [self.value(kind) for _ in range(count)]
        return self.number(NUMBERS[kind])

    def of(self, key, default=None):
        return self.keys.get(f"{self.keys['general.architecture']}.{key}", default)


def make_config(gguf, model_class):
    config = {
        "architectures": [model_class],
        "num_hidden_layers": gguf.of("block_count"),
        "hidden_size": gguf.of("embedding_length"),
        "intermediate_size": gguf.of("feed_forward_length"),
        "num_attention_heads": gguf.of("attention.head_count"),
        "num_key_value_heads": gguf.of("attention.head_count_kv"),
        "head_dim": gguf.of("attention.key_length"),
        "max_position_embeddings": gguf.of("context_length"),
        "rms_norm_eps": gguf.of("attention.layer_norm_rms_epsilon"),
        "rope_theta": gguf.of("rope.freq_base", 10000.0),
        "sliding_window": gguf.of("attention.sliding_window"),
        "rope_local_base_freq": gguf.of("rope.freq_base_swa"),
        "num_local_experts": gguf.of("expert_count"),
        "num_experts": gguf.of("expert_count"),
        "num_experts_per_tok": gguf.of("expert_used_count"),
        "moe_intermediate_size": gguf.of("expert_feed_forward_length"),
        "norm_topk_prob": True,
        "attn_logit_softcapping": gguf.of("attn_logit_softcapping"),
        "final_logit_softcapping": gguf.of("final_logit_softcapping"),
        "tie_word_embeddings": "output.weight" not in gguf.tensors,
    }
    scaling = {"type": gguf.of("rope.scaling.type"), "factor": gguf.of("rope.scaling.factor"),
               "original_max_position_embeddings": gguf.of("rope.scaling.original_context_length")}
    for name in ("long", "short"):
        if f"rope_factors_{name}.weight" in gguf.tensors:
            data = gguf.tensors[f"rope_factors_{name}.weight"][2]
            scaling |= {"type": "longrope", f"{name}_factor": list(struct.unpack(f"<{len(data) // 4}f", data))}
    if scaling["type"]:
        config["rope_scaling"] = scaling
    return config


def make_tokenizer(gguf):
    names = gguf.keys["tokenizer.ggml.tokens"]
    return {"model": {"type": "BPE", "vocab": {name: i for i, name in enumerate(names)}, "merges": []},
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False}}


def halves(rows, heads):
    """Rows 2 i and 2 i + 1 of a head as its rows i and half + i."""
    size = len(rows) // heads
    return [rows[head + side + 2 * i] for head in range(0, len(rows), size) for side in (0, 1) for i in range(size // 2)]


def split(data, parts):
    size = len(data) // parts
    return [data[i * size:(i + 1) * size] for i in range(parts)]


def unpack_codes(block):
    """16 bytes of codes i and i + 16, as bytes of codes 2 i and 2 i + 1."""
    codes = [byte & 15 for byte in block] + [byte >> 4 for byte in block]
    return bytes(codes[i] | codes[i + 1] << 4 for i in range(0, 32, 2))


def add_gpt_oss_experts(stored, layer, experts):
    prefix = f"model.layers.{layer}.mlp.experts."
    for name, parts in (("gate_up_proj", ("gate", "up")), ("down_proj", ("down",))):
        tensors = [experts[f"blk.{layer}.ffn_{part}_exps.weight"] for part in parts]
        count, rows, cols = tensors[0][1]
        row_lists = [split(data, count * rows) for _, _, data in tensors]
        blocks = b"".join(row for together in zip(*row_lists) for row in together)
        each = split(blocks, len(blocks) // 17)
        shape = [count, rows * len(parts), cols // 32]
        stored[f"{prefix}{name}_blocks"] = ("U8", [*shape, 16], b"".join(unpack_codes(block[1:]) for block in each))
        stored[f"{prefix}{name}_scales"] = ("U8", shape, bytes(block[0] for block in each))


def add_gpt_oss_biases(stored, layer, experts):
    for name, parts in (("gate_up_proj", ("gate", "up")), ("down_proj", ("down",))):
        tensors = [experts[f"blk.{layer}.ffn_{part}_exps.bias"] for part in parts]
        count, rows = tensors[0][1]
        biases = [split(data, count * rows) for _, _, data in tensors]
        stored[f"model.layers.{layer}.mlp.experts.{name}_bias"] = (
            "F32", [count, rows * len(parts)], b"".join(bias for together in zip(*biases) for bias in together))


def add_experts(stored, layer, part, model_class, kind, shape, data):
    mixtral = {"gate": "block_sparse_moe.experts.{}.w1", "up": "block_sparse_moe.experts.{}.w3", "down": "block_sparse_moe.experts.{}.w2"}
    name = mixtral[part] if model_class == "MixtralForCausalLM" else f"mlp.experts.{{}}.{part}_proj"
    for i, one in enumerate(split(data, shape[0])):
        stored[f"model.layers.{layer}.{name.format(i)}.weight"] = (kind, shape[1:], one)


def stored_name(layer, base, model_class):
    if base == "ffn_gate_inp":
        return {"MixtralForCausalLM": "block_sparse_moe.gate", "GptOssForCausalLM": "mlp.router"}.get(model_class, "mlp.gate")
    if base == "ffn_norm" and model_class.startswith("Gemma"):
        return "pre_feedforward_layernorm"
    if base == "ffn_up" and model_class == "Phi3ForCausalLM":
        return "mlp.gate_up_proj"
    return IN_LAYER[base]


def make_tensors(gguf, model_class):
    stored = {}
    for name, (kind, shape, data) in gguf.tensors.items():
        if name.startswith("rope_"):
            continue
        dtype = {F32: "F32", F16: "F16"}[kind]
        if model_class.startswith("Gemma") and name.endswith("norm.weight"):
            data = struct.pack(f"<{shape[0]}f", *(weight - 1 for weight in struct.unpack(f"<{shape[0]}f", data)))
        if not name.startswith("blk."):
            outside = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight", "output.weight": "lm_head.weight"}
            stored[outside[name]] = (dtype, shape, data)
            continue
        _, layer, base, suffix = name.split(".")
        if base.endswith("_exps"):
            if model_class != "GptOssForCausalLM":
                add_experts(stored, layer, base[4:-5], model_class, dtype, shape, data)
            continue
        if base in ("attn_q", "attn_k") and gguf.keys["general.architecture"] == "llama":
            heads = gguf.of("attention.head_count" if base == "attn_q" else "attention.head_count_kv")
            data = b"".join(halves(split(data, shape[0]), heads))
        sinks = base == "attn_sinks"
        inside = "self_attn.sinks" if sinks else f"{stored_name(layer, base, model_class)}.{suffix}"
        stored[f"model.layers.{layer}.{inside}"] = (dtype, shape, data)
    return stored


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def write_gguf(path, base, tensors):
    """With the keys of another file."""
    count = struct.pack("<Q", len(tensors))
    start = base.bytes.index(struct.pack("<Q", len(next(iter(base.tensors)))) + next(iter(base.tensors)).encode())
    infos, data = b"", b""
    for name, (kind, shape, content) in tensors.items():
        infos += struct.pack("<Q", len(name)) + name.encode() + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape[::-1], kind, len(data))
        data += content + bytes(-len(content) % 32)
    head = base.bytes[:8] + count + base.bytes[16:start] + infos
    path.write_bytes(head + bytes(-len(head) % 32) + data)


def logits(throng, model, folder):
    out = folder / "logits.f32"
    done = subprocess.run([throng, "--log", "error", "logits", "-m", model, "--tokens", MODELS / "tokens.txt", "-o", out],
                          capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return out.read_bytes()


def close(a, b):
    """Gemma's norms are rounded on their way to weights less one and back."""
    a, b = (struct.unpack(f"<{len(x) // 4}f", x) for x in (a, b))
    return max(abs(x - y) for x, y in zip(a, b)) <= 1e-4 * max(map(abs, a))


def add_transposed_experts(stored, layer, experts):
    """As fine-tunes in 16 bits have them: [experts, inputs, outputs], a gate beside its up."""
    def transposed(base):
        _, (count, rows, cols), data = experts[f"blk.{layer}.ffn_{base}_exps.weight"]
        values = struct.unpack(f"<{count * rows * cols}H", data)
        return count, rows, cols, [values[(e * rows + row) * cols + col] for e in range(count) for col in range(cols) for row in range(rows)]
    prefix = f"model.layers.{layer}.mlp.experts."
    count, rows, cols, down = transposed("down")
    stored[prefix + "down_proj"] = ("F16", [count, cols, rows], struct.pack(f"<{len(down)}H", *down))
    count, rows, cols, gate = transposed("gate")
    both = [value for pair in zip(gate, transposed("up")[3]) for value in pair]
    stored[prefix + "gate_up_proj"] = ("F16", [count, cols, 2 * rows], struct.pack(f"<{len(both)}H", *both))


def compare(throng, name, model_class, scratch, mxfp4=True):
    path = MODELS / f"{name}.gguf"
    gguf = Gguf(path)
    folder = scratch / "folder"
    folder.mkdir(exist_ok=True)
    tensors = make_tensors(gguf, model_class)
    if not mxfp4:
        for layer in range(gguf.of("block_count")):
            add_gpt_oss_biases(tensors, layer, gguf.tensors)
            add_transposed_experts(tensors, layer, gguf.tensors)
    elif model_class == "GptOssForCausalLM":
        experts = {k: v for k, v in Gguf(MODELS / f"{MXFP4_EXPERTS}.gguf").tensors.items() if "_exps." in k}
        path = scratch / "experts.gguf"
        write_gguf(path, gguf, gguf.tensors | experts)
        for layer in range(gguf.of("block_count")):
            add_gpt_oss_experts(tensors, layer, experts)
            add_gpt_oss_biases(tensors, layer, experts)
    write_safetensors(folder / "model.safetensors", tensors)
    (folder / "config.json").write_text(json.dumps(make_config(gguf, model_class)))
    (folder / "tokenizer.json").write_text(json.dumps(make_tokenizer(gguf)))
    inspected = subprocess.run([throng, "inspect", "--json", folder], capture_output=True, text=True, timeout=60)
    assert inspected.returncode == 0 and json.loads(inspected.stdout)["files"] == 1, inspected
    found, wanted = logits(throng, folder, scratch), logits(throng, path, scratch)
    same = found == wanted
    near = same or (model_class.startswith("Gemma") and len(found) == len(wanted) and close(wanted, found))
    print(f"{name}: {'the same logits' if same else 'close logits' if near else 'OTHER LOGITS'}", flush=True)
    return near


def main():
    throng = Path(sys.argv[1]).resolve()
    present = [name for name in CLASSES if (MODELS / f"{name}.gguf").exists()]
    if not present:
        print(f"SKIPPED: there are no models in {MODELS}")
        return SKIPPED
    with tempfile.TemporaryDirectory() as scratch:
        results = [compare(throng, name, CLASSES[name], Path(scratch)) for name in present]
        if "more/gpt_oss.F16" in present:
            results.append(compare(throng, "more/gpt_oss.F16", "GptOssForCausalLM", Path(scratch), mxfp4=False))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
