"""What a journal keeps of a world beside its run: its class, what it was made with, and its source."""

from __future__ import annotations

import json
import linecache
import os
import re
import sys
import types
from typing import Any

from .world import World

_LONGEST_VALUE = 400  # characters of an attribute


def manifest_of(world: World) -> dict[str, str]:
    """The values of a journal's manifest that tell of a world."""
    made = {name: _to_json(value) for name, value in vars(world).items()}
    if type(world).parameters is not World.parameters:
        made["parameters()"] = _to_json(world.parameters())
    manifest = {"class": f"{type(world).__module__}.{type(world).__qualname__}",
                "parameters": json.dumps(made, ensure_ascii=False, default=_describe) if made else "",
                "python": ".".join(map(str, sys.version_info[:3]))}
    return {key: _to_utf8(text) for key, text in manifest.items()}


def sources_of(world: type) -> dict[str, str]:
    """The texts of the files, or cells of a notebook, that define a class and those it derives from, by name, and its
    own first; what was typed at a prompt has none."""
    sources: dict[str, str] = {}
    for base in world.__mro__:
        if base is object or base.__module__.partition(".")[0] == "throng":
            continue
        name = _file_of(base)
        linecache.checkcache(name)
        text = "".join(linecache.getlines(name))
        if text:
            name = os.path.abspath(name) if os.path.exists(name) else name
            sources.setdefault(_to_utf8(name), _to_utf8(text))
    return sources


def _file_of(world: type) -> str:
    name: str = getattr(sys.modules.get(world.__module__), "__file__", None) or ""
    methods = (value for value in vars(world).values() if isinstance(value, types.FunctionType))
    return name or next((method.__code__.co_filename for method in methods), "")


def _to_json(value: Any) -> Any:
    """Data that JSON can hold: the value, else text."""
    try:
        text = json.dumps(value, default=_describe)
    except Exception:  # keys that are no texts, cycles
        value = text = str(_describe(value))
    return value if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}... ({len(text)} characters)"


def _describe(value: Any) -> Any:
    try:
        if isinstance(value, (set, frozenset)):
            return sorted(value, key=repr)
        return re.sub(r" at 0x[0-9a-f]+", "", repr(value))  # an address says nothing
    except Exception:  # whatever a __repr__ raises
        return type(value).__qualname__


def _to_utf8(text: str) -> str:
    """Halves of surrogate pairs become escapes."""
    return text.encode("utf-8", "backslashreplace").decode()
