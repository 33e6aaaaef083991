"""Spaces for agents: cells of a grid, places on a plane, or nodes of a network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Sequence, Union


class Pos(NamedTuple):
    """A cell of a grid, or a place on a plane in metres. A plain pair of numbers works wherever one is expected.

    >>> Pos(3, 4) == (3, 4), Pos(3, 4).x
    (True, 3)
    """

    x: float
    y: float


Pos.x.__doc__ = "The column, or metres to the right."
Pos.y.__doc__ = "The row, or metres down."

#: What ``pos`` is in each kind of space: a pair of integers, a pair of metres, or the number of a node.
Position = Union[Pos, "tuple[float, float]", int]


@dataclass(frozen=True)
class Plane:
    """A continuous plane from (0, 0) to (``width``, ``height``), in metres, with Euclidean distances.

    Positions are rounded to 1/256 m, so distances and hashes are exact on all machines. Error messages about
    distances count in these units. Radius and speed are in metres and need not be whole numbers.

    >>> Plane(120, 80.5).width
    120
    """

    width: float
    height: float

    @staticmethod
    def towards(start: tuple[float, float], target: tuple[float, float], metres: float) -> Pos:
        """Goes from ``start`` straight towards ``target``, by at most ``metres``. Rounding never makes it longer.

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
    """Who follows whom (``follows``): ``follows[i]`` lists the nodes that node ``i`` reads. A position is the number of a node.

    Nobody moves (``max_velocity`` is 0). An agent sees the agents at the nodes it follows and what is written there.
    With a ``perception_radius`` above 1 it also sees the nodes that these follow, hop by hop. It writes only at its
    node, so news travel one hop per step. An agent never waits for its followers.

    >>> Network([[1, 2], [2], []]).follows[0]
    [1, 2]
    """

    follows: Sequence[Sequence[int]]
