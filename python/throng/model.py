"""A language model in this process, and its answers."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Sequence, overload

from . import _native

if TYPE_CHECKING:
    import numpy


class Completion(str):
    """An answer: a ``str`` of its text, with how it was made.

    - ``finish``: ``"stop"``, or ``"length"`` when ``max_tokens`` cut it off
    - ``prompt_tokens``, of which ``cached_prompt_tokens`` came from the prefix cache
    - ``output_tokens``

    >>> answer = Completion("yes", "stop", 12, 0, 1)
    >>> answer == "yes", answer.upper(), answer.prompt_tokens
    (True, 'YES', 12)
    """

    finish: str
    prompt_tokens: int
    cached_prompt_tokens: int
    output_tokens: int

    def __new__(cls, text: str, finish: str = "stop", prompt_tokens: int = 0, cached_prompt_tokens: int = 0,
                output_tokens: int = 0) -> Completion:
        self = super().__new__(cls, text)
        self.finish = finish
        self.prompt_tokens = prompt_tokens
        self.cached_prompt_tokens = cached_prompt_tokens
        self.output_tokens = output_tokens
        return self

    def json(self) -> Any:
        """The answer as the data that its JSON describes.

        >>> Completion('{"hour": 9}').json()["hour"]
        9
        """
        try:
            return json.loads(self)
        except ValueError as error:
            raise _native.Error(f"the answer {self[:80]!r} is not JSON: {error}") from None


class Model:
    """A model with its tokenizer and an engine that batches all requests.

    - ``path``: the GGUF file, or a folder of safetensors; without it, the small model that comes with Throng
    - ``kv``: the codec of the KV cache, named as in the program's ``--kv`` (``"f16"``, ``"int8"``, ``"gear2"``,
      ``"flashq4"``, ...); ``keys`` and ``values`` set the codec of one half
    - ``softmax``: ``"exact"`` or ``"sas"``
    - ``threads``: 0 means one per core
    - ``context``: in tokens; 0 means what the model was trained for
    - ``kv_budget``: in bytes; 0 means half of the device's free memory
    - ``max_batch``: how many sequences decode together
    - ``prefix_cache``: keep what prompts begin with, for prompts that begin alike
    - ``lookup``: ``"auto"`` guesses tokens from the prompt where that saves time, ``"off"`` never; answers are the same
    - ``repack``: ``"on"`` copies the weights to where they are read fastest, ``"off"`` reads them where the file is
      mapped, ``"auto"`` copies them if half of the free memory has room; answers are the same
    - ``device``: ``"cpu"``, or ``"cuda"``, ``"cuda:N"`` or ``"cuda:N:40GB"``, a GPU and how much of its memory, in builds with CUDA

    Several threads may use a model at once; it releases Python's lock while it computes. As a backend it serves
    one run of a world at a time. A process that is forked while a model or a run exists cannot use throng; start
    processes with multiprocessing's "spawn".

    >>> model = Model(kv="flashq4", threads=2)
    >>> model.generate("Is the park open?", choices=["yes", "no"]) in ("yes", "no")
    True
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, kv: str = "f16", *, keys: str = "",
                 values: str = "", softmax: str = "exact", threads: int = 0, max_batch: int = 128,
                 context: int = 0, kv_budget: int = 0, prefix_cache: bool = True, lookup: str = "auto",
                 repack: str = "auto", device: str = "cpu") -> None:
        self._settings = dict(path=path, kv=kv, keys=keys, values=values, softmax=softmax, threads=threads,
                              max_batch=max_batch, context=context, kv_budget=kv_budget, prefix_cache=prefix_cache,
                              lookup=lookup, repack=repack, device=device)
        self._native = _native.Model(path="" if path is None else os.fspath(path), kv=kv, keys=keys,
                                     values=values, softmax=softmax, threads=threads, max_batch=max_batch,
                                     max_context=context, kv_budget_bytes=kv_budget, prefix_cache=prefix_cache,
                                     lookup=lookup, repack=repack, device=device)

    @overload
    def generate(self, prompt: str, max_tokens: int = 128, temperature: float = 0.0, *,
                 choices: Sequence[str] = (), json_schema: Any = None, seed: int = 0, stop: str | Sequence[str] = (),
                 chat: bool = False, system: str = "", top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0,
                 repetition_penalty: float = 1.0) -> Completion: ...

    @overload
    def generate(self, prompt: list[str] | tuple[str, ...], max_tokens: int = 128, temperature: float = 0.0, *,
                 choices: Sequence[str] = (), json_schema: Any = None, seed: int = 0, stop: str | Sequence[str] = (),
                 chat: bool = False, system: str = "", top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0,
                 repetition_penalty: float = 1.0) -> list[Completion]: ...

    def generate(self, prompt: str | list[str] | tuple[str, ...], max_tokens: int = 128, temperature: float = 0.0, *,
                 choices: Sequence[str] = (), json_schema: Any = None, seed: int = 0, stop: str | Sequence[str] = (),
                 chat: bool = False, system: str = "", top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0,
                 repetition_penalty: float = 1.0) -> Completion | list[Completion]:
        """Continues a prompt, or a list of prompts in one batch. A list returns a list in the same order.

        - ``choices``: the answer is exactly one of these
        - ``json_schema``: a dict or JSON text; the answer conforms to it
        - ``seed``: with a temperature above 0, the same seed gives the same answer; equal prompts in a list draw
          different ones
        - ``stop``: texts before which the answer ends
        - ``chat``: the prompt is a user message in the model's chat format, preceded by ``system``

        The answer to a prompt does not depend on the rest of the batch.

        >>> model = Model(threads=1)
        >>> a, b = model.generate(["The park is", "The cafe is"], max_tokens=4)
        >>> a == model.generate("The park is", max_tokens=4)
        True
        >>> schema = {"type": "object", "properties": {"hour": {"enum": [8, 9]}}, "required": ["hour"]}
        >>> model.generate("When?", json_schema=schema).json()["hour"] in (8, 9)
        True
        """
        answers = self._native.generate(
            prompts=[prompt] if isinstance(prompt, str) else list(prompt), chat=chat, system=system,
            max_tokens=max_tokens, temperature=temperature, choices=list(choices), json_schema=json_schema, seed=seed,
            stop=[stop] if isinstance(stop, str) else list(stop), top_k=top_k, top_p=top_p, min_p=min_p,
            repetition_penalty=repetition_penalty)
        return answers[0] if isinstance(prompt, str) else answers

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """The embeddings of texts: the states of their tokens, pooled as the model's file says.

        >>> model = Model(threads=1)
        >>> [one, other] = model.embed(["a bakery", "a concert"])
        >>> len(one) == len(other)
        True
        """
        return self._native.embed(texts)

    def tokenize(self, text: str, *, bos: bool | None = None, special: bool = False) -> list[int]:
        """The token ids of a text.

        - ``bos``: begin with the BOS token (None: if the model expects it)
        - ``special``: turn names of control tokens in the text into these tokens

        >>> model = Model(threads=1)
        >>> model.detokenize(model.tokenize("hello", bos=False))
        'hello'
        """
        return self._native.tokenize(text, self._native.adds_bos if bos is None else bos, special)

    def detokenize(self, ids: Sequence[int]) -> str:
        """The text of token ids: the inverse of ``tokenize``."""
        return self._native.detokenize(list(ids))

    def logits(self, ids: Sequence[int], *, last: int | None = None) -> numpy.ndarray:
        """The logits after each token: float32 [tokens, vocabulary]. ``last``: only after that many tokens at the end.

        Needs numpy. Keys and values go through the model's codec, as in generation. Codecs that are chosen by probing
        the model (``"flashq-mixed"``) are refused.

        >>> model = Model(threads=1)
        >>> ids = model.tokenize("the park")
        >>> model.logits(ids).shape == (len(ids), model.vocab_size)
        True
        """
        ids = list(ids)
        if last is not None and last < 1:
            raise _native.Error(f"logits: the last {last} of {len(ids)} tokens; allowed are 1 to {len(ids)}")
        return self._native.logits(ids, last or 0)

    @property
    def name(self) -> str:
        """The name of the model in its file."""
        return self._native.name

    @property
    def identity(self) -> str:
        """Everything that answers depend on: weights, codec, softmax, SIMD target, chat format."""
        return self._native.identity

    @property
    def vocab_size(self) -> int:
        """The number of tokens in the vocabulary."""
        return self._native.vocab_size

    @property
    def context(self) -> int:
        """The largest number of tokens of a request, prompt and answer together."""
        return self._native.context

    @property
    def stats(self) -> dict[str, float]:
        """Sizes of the KV cache in bytes: ``kv_bytes``, ``kv_bytes_peak``, ``kv_bytes_per_token`` (sealed blocks),
        ``kv_sliding_bytes_per_token`` (those of them that are released when the token leaves the model's windows),
        ``kv_window_bytes`` (what a sequence takes beyond that with ``sink=`` or ``recent=``), ``kv_state_bytes`` (what
        it takes for recurrent layers) and, for comparison, ``f16_bytes_per_token``."""
        return self._native.stats()

    def __repr__(self) -> str:
        return f"<throng.Model {self.name}: {self.identity}>"
