"""Small spaces of values, for ``throng.Env`` where gymnasium is not installed: with its names, ``sample`` and
``contains``."""

from __future__ import annotations

import random
import string
from typing import Any, Mapping


class Space:
    """A set of values that can be sampled."""

    def __init__(self, shape: Any = None, dtype: Any = None, seed: int | None = None) -> None:
        self._random = random.Random(seed)

    def seed(self, seed: int | None = None) -> None:
        self._random.seed(seed)

    def sample(self) -> Any:
        raise NotImplementedError

    def contains(self, x: Any) -> bool:
        raise NotImplementedError

    def __contains__(self, x: Any) -> bool:
        return self.contains(x)


class Discrete(Space):
    """The integers from ``start`` to ``start + n - 1``.

    >>> 2 in Discrete(3), 3 in Discrete(3), Discrete(1).sample()
    (True, False, 0)
    """

    def __init__(self, n: int, seed: int | None = None, start: int = 0) -> None:
        super().__init__(seed=seed)
        self.n = n
        self.start = start

    def sample(self) -> int:
        return self.start + self._random.randrange(self.n)

    def contains(self, x: Any) -> bool:
        return isinstance(x, int) and self.start <= x < self.start + self.n

    def __repr__(self) -> str:
        return f"Discrete({self.n})"


class Text(Space):
    """Texts of ``min_length`` to ``max_length`` characters of ``charset``.

    >>> "hello" in Text(5), "hello!" in Text(5), Text(3).sample() in Text(3)
    (True, False, True)
    """

    def __init__(self, max_length: int, *, min_length: int = 1, charset: str = string.ascii_letters + string.digits,
                 seed: int | None = None) -> None:
        super().__init__(seed=seed)
        self.min_length = min_length
        self.max_length = max_length
        self.characters = charset

    def sample(self) -> str:
        length = self._random.randint(self.min_length, self.max_length)
        return "".join(self._random.choice(self.characters) for _ in range(length))

    def contains(self, x: Any) -> bool:
        return (isinstance(x, str) and self.min_length <= len(x) <= self.max_length
                and all(character in self.characters for character in x))

    def __repr__(self) -> str:
        return f"Text({self.min_length}, {self.max_length})"


class Dict(Space):
    """Dicts with the keys of ``spaces``, each with a value of its space.

    >>> space = Dict({"move": Discrete(4), "say": Text(20)})
    >>> {"move": 1, "say": "hello"} in space, {"move": 1} in space, space.sample() in space
    (True, False, True)
    """

    def __init__(self, spaces: Mapping[str, Space], seed: int | None = None) -> None:
        super().__init__(seed=seed)
        self.spaces = dict(spaces)
        self.seed(seed)

    def seed(self, seed: int | None = None) -> None:
        for number, space in enumerate(self.spaces.values()):
            space.seed(None if seed is None else seed + number)

    def sample(self) -> dict[str, Any]:
        return {key: space.sample() for key, space in self.spaces.items()}

    def contains(self, x: Any) -> bool:
        return (isinstance(x, dict) and x.keys() == self.spaces.keys()
                and all(space.contains(x[key]) for key, space in self.spaces.items()))

    def __getitem__(self, key: str) -> Space:
        return self.spaces[key]

    def __repr__(self) -> str:
        return f"Dict({self.spaces})"
