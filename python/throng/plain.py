"""Minds as runs keep them: plain data that cannot change."""

from __future__ import annotations

import dataclasses
import enum
import json
import sys
from typing import Any, Callable, NoReturn


class FrozenDict(dict):
    """A ``dict`` of a mind: it can be read, copied, pickled, written as JSON and matched, but not changed.

    ``|`` and ``copy()`` give an ordinary ``dict``; ``throng.thaw`` makes all of a mind changeable.

    >>> import json
    >>> mind = FrozenDict({"age": 3})
    >>> mind | {"age": 4}, json.dumps(mind)
    ({'age': 4}, '{"age": 3}')
    >>> mind["age"] = 4
    Traceback (most recent call last):
        ...
    TypeError: a mind is frozen; make a new one, {**mind, ...}, or throng.thaw(mind)
    """

    __slots__ = ()

    def _refuse(self, *arguments: Any, **named: Any) -> NoReturn:
        raise TypeError("a mind is frozen; make a new one, {**mind, ...}, or throng.thaw(mind)")

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = _refuse  # type: ignore[assignment]

    def __ior__(self, other: Any) -> dict:  # type: ignore[override,misc]
        return self | other

    def __copy__(self) -> FrozenDict:
        return self

    def __deepcopy__(self, memo: Any) -> FrozenDict:
        return self

    def __reduce__(self) -> tuple[type, tuple[dict]]:
        return FrozenDict, (dict(self),)


def thaw(mind: Any) -> Any:
    """A copy of a mind, or of a part of it, that can be changed: lists for tuples, and ordinary dicts.

    Named tuples and dataclasses keep their class; keys of dicts stay as they are.

    >>> mind = thaw(FrozenDict({"plans": ("wake up",)}))
    >>> mind["plans"].append("eat")
    >>> mind
    {'plans': ['wake up', 'eat']}
    """
    if isinstance(mind, dict):
        return {key: thaw(value) for key, value in mind.items()}
    if isinstance(mind, tuple):
        make: Callable = getattr(mind, "_make", list)
        return make(map(thaw, mind))
    if dataclasses.is_dataclass(mind) and not isinstance(mind, type):
        fields = {field.name: getattr(mind, field.name) for field in dataclasses.fields(mind)}
        thawed = {name: thaw(value) for name, value in fields.items()}
        changes = {name: value for name, value in thawed.items() if value is not fields[name]}
        return dataclasses.replace(mind, **changes) if changes else mind
    return mind


def write(mind: Any) -> str:
    """A mind as text, for snapshots in journals: what ``read`` makes the same mind of.

    Numbers are exact, and classes are named. Raises ``ValueError`` for a class that its name does not lead to, such as
    one that is defined in a function.
    """
    return json.dumps(_to_lists(mind), separators=(",", ":"))


def read(text: str) -> Any:
    """The mind that ``write`` wrote. It makes no objects but plain data, of classes that are loaded, and calls none of
    their code. Raises ``ValueError`` for anything else."""
    try:
        return _from_lists(json.loads(text))
    except (TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise ValueError(f"it is no mind ({error})") from error


def _to_lists(value: Any) -> Any:
    """Data that JSON can hold: texts, None, True and False as they are, all else a list that begins with its kind."""
    if value is None or isinstance(value, bool) or type(value) is str:
        return value
    if isinstance(value, enum.Enum):
        return ["enum", *_name_of(type(value)), value.name]
    if isinstance(value, int):
        return ["int", str(value)]
    if isinstance(value, float):
        return ["float", value.hex()]
    if isinstance(value, bytes):
        return ["bytes", value.hex()]
    if isinstance(value, dict):
        return ["dict", *([_to_lists(key), _to_lists(item)] for key, item in value.items())]
    if isinstance(value, tuple):
        kind = ["tuple"] if type(value) is tuple else ["named", *_name_of(type(value))]
        return [*kind, *map(_to_lists, value)]
    return ["class", *_name_of(type(value)),
            *(_to_lists(getattr(value, field.name)) for field in dataclasses.fields(value))]


def _from_lists(value: Any) -> Any:
    if value is None or isinstance(value, (bool, str)):
        return value
    if not isinstance(value, list):
        raise ValueError(f"{value!r}: it is no mind")
    kind, *rest = value
    if kind == "int":
        return int(rest[0])
    if kind == "float":
        return float.fromhex(rest[0])
    if kind == "bytes":
        return bytes.fromhex(rest[0])
    if kind == "dict":
        return FrozenDict({_from_lists(key): _from_lists(item) for key, item in rest})
    if kind == "tuple":
        return tuple(map(_from_lists, rest))
    found = _class_of(*rest[:2])
    if kind == "enum" and issubclass(found, enum.Enum):
        return found[rest[2]]
    if kind == "named" and issubclass(found, tuple):
        return tuple.__new__(found, map(_from_lists, rest[2:]))
    if kind == "class" and dataclasses.is_dataclass(found):
        made: Any = object.__new__(found)
        for field, item in zip(dataclasses.fields(found), rest[2:], strict=True):
            object.__setattr__(made, field.name, _from_lists(item))
        return made
    raise ValueError(f"{kind} {found.__qualname__}: it is no mind")


def _name_of(found: type) -> tuple[str, str]:
    name = found.__module__, found.__qualname__
    if _class_of(*name) is not found:
        raise ValueError(f"there is another {found.__qualname__} in {found.__module__}")
    return name


def _class_of(module: str, name: str) -> type:
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, type):
        raise ValueError(f"there is no class {name} in {module}")
    return found
