"""Where agents are: cells of a grid, places on a plane, or nodes of a network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Sequence, Union


class Pos(NamedTuple):
    """A cell of a grid, or a place on a plane, in metres. Wherever one is expected, a pair of numbers will do.

    >>> Pos(3, 4) == (3, 4), Pos(3, 4).x
    (True, 3)
    """

    x: float
    y: float


#: What ``pos`` is in each kind of space: a pair of integers, a pair of metres, or the number of a node.
Position = Union[Pos, "tuple[float, float]", int]


@dataclass(frozen=True)
class Plane:
    """A continuous plane from (0, 0) to (width, height), in metres; distances are Euclid's.

    A position is rounded to 1/256 m, so that distances, and with them every hash, are exact on all machines; messages
    about what is too far away count in these units. Radius and speed are metres, too, and need not be whole numbers.

    >>> Plane(120, 80.5).width
    120
    """

    width: float
    height: float

    @staticmethod
    def towards(start: tuple[float, float], target: tuple[float, float], metres: float) -> Pos:
        """From ``start`` straight on to ``target``, but ``metres`` at most: never too far, whatever is rounded.

        >>> Plane.towards((0, 0), (30, 40), 1.25)
        Pos(x=0.75, y=1.0)
        >>> Plane.towards((0, 0), (0, 1), 1.25)
        Pos(x=0, y=1)
        """
        dx, dy = target[0] - start[0], target[1] - start[1]
        length = math.sqrt(dx * dx + dy * dy)  # rounded alike everywhere, which hypot need not be
        if length <= metres:
            return Pos(*target)
        return Pos(start[0] + dx * metres / length, start[1] + dy * metres / length)


@dataclass(frozen=True)
class Network:
    """Who follows whom: ``follows[i]`` has the nodes that node ``i`` reads. A position is the number of a node.

    Nobody moves (``max_velocity`` is 0). An agent sees the agents at the nodes that it follows, and what is written
    there; with a ``perception_radius`` of more than 1, also those that these follow, hop by hop. It writes at its own
    node, so news go one hop a step. Whoever is followed never waits for followers.

    >>> Network([[1, 2], [2], []]).follows[0]
    [1, 2]
    """

    follows: Sequence[Sequence[int]]
