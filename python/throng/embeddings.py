"""What turns texts into embeddings, for ``throng.Embed``."""

from __future__ import annotations

import json
import math
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Callable, Sequence, Union

from . import _native
from .effects import FunctionTool
from .model import Model

#: A Model, the address of a server that answers /v1/embeddings ("http://localhost:8080/v1?model=NAME"), or a function from
#: a list of texts to the list of their embeddings.
Embedder = Union[Model, str, Callable[[Sequence[str]], Sequence[Sequence[float]]]]

_TIMEOUT_SECONDS = 300.0
_PAUSES = (0.5, 2.0, 8.0)  # seconds before a server that is away or busy is asked again


def tool_of(embedder: Embedder | None) -> list[FunctionTool]:
    """The tool that embeds texts; none: nobody does."""
    if embedder is None:
        return []
    if isinstance(embedder, Model):
        embed: Callable[[Sequence[str]], Sequence[Sequence[float]]] = embedder.embed
    elif isinstance(embedder, str):
        embed = _Server(embedder).embed
    elif callable(embedder):
        embed = embedder
    else:
        raise _native.Error(f"embed={embedder!r}: allowed: a throng.Model, the address of a server, or a function")

    return [EmbedTool(embed)]


class EmbedTool(FunctionTool):
    """Embeds texts, and sees to it that all embeddings have one length."""

    def __init__(self, embed: Callable[[Sequence[str]], Sequence[Sequence[float]]]) -> None:
        self._embed = embed
        self._length: int | None = None  # of the embeddings before
        self._whose = "others"
        super().__init__(self._checked, "embed", "pure", math.inf)

    def expect(self, length: int, journal: str) -> None:
        """Says what length those have that a journal keeps, with which the others will be compared."""
        self._length, self._whose = length, f"those in journal {journal}"

    def _checked(self, texts: Sequence[str]) -> list[list[float]]:
        vectors = [[float(number) for number in vector] for vector in self._embed(texts)]
        if len(vectors) != len(texts):
            raise _native.Error(f"{len(vectors)} embeddings of {len(texts)} texts; allowed: one of each")
        for vector in vectors:
            if not all(map(math.isfinite, vector)):
                raise _native.Error("an embedding has something that is no number")
            if self._length is None:
                self._length = len(vector)
            if len(vector) != self._length:
                raise _native.Error(f"an embedding has {len(vector)} numbers, but {self._whose} have {self._length}, and "
                                    "only those of one model can be compared")
        return vectors


class _Server:
    """A server with OpenAI's API."""

    def __init__(self, address: str) -> None:
        parts = urllib.parse.urlsplit(address)
        options = dict(urllib.parse.parse_qsl(parts.query))
        self._model = options.pop("model", None)
        if parts.scheme not in ("http", "https") or not parts.netloc or options:
            raise _native.Error(f"embed={address!r}: allowed: a throng.Model, a function, or the address of a server, such "
                                "as http://localhost:8080/v1?model=NAME")
        path = parts.path.rstrip("/") or "/v1"
        self._url = f"{parts.scheme}://{parts.netloc}{path}/embeddings"

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        asked: dict[str, object] = {"input": list(texts)}
        if self._model:
            asked["model"] = self._model
        reply = self._post(asked)
        try:
            return [item["embedding"] for item in sorted(reply["data"], key=lambda item: item["index"])]
        except (KeyError, TypeError):
            raise _native.Error(f"{self._url}: its reply is not a list `data` of embeddings, each with an `index`") from None

    def _post(self, asked: dict) -> dict:
        key = os.environ.get("THRONG_API_KEY") or os.environ.get("OPENAI_API_KEY")
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
        request = urllib.request.Request(self._url, json.dumps(asked).encode(), headers)
        for pause in (*_PAUSES, None):
            try:
                with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as reply:
                    answer: dict = json.load(reply)
                    return answer
            except urllib.error.HTTPError as error:
                why = f"{error.code}: {error.read(500).decode(errors='replace')}"
                if pause is None or error.code not in (429, 500, 502, 503, 504):
                    raise _native.Error(f"{self._url}: {why}") from None
            except (OSError, ValueError) as error:
                if pause is None:
                    raise _native.Error(f"{self._url}: {error}") from None
            time.sleep(pause)
        raise AssertionError("unreachable")
