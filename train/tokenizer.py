"""Byte-level BPE in the GPT-2 manner: trainer, encoder and decoder.

Text is split into words first (a leading space belongs to its word); merges never cross a word.
"""

import json
import re
from collections import Counter
from pathlib import Path

EOS = "<|endoftext|>"
# The GPT-2 split for text in which letters and digits are what Python's \w says; the town writes ASCII.
WORDS = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")


def byte_symbols() -> dict[int, str]:
    """Printable stand-ins for the 256 bytes: printable Latin-1 stands for itself, the rest for 256, 257, ..."""
    keep = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    symbols = {b: chr(b) for b in keep}
    for b in range(256):
        if b not in symbols:
            symbols[b] = chr(256 + len(symbols) - len(keep))
    return symbols


class Tokenizer:
    def __init__(self, tokens: list[str], merges: list[tuple[str, str]]):
        self.tokens = tokens
        self.merges = merges
        self.ids = {t: i for i, t in enumerate(tokens)}
        self.ranks = {m: i for i, m in enumerate(merges)}
        self.symbols = byte_symbols()
        self.bytes = {s: b for b, s in self.symbols.items()}
        self.eos = self.ids[EOS]
        self.cache: dict[str, list[int]] = {}

    def encode(self, text: str) -> list[int]:
        ids: list[int] = []
        for word in WORDS.findall(text):
            known = self.cache.get(word)
            if known is None:
                known = self.cache[word] = self.encode_word(word)
            ids += known
        return ids

    def encode_word(self, word: str) -> list[int]:
        parts = [self.symbols[b] for b in word.encode()]
        while len(parts) > 1:
            rank, i = min((self.ranks.get(pair, len(self.ranks)), i) for i, pair in enumerate(zip(parts, parts[1:])))
            if rank == len(self.ranks):
                break
            parts[i:i + 2] = ["".join(parts[i:i + 2])]
        return [self.ids[p] for p in parts]

    def decode(self, ids: list[int]) -> str:
        text = "".join(self.tokens[i] for i in ids if i != self.eos)
        return bytes(self.bytes[c] for c in text).decode(errors="replace")

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(dict(tokens=self.tokens, merges=self.merges)))

    @staticmethod
    def load(path: Path) -> "Tokenizer":
        data = json.loads(path.read_text())
        return Tokenizer(data["tokens"], [tuple(m) for m in data["merges"]])


def train(counts: Counter[str], vocab_size: int) -> Tokenizer:
    """Merges the most frequent pair until the vocabulary is full or every word is one token."""
    symbols = byte_symbols()
    words = [([symbols[b] for b in word.encode()], n) for word, n in sorted(counts.items())]
    merges: list[tuple[str, str]] = []
    tokens = [symbols[b] for b in range(256)]
    seen = set(tokens)
    while len(tokens) < vocab_size - 1:
        pairs: Counter[tuple[str, str]] = Counter()
        for parts, n in words:
            for pair in zip(parts, parts[1:]):
                pairs[pair] += n
        if not pairs:
            break
        left, right = best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        if left + right not in seen:
            seen.add(left + right)
            tokens.append(left + right)
        for parts, _ in words:
            i = 0
            while i < len(parts) - 1:
                if parts[i] == left and parts[i + 1] == right:
                    parts[i:i + 2] = [left + right]
                i += 1
    return Tokenizer(tokens + [EOS], merges)
