"""throng inspect: real models load, by their headers alone; what is not supported is named, all of it. Usage: inspect_test.py THRONG ROOT"""

import json
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from gguf_headers import bytes_of
from real_models import MODELS

THRONG = sys.argv.pop(1)
ROOT = Path(sys.argv.pop(1))
EMBEDDED = ROOT / "town" / "model.gguf"
FOLDER = tempfile.TemporaryDirectory()


def run(file, *arguments):
    return subprocess.run([THRONG, "inspect", file, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)


def inspect(file, *arguments):
    done = run(file, "--json", *arguments)
    facts = json.loads(done.stdout)
    assert done.returncode == (0 if facts["loads"] else 1), done
    return facts


def written(header, name="model.gguf"):
    path = Path(FOLDER.name) / name
    path.write_bytes(header.data())
    return path


def header_of(repository):
    model = next(model for model in MODELS if model.repository == repository)
    return model.header(repository.split("/")[1])


def megabytes(row):
    """As docs/models.md has it: what grows with the text, and what windows hold."""
    windows = row["bytes_of_windows"]
    return f"{row['bytes_per_1000_tokens'] / 1e6:.1f} MB" + (f" + {windows / 1e6:.1f} MB" if windows else "")


def f16_per_token(row, header):
    """Of all layers: those with windows hold the pages of so many blocks at most."""
    window = header.keys.get(header.architecture + ".attention.sliding_window")
    chunk = header.keys.get(header.architecture + ".attention.chunk_size", 8192)
    blocks = (window + 62) // 64 if window else (chunk - 1) // 64
    return row["bytes_per_1000_tokens"] / 1000 + row["bytes_of_windows"] / blocks / 64


class RealModelsTest(unittest.TestCase):
    """The headers that converters write load, and take the memory that the models' shapes say."""

    def test_all_load_by_their_headers(self):
        documented = {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in
                      (line.strip("|").split("|") for line in (ROOT / "docs/models.md").read_text().splitlines() if line.startswith("|"))}
        for model in MODELS:
            header = model.header(model.repository.split("/")[1])
            with self.subTest(model=model.repository):
                facts = inspect(written(header))
                self.assertEqual(facts["refusals"], [])
                self.assertEqual(facts["architecture"], header.architecture)
                extra = sum(dims[0] for name, _, dims in header.tensors if name.startswith("rope_"))
                weights = facts["weights"]
                self.assertEqual(sum(kind["parameters"] for kind in weights["types"]), model.parameters + extra)
                self.assertEqual(weights["bytes"], sum(bytes_of(kind, dims) for _, kind, dims in header.tensors))
                self.assertEqual(weights["missing_bytes"], weights["bytes"])
                self.assertEqual(facts["context_length"], header.keys[header.architecture + ".context_length"])
                predictors = header.keys.get(header.architecture + ".nextn_predict_layers", 0)
                self.assertEqual(facts["num_layers"], header.size["layers"] - predictors)
                rows = {row["codec"]: row for row in facts["kv"]["codecs"]}
                self.assertEqual(f16_per_token(rows["f16"], header), model.f16_per_token)
                for key in ("bytes_per_1000_tokens", "bytes_of_context"):
                    self.assertLess(rows["flashq4"][key], rows["int8"][key])
                self.assertEqual(documented[f"`{model.repository}`"],
                                 [f"`{facts['architecture']}`", f"{weights['bytes'] / 1e9:.1f} GB",
                                  *(megabytes(rows[codec]) for codec in ("f16", "int8", "flashq4"))])

    def test_layers_are_told_apart(self):
        def groups(repository):
            return {group["description"]: group["layers"] for group in inspect(written(header_of(repository)))["layers"]}
        self.assertEqual(groups("google/gemma-3-4b-it"),
                         {"attention, window of 1024; feed-forward": [i for i in range(34) if i % 6 != 5],
                          "attention; feed-forward": [5, 11, 17, 23, 29]})
        self.assertEqual(groups("deepseek-ai/DeepSeek-V2-Lite-Chat"),
                         {"latent attention; feed-forward": [0],
                          "latent attention; 6 of 64 experts; feed-forward": list(range(1, 27))})

    def test_documented_architectures_are_those_that_the_program_names(self):
        header = header_of("openai-community/gpt2")
        header.keys["general.architecture"] = "none"
        named = re.search(r"these are: (.*)", inspect(written(header))["refusals"][0])[1].split()
        documented = (ROOT / "docs/models.md").read_text().split("## Architectures")[1].split("\n## ")[0]
        rows = [line.split("|")[1] for line in documented.splitlines() if line.startswith("| `")]
        self.assertEqual(sorted(re.findall(r"`([^`]+)`", " ".join(rows))), sorted(named))
        self.assertEqual({model.header("").architecture for model in MODELS}, set(named))


class RefusalsTest(unittest.TestCase):
    def test_everything_is_named_at_once(self):
        header = header_of("meta-llama/Llama-3.2-1B-Instruct")
        header.set(attention__clamp_kqv=8.0, attention__causal=False, swin_norm=True)
        header.vector("blk.3.attn_sub_norm.weight", 2048)
        header.tensors = [("blk.1.ffn_up.weight", "type 99", dims) if name == "blk.1.ffn_up.weight" else (name, kind, dims)
                          for name, kind, dims in header.tensors if name != "blk.2.ffn_norm.weight"]
        header.keys["tokenizer.ggml.pre"] = "spiral"
        header.keys["tokenizer.chat_template"] = "{% for %}"
        facts = inspect(written(header))
        text = "\n".join(facts["refusals"])
        for words in ("tensor blk.1.ffn_up.weight is of type 99", "llama.attention.causal is 'false'", "tensor blk.2.ffn_norm.weight is missing",
                      "tensor blk.3.attn_sub_norm.weight is not among", "keys llama.attention.clamp_kqv and llama.swin_norm are not among",
                      'tokenizer.ggml.pre is "spiral"'):
            self.assertIn(words, text)
        self.assertEqual(len(facts["refusals"]), 7, text)
        self.assertIn({"type": "type 99", "tensors": 1, "parameters": 2048 * 8192, "bytes": 0}, facts["weights"]["types"])
        self.assertEqual(facts["kv"]["codecs"][0]["bytes_per_1000_tokens"], 32_768_000)
        shown = run(written(header))
        self.assertEqual(shown.returncode, 1)
        for refusal in facts["refusals"]:
            self.assertIn(f"  - {refusal}\n", shown.stdout)

    def test_an_unknown_architecture_is_described(self):
        header = header_of("Qwen/Qwen3-8B")
        header.keys = {key.replace("qwen3.", "rwkv9."): value for key, value in header.keys.items()} | {"general.architecture": "rwkv9"}
        facts = inspect(written(header))
        self.assertEqual(len(facts["refusals"]), 1)
        self.assertIn("architecture 'rwkv9' is not supported; these are: llama ", facts["refusals"][0])
        self.assertEqual((facts["context_length"], facts["num_layers"]), (40960, 36))
        self.assertEqual((facts["layers"], facts["kv"]), (None, None))
        self.assertEqual(facts["tokenizer"]["pre"], "qwen2")
        self.assertIn("8.19 billion", run(written(header)).stdout)

    def test_a_file_without_anything_is_described(self):
        header = header_of("openai-community/gpt2")
        header.keys, header.tensors = {}, []
        refusals = "\n".join(inspect(written(header))["refusals"])
        self.assertIn("'general.architecture'", refusals)
        self.assertIn("'tokenizer.ggml.model'", refusals)

    def test_what_headers_claim_is_not_allocated(self):
        header = header_of("openai-community/gpt2")
        header.set(context_length=1 << 28)
        header.tensors = [(name, kind, (768, 1 << 28) if name.startswith("position") else dims) for name, kind, dims in header.tensors]
        self.assertIn("position_embd.weight have more than", inspect(written(header))["refusals"][0])

    def test_what_is_no_gguf_file_is_refused(self):
        path = Path(FOLDER.name) / "no.gguf"
        for content, words in ((b"", "ends within the magic number"), (b"hello", "does not begin with 'GGUF'"),
                               (header_of("openai-community/gpt2").data()[:1000], "claims 1000 elements")):
            path.write_bytes(content)
            done = run(path, "--json")
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn(words, done.stderr)


class WholeFilesTest(unittest.TestCase):
    def test_the_embedded_model(self):
        facts = inspect(EMBEDDED)
        self.assertEqual((facts["refusals"], facts["weights"]["missing_bytes"], facts["files"]), ([], 0, 1))
        self.assertIsNone(facts["chat_template"])
        text = run(EMBEDDED).stdout
        self.assertRegex(text, r"(?m)^loads +yes$")
        self.assertRegex(text, r"(?m)^chat template +none$")

    def test_a_file_that_is_cut_says_how_much_is_missing(self):
        whole = EMBEDDED.read_bytes()
        path = Path(FOLDER.name) / "cut.gguf"
        path.write_bytes(whole[:-100_000])
        facts = inspect(path)
        self.assertTrue(facts["loads"])
        self.assertAlmostEqual(facts["weights"]["missing_bytes"], 100_000, delta=32)  # the last tensor may be padded
        self.assertIn("yes; 100.0 kB of data are missing from the file", run(path).stdout)

    def test_codecs_may_be_given(self):
        rows = inspect(EMBEDDED, "--kv", "f32,gear2:r=4,s=2%,flashq4:sink=64")["kv"]["codecs"]
        self.assertEqual([row["codec"] for row in rows], ["f32", "gear2:r=4,s=2%", "flashq4:sink=64"])
        for codec in ("auto", "flashq-mixed"):
            done = run(EMBEDDED, "--kv", codec)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn(codec, done.stderr)

    def test_parts_are_one_model(self):
        header = header_of("openai-community/gpt2")
        tensors, keys = header.tensors, header.keys
        for i, share in enumerate((tensors[:50], tensors[50:])):
            header.tensors = share
            header.keys = (keys if i == 0 else {}) | {"split.no": i, "split.count": 2, "split.tensors.count": len(tensors)}
            last = written(header, f"gpt2-{i + 1:05}-of-00002.gguf")
        facts = inspect(last)
        self.assertEqual((facts["refusals"], facts["files"]), ([], 2))
        self.assertEqual(facts["weights"]["missing_bytes"], facts["weights"]["bytes"])

    def test_a_template_says_what_it_takes(self):
        header = header_of("Qwen/Qwen3-8B")
        header.keys["tokenizer.chat_template"] = (
            "{% if tools %}{{ tools }}{% endif %}{% for m in messages %}{{ m.content }}{% endfor %}{% if enable_thinking %}<think>{% endif %}")
        chat = inspect(written(header))["chat_template"]
        self.assertEqual((chat["tools"], chat["enable_thinking"], chat["system_messages"]), (True, True, True))


if __name__ == "__main__":
    unittest.main()
