"""Worlds, agents, calls and intents."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generator, Iterable, Mapping, NamedTuple, Sequence

from .space import Network, Plane, Pos, Position

if TYPE_CHECKING:
    from ._native import Change, Commit, View


class Agent(NamedTuple):
    """An agent at the start of a step. ``World.agents`` gives at least its ``name`` and ``pos``:

    >>> Agent("Ann", Pos(3, 4), status="asleep", mind={"plans": ["wake up"]}).name
    'Ann'

    - ``pos``, ``status``: what others see of it
    - ``mind``: what only the agent knows, as plain data (None, bool, int, float, str, bytes, lists, tuples, dicts,
      enums, named tuples, frozen dataclasses). It is frozen: lists become tuples, and dicts read-only. To change it,
      return a new one in an ``Intent``.
    - ``id``: the agent's index in the world, from 0; set by the run
    - ``intent``: in ``World.resolve``, what ``World.proceed`` returned
    - ``present``: whether it is there; in ``World.agents``, False for an id that is free for a birth or an arrival
    - ``perception_radius``, ``max_velocity``: in ``World.agents``, None for those of the ``World``; in a step, the
      agent's values
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
    """What an agent sees of another agent; made by ``View.neighbours``.

    >>> Neighbour(1, "Ben", Pos(0, 0), "reading").status
    'reading'
    """

    id: int
    name: str
    pos: Position
    status: str


@dataclass(frozen=True)
class Call:
    """A question to the language model.

    ``yield`` it in ``World.proceed`` or ``World.resolve`` to get the answer, a ``Completion``. Yield a list to ask
    several at once; the answers come as a list.

    - ``choices``: the answer is exactly one of these
    - ``json_schema``: a dict or JSON text; the answer conforms to it
    - ``function``: a word for what the call does, used in statistics and journals
    - ``agent``: who asks; needed only in ``World.resolve``

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
    """Keeps the mind as it is. None would not do: it is a valid mind."""

    def __repr__(self) -> str:
        return "UNCHANGED"


UNCHANGED: Any = _Unchanged()


@dataclass(frozen=True)
class Intent:
    """What an agent wants to do. The default ``World.resolve`` understands it; a world may use another form.

    - ``pos``, ``status``, ``mind``: the agent's new values; those not given stay as they are
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
    """A space, its agents, and what they do. Derive your world from it.

    A cluster is a set of agents near enough to affect each other in a step. In each step of a cluster, every
    member's ``proceed`` reads the start of the step and returns what the agent wants to do. Then ``resolve`` turns
    these intents into writes, which are visible from the next step on.

    Agents far from each other may be at different steps. For the result to be the same in every mode, both methods
    must depend on their arguments alone: do not read anything that an earlier step changed on ``self`` or elsewhere,
    and draw random numbers from ``view.random``.

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

    #: The name in journals and messages; None: the name of the class.
    name: str | None = None
    #: A ``throng.Plane`` or a ``throng.Network``; None: a grid, described by the next three attributes.
    space: Plane | Network | None = None
    #: Cells are (0, 0) to (width - 1, height - 1).
    width: int = 64
    height: int = 64
    #: How distances are measured: "chebyshev" (a king's moves), "manhattan" or "euclid".
    metric: str = "chebyshev"
    #: How far an agent sees, in cells, metres or hops; an ``Agent`` may override it. None: 4, on networks 1.
    perception_radius: float | None = None
    #: How far an agent moves or writes in one step, from where it stands; an ``Agent`` may override it. None: 1, on
    #: networks 0.
    max_velocity: float | None = None
    #: The number of steps after which ``commit.announce`` is heard. No two agents are further apart than that. 0:
    #: nobody announces anything.
    horizon: int = 0

    def agents(self) -> Iterable[Agent]:
        """The agents as they are before step 0. An agent's id is its index in this list."""
        raise NotImplementedError(f"{type(self).__name__} needs a method agents() that returns a list of throng.Agent")

    def proceed(self, view: View, agent: Agent) -> Generator[Call | list[Call], Any, Any] | Any:
        """One step of one agent. Returns what it wants to do: an ``Intent``, a list of them, or None.

        With a custom ``resolve`` it may return anything. To ask the language model, write a generator that yields
        calls; without calls, an ordinary function is enough.

        Example::

            def proceed(self, view, agent):
                others = ", ".join(other.name for other in view.neighbours())
                answer = yield throng.Call(f"You see {others}. Greet them?", choices=["yes", "no"])
                return throng.Intent(status="waving" if answer == "yes" else "")
        """
        raise NotImplementedError(f"{type(self).__name__} needs a method proceed(view, agent)")

    def resolve(self, step: int, members: list[Agent], commit: Commit) -> Generator[Call | list[Call], Any, None] | None:
        """Turns the intents of a cluster into writes; ``members`` are ordered by id.

        The default writes what each ``Intent`` says. Override it if intents can conflict (two agents, one chair). It
        may yield calls (conversations), each with the ``agent`` that asks.

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
        """Dependencies that distances do not show: ``(step, agent, agent)``. The two agents run this step together,
        however far apart they are."""
        return []

    def barriers(self) -> Iterable[int]:
        """Steps, ascending, that no agent begins before all have reached them. In the step before a barrier, agents
        may jump any distance."""
        return []

    def announcements(self) -> Iterable[tuple[int, str]]:
        """Announcements known from the start: ``(step, text)``. All agents hear the text from that step on."""
        return []

    def intervene(self, change: Change, what: str) -> None:
        """Applies one of the ``events`` of ``throng.run``. All agents have done the steps before it, and none has begun
        it. ``what`` is the event's text, in words that this world defines. Ignore what the state makes impossible.

        Example::

            def intervene(self, change, what):
                if what == "Ben arrives" and not change.is_present(1):
                    change.add(1, pos=(0, 0), mind="new here")
        """
        raise NotImplementedError(f"{type(self).__name__} needs a method intervene(change, what) for events")

    def observe(self, view: View, agent: Agent) -> Any:
        """What ``throng.Env`` shows the caller of an agent, at the start of a step. The default: a dict of its own
        state and its neighbours."""
        return {"step": view.step, "name": agent.name, "pos": agent.pos, "status": agent.status, "mind": agent.mind,
                "neighbours": view.neighbours()}

    def act(self, view: View, agent: Agent, action: Any) -> Generator[Call | list[Call], Any, Any] | Any:
        """One step of an agent for which ``throng.Env`` was given an action: runs instead of ``proceed`` and returns
        what that would. The default takes a text as the new status, and anything else, such as an ``Intent``, as it is.

        Example::

            def act(self, view, agent, action):
                dx, dy = ((1, 0), (0, 1), (-1, 0), (0, -1))[action]
                return throng.Intent(pos=(agent.pos.x + dx, agent.pos.y + dy))
        """
        return Intent(status=action) if isinstance(action, str) else action

    def reward(self, before: Agent, after: Agent) -> float:
        """What ``throng.Env`` rewards an agent with for a step, given its states before and after it."""
        return 0.0

    def observation_space(self, agent: Agent) -> Any:
        """The space of what ``observe`` returns, for ``throng.Env``. None: that of the default."""
        return None

    def action_space(self, agent: Agent) -> Any:
        """The space of the actions that ``act`` takes, for ``throng.Env``. None: texts."""
        return None

    def parameters(self) -> Any:
        """Everything else the world depends on, as plain data. A journal cannot be resumed with a world whose
        parameters differ."""
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
