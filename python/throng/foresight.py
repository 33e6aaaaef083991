"""What an agent can say about its coming steps."""

from __future__ import annotations

from typing import NamedTuple

from .space import Position


class Lookahead(NamedTuple):
    """A promise of an agent, made in ``World.declare``: at the start of all steps up to ``until`` it is in the box from
    ``low`` to ``high``, and before ``until`` it writes cells only inside that box.

    >>> Lookahead(until=96, low=(3, 4), high=(3, 4)).until
    96
    """

    until: int
    low: Position
    high: Position


Lookahead.until.__doc__ = "The step up to which the promise holds; at or before the agent's next step: no promise."
Lookahead.low.__doc__ = "The corner of the box with the smaller coordinates."
Lookahead.high.__doc__ = "The corner of the box with the larger coordinates."


class Expectation(NamedTuple):
    """Where an agent will probably be, and doing what: a guess, made in ``World.expect``.

    >>> Expectation((9, 4), "at work", planned=True).planned
    True
    """

    pos: Position
    status: str = ""
    planned: bool = False


Expectation.pos.__doc__ = "Its position."
Expectation.status.__doc__ = "Its status."
Expectation.planned.__doc__ = "Whether its plans (a schedule, a path it is on) reach that far."
