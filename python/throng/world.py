"""Worlds and what they are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generator, Iterable, Mapping, NamedTuple, Sequence

from .space import Network, Plane, Pos, Position

if TYPE_CHECKING:
    from ._native import Change, Commit, View


class Agent(NamedTuple):
    """What an agent is at the start of a step. To describe a new world, give ``name`` and ``pos``, and what it is
    doing and knows:

    >>> Agent("Ann", Pos(3, 4), status="asleep", mind={"plans": ["wake up"]}).name
    'Ann'

    - ``pos``, ``status``: what others see of it
    - ``mind``: what only it knows: plain data (None, bool, int, float, str, bytes, lists, tuples, dicts, enums,
      named tuples, frozen dataclasses). It is frozen: lists become tuples, and dicts read-only. To change it, an
      agent gives a new one.
    - ``id``: counts the agents of the world from 0; set by the run
    - ``intent``: in ``World.resolve``, what ``World.proceed`` returned
    - ``present``: whether it is there; in ``World.agents``, False for an id that is free for a birth or an arrival
    - ``perception_radius``, ``max_velocity``: its own, where they differ from those of the ``World``; in a step, those
      that it has
    """

    name: str
    pos: Position
    status: str = ""
    mind: Any = None
    id: int | None = None
    intent: Any = None
    present: bool = True
    perception_radius: float | None = None
    max_velocity: float | None = None


class Neighbour(NamedTuple):
    """What an agent sees of another one; made by ``View.neighbours``.

    >>> Neighbour(1, "Ben", Pos(0, 0), "reading").status
    'reading'
    """

    id: int
    name: str
    pos: Position
    status: str


@dataclass(frozen=True)
class Call:
    """A question to the language model; ``yield`` it in ``World.proceed`` or ``World.resolve`` to get the answer, a
    ``Completion``. Several at once: yield a list, get a list.

    - ``choices``: the answer is exactly one of these; ``json_schema`` (a dict or text): JSON that fits it
    - ``function``: what the call is for, a word for statistics and journals
    - ``agent``: who asks; needed in ``World.resolve`` only

    >>> Call("Where to?", choices=["home", "work"], max_tokens=8).choices
    ['home', 'work']
    """

    prompt: str
    choices: Sequence[str] = ()
    json_schema: Any = None
    max_tokens: int = 128
    temperature: float = 0.0
    system: str = ""
    stop: Sequence[str] = ()
    function: str = "ask"
    agent: int | None = None
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0


class _Unchanged:
    """The mind stays as it is: None is a mind, too."""

    def __repr__(self) -> str:
        return "UNCHANGED"


UNCHANGED: Any = _Unchanged()


@dataclass(frozen=True)
class Intent:
    """What an agent wants to do, in the form that ``World.resolve`` understands unless a world has its own.

    - ``pos``, ``status``, ``mind``: what it becomes; what is not given stays
    - ``write``: texts for cells, by position
    - ``events``: lines of the chronicle, ``(kind, text)``

    >>> Intent(pos=(3, 5), status="walking", write={(3, 4): "footprints"}, events=[("move", "to the park")]).status
    'walking'
    """

    pos: Position | None = None
    status: str | None = None
    mind: Any = UNCHANGED
    write: Mapping[Position, str] = field(default_factory=dict)
    events: Sequence[tuple[str, str]] = ()


class World:
    """A space, its agents, and what they do; derive from it.

    A step of one cluster (agents so near each other that they could affect each other in this step) goes so:
    every member's ``proceed`` reads the start of the step and returns what it wants to do; then ``resolve`` turns
    all this into writes, which are seen from the next step on. Agents that are far from each other need not be
    at the same step: to keep every mode's result the same, both methods must depend on their arguments alone.
    Nothing that they change on ``self`` or elsewhere may be read later, and chance comes from ``view.random``.

    >>> import throng
    >>> class Walkers(throng.World):
    ...     width, height = 20, 10
    ...     perception_radius = 3
    ...
    ...     def agents(self):
    ...         return [throng.Agent("Ann", (2, 5)), throng.Agent("Ben", (12, 5))]
    ...
    ...     def proceed(self, view, agent):
    ...         answer = yield throng.Call(f"{agent.name} is at {agent.pos}.", choices=["left", "right"])
    ...         x = agent.pos.x + (1 if answer == "right" else -1)
    ...         return throng.Intent(pos=(min(max(x, 0), 19), agent.pos.y), status="walking " + answer)
    >>> result = throng.run(Walkers(), llm="fake", steps=5)
    >>> result.calls, result.agents[0].status.startswith("walking")
    (10, True)
    """

    #: In journals and messages; None: the name of the class.
    name: str | None = None
    #: A ``throng.Plane`` or a ``throng.Network``; None: a grid, of which the next three are.
    space: Plane | Network | None = None
    #: Cells are (0, 0) to (width - 1, height - 1).
    width: int = 64
    height: int = 64
    #: How distances are measured: "chebyshev" (a king's moves), "manhattan" or "euclid".
    metric: str = "chebyshev"
    #: How far an agent sees, in cells, metres or hops; ``Agent`` may have its own. None: 4, on networks 1.
    perception_radius: float | None = None
    #: How far anything moves, or is written from where an agent stands, in one step; ``Agent`` may have its own. None:
    #: 1, on networks 0.
    max_velocity: float | None = None
    #: What ``commit.announce`` says is heard so many steps later, and no two agents are further apart than that; 0:
    #: nobody announces anything.
    horizon: int = 0

    def agents(self) -> Iterable[Agent]:
        """Those who live here, as they are before step 0; an agent's id is its place in this list."""
        raise NotImplementedError(f"{type(self).__name__} needs a method agents() that returns a list of throng.Agent")

    def proceed(self, view: View, agent: Agent) -> Generator[Call | list[Call], Any, Any] | Any:
        """One step of one agent: returns what it wants to do, an ``Intent``, a list of them or None; with a
        ``resolve`` of your own, anything. To ask the language model, write a generator that yields calls; a
        function that does not yield is fine, too.

        Example::

            def proceed(self, view, agent):
                others = ", ".join(other.name for other in view.neighbours())
                answer = yield throng.Call(f"You see {others}. Greet them?", choices=["yes", "no"])
                return throng.Intent(status="waving" if answer == "yes" else "")
        """
        raise NotImplementedError(f"{type(self).__name__} needs a method proceed(view, agent)")

    def resolve(self, step: int, members: list[Agent], commit: Commit) -> Generator[Call | list[Call], Any, None] | None:
        """Turns the intents of a cluster into writes; ``members`` are ordered by id. This one writes what each
        ``Intent`` says. A world in which intents can be in conflict (two agents, one chair) has its own; it may
        yield calls (conversations), each with the ``agent`` that asks.

        Example::

            def resolve(self, step, members, commit):
                taken = set()
                for agent in members:
                    if agent.intent not in taken:
                        commit.move(agent, agent.intent)
                        taken.add(agent.intent)
        """
        for agent in members:
            for intent in _as_list(agent):
                if intent.pos is not None:
                    commit.move(agent, intent.pos)
                if intent.status is not None:
                    commit.set_status(agent, intent.status)
                if intent.mind is not UNCHANGED:
                    commit.set_mind(agent, intent.mind)
                for pos, text in intent.write.items():
                    commit.write(pos, text)
                for kind, text in intent.events:
                    commit.event(agent, kind, text)

    def links(self) -> Iterable[tuple[int, int, int]]:
        """Dependencies that distances do not show: ``(step, agent, agent)``, two that run this step together
        however far apart they are."""
        return []

    def barriers(self) -> Iterable[int]:
        """Steps, ascending, that no agent begins before all have reached them. In the step before one, agents may
        jump any distance."""
        return []

    def announcements(self) -> Iterable[tuple[int, str]]:
        """What all agents are told from some step on, and is known from the start: ``(step, text)``."""
        return []

    def intervene(self, change: Change, what: str) -> None:
        """Lets one of the ``events`` of ``throng.run`` happen: all agents have done the steps before it, none has begun
        it. ``what`` is in this world's own words; what the state makes impossible is to be passed over.

        Example::

            def intervene(self, change, what):
                if what == "Ben arrives" and not change.is_present(1):
                    change.add(1, pos=(0, 0), mind="new here")
        """
        raise NotImplementedError(f"{type(self).__name__} needs a method intervene(change, what) for events")

    def parameters(self) -> Any:
        """What else the world depends on, as plain data: a journal does not go on with a world whose parameters
        are others."""
        return None


def _as_list(agent: Agent) -> Sequence[Intent]:
    intent = agent.intent
    if intent is None:
        return ()
    intents = intent if isinstance(intent, (list, tuple)) else (intent,)
    for one in intents:
        if not isinstance(one, Intent):
            raise TypeError(f"proceed of agent {agent.id} ({agent.name}) returned {one!r}; World.resolve understands "
                            "throng.Intent, a list of them, or None")
    return intents
