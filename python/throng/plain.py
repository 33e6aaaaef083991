"""Minds as runs keep them: plain data that cannot change."""

from __future__ import annotations

import dataclasses
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
