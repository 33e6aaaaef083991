"""Worlds, agents and intents."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Collection, Generator, Iterable, Mapping, NamedTuple, Sequence, Union

from ._native import Error
from .calls import Call
from .foresight import Expectation, Lookahead
from .space import Network, Plane, Pos, Position

if TYPE_CHECKING:
    from ._native import Change, Commit, View
    from .effects import Ask, CommandTool, Embed, FunctionTool, Tool
    from .mcp import McpServer
    from .posts import Post, PostId

    Awaited = Union["Call", Tool, Ask, Embed]  # what a step may yield


class Agent(NamedTuple):
    """An agent at the start of a step. ``World.agents`` gives at least its ``name`` and ``pos``:

    >>> Agent("Ann", Pos(3, 4), status="asleep", mind={"plans": ["wake up"]}).name
    'Ann'

    - ``pos``, ``status``: what others see of it
    - ``mind``: what only the agent knows, as plain data (None, bool, int, float, str, bytes, lists, tuples, dicts,
      enums, named tuples, frozen dataclasses). It is frozen: lists become tuples, and dicts a ``FrozenDict``. To change
      it, return a new one in an ``Intent``; ``throng.thaw`` makes a copy that can be changed.
    - ``id``: the agent's index in the world, from 0; set by the run
    - ``intent``: in ``World.resolve``, what ``World.proceed`` returned
    - ``present``: whether it is there; in ``World.agents``, False for an id that is free for a birth or an arrival
    - ``perception_radius``, ``max_velocity``: in ``World.agents``, None for those of the ``World``; in a step, the
      agent's values
    - ``follows``: the ids of those whose posts it reads, in a world with posts; ``Intent.follow`` changes it
    """

    name: str
    pos: Any  # a Position: which one, the world's space says
    status: str = ""
    mind: Any = None
    id: int = None  # type: ignore[assignment]  # in a run nobody is without
    intent: Any = None
    present: bool = True
    perception_radius: float | None = None
    max_velocity: float | None = None
    follows: Collection[int] = ()


class Neighbour(NamedTuple):
    """What an agent sees of another agent; made by ``View.neighbours``.

    >>> Neighbour(1, "Ben", Pos(0, 0), "reading").status
    'reading'
    """

    id: int
    name: str
    pos: Any  # a Position, as of an Agent
    status: str


Neighbour.id.__doc__ = "Its index in the world."
Neighbour.name.__doc__ = "Its name."
Neighbour.pos.__doc__ = "Where it was at the start of the step."
Neighbour.status.__doc__ = "What it was doing then."


class _Unchanged:
    """Keeps the mind as it is. None would not do: it is a valid mind."""

    def __repr__(self) -> str:
        return "UNCHANGED"

    def __reduce__(self) -> str:
        return "UNCHANGED"  # pickled and copied by name: it is compared with `is`


UNCHANGED: Any = _Unchanged()


@dataclass(frozen=True)
class Intent:
    """What an agent wants to do. The default ``World.resolve`` understands it; a world may use another form.

    - ``pos``, ``status``, ``mind``: the agent's new values; those not given stay as they are
    - ``write``: texts for cells, by position
    - ``events``: lines of the chronicle, ``(kind, text)``
    - ``sleep_until``: a step before which the agent does nothing: ``proceed`` is not called for it, its intent in
      ``resolve`` is None, and a cluster that sleeps as a whole costs no time in Python. Whoever changes its mind, in
      ``resolve`` or ``intervene``, wakes it; so does another agent in its perception radius, or a message, if it is
      ``alert``.
    - ``posts``: texts that its followers will read; ``likes``: posts that it likes; ``messages``: ``(to, text)``;
      ``follow``, ``unfollow``: whose posts it reads from its next step on, or no longer; ``announce``: texts that all
      will hear. ``World`` says when.

    >>> Intent(pos=(3, 5), status="walking", write={(3, 4): "footprints"}, events=[("move", "to the park")]).status
    'walking'
    """

    pos: Position | None = None
    status: str | None = None
    mind: Any = UNCHANGED
    write: Mapping[Position, str] = field(default_factory=dict)
    events: Sequence[tuple[str, str]] = ()
    sleep_until: int | None = None
    alert: bool = False
    posts: Collection[str] = ()
    likes: Collection[Post | PostId] = ()
    messages: Collection[tuple[Agent | int, str]] = ()
    follow: Collection[Agent | int] = ()
    unfollow: Collection[Agent | int] = ()
    announce: Collection[str] = ()


class World:
    """A space, its agents, and what they do. Derive your world from it.

    A cluster is a set of agents near enough to affect each other in a step. In each step of a cluster, every
    member's ``proceed`` reads the start of the step and returns what the agent wants to do. Then ``resolve`` turns
    these intents into writes, which are visible from the next step on.

    Agents far from each other may be at different steps. For the result to be the same in every mode, both methods
    must depend on their arguments alone: do not read anything that an earlier step changed on ``self`` or elsewhere,
    and draw random numbers from ``view.random``.

    Attributes that a world sets:

    - ``name``: in journals and messages; None: the name of the class
    - ``space``: a ``throng.Plane`` or a ``throng.Network``; None: a grid, of the next three
    - ``width``, ``height``: cells are (0, 0) to (width - 1, height - 1)
    - ``metric``: how distances are measured: "chebyshev" (a king's moves), "manhattan" or "euclid"
    - ``perception_radius``: how far an agent sees, in cells, metres or hops; an ``Agent`` may override it. None: 4, on
      networks 1.
    - ``max_velocity``: how far an agent moves or writes in one step, from where it stands; an ``Agent`` may override it.
      None: 1, on networks 0.
    - ``tools``: what agents use with ``throng.Tool``: functions that ``throng.tool`` has made tools, commands
      (``throng.CommandTool``) and servers (``throng.McpServer``)
    - ``horizon``: the number of steps after which announcements are heard, likes count and messages arrive, whoever they
      are from. No two agents are further apart than that. 0: there are none.
    - ``post_latency``: the number of steps after which followers read a post; an agent is never further ahead of one whom
      it follows. 0: nobody posts.
    - ``post_kept``: the number of steps in which a post can be read

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

    name: str | None = None
    space: Plane | Network | None = None
    width: int = 64
    height: int = 64
    metric: str = "chebyshev"
    perception_radius: float | None = None
    max_velocity: float | None = None
    horizon: int = 0
    post_latency: int = 0
    post_kept: int = 24
    tools: Sequence[FunctionTool | CommandTool | McpServer] = ()

    def agents(self) -> Iterable[Agent]:
        """The agents as they are before step 0. An agent's id is its index in this list."""
        raise NotImplementedError(f"{type(self).__name__} needs a method agents() that returns a list of throng.Agent")

    def proceed(self, view: View, agent: Agent) -> Generator[Awaited | list[Awaited], Any, Any] | Any:
        """One step of one agent. Returns what it wants to do: an ``Intent``, a list of them, or None.

        With a custom ``resolve`` it may return anything. To ask the language model, write a generator that yields
        calls; without calls, an ordinary function is enough. ``CallError`` says what happens when a call fails. It may
        also yield uses of the world's ``tools`` (``throng.Tool``), questions to people (``throng.Ask``) and texts to embed
        (``throng.Embed``).

        Example::

            def proceed(self, view, agent):
                others = ", ".join(other.name for other in view.neighbours())
                answer = yield throng.Call(f"You see {others}. Greet them?", choices=["yes", "no"])
                return throng.Intent(status="waving" if answer == "yes" else "")
        """
        raise NotImplementedError(f"{type(self).__name__} needs a method proceed(view, agent)")

    def resolve(self, step: int, members: list[Agent],
                commit: Commit) -> Generator[Awaited | list[Awaited], Any, None] | None:
        """Turns the intents of a cluster into writes; ``members`` are ordered by id.

        Agents that did nothing because a call failed (see ``CallError``) are left out of ``members``.
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
        writes: Sequence[tuple[str, Callable[[Agent, Any], Any]]] = (
            ("posts", commit.post), ("likes", commit.like), ("follow", commit.follow), ("unfollow", commit.unfollow),
            ("announce", commit.announce))
        for agent in members:
            for intent in _as_list(agent):
                if intent.pos is not None:
                    commit.move(agent, intent.pos)
                if intent.status is not None:
                    commit.set_status(agent, intent.status)
                if intent.mind is not UNCHANGED:
                    commit.set_mind(agent, intent.mind)
                if intent.sleep_until is not None:
                    commit.sleep(agent, intent.sleep_until, intent.alert)
                if not isinstance(intent.write, Mapping):
                    raise Error(f"Intent.write of agent {agent.id} ({agent.name}) is {intent.write!r}, allowed is a dict "
                                "of texts by position")
                for pos, text in intent.write.items():
                    commit.write(pos, text)
                for kind, text in _pairs(agent, intent, "events", "(kind, text)"):
                    commit.event(agent, kind, text)
                for name, write in writes:
                    for item in _items(agent, intent, name):
                        write(agent, item)
                for to, text in _pairs(agent, intent, "messages", "(to, text)"):
                    commit.send(agent, to, text)
        return None

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

    def declare(self, step: int, agent: Agent) -> Lookahead | None:
        """What an agent promises about its coming steps, so that others need not wait for it: one who sleeps until step
        96, or walks along a known street. Called after each of its steps; its next one is ``step``.

        It depends on its arguments alone. A promise stays in force until it ends; a step that breaks it stops the run.

        Example::

            def declare(self, step, agent):
                if agent.status == "asleep":
                    return throng.Lookahead(agent.mind["wakes"], agent.pos, agent.pos)
        """
        return None

    def expect(self, step: int, agent: Agent, later: int) -> Expectation | None:
        """Where an agent, about to begin ``step``, will be at the start of step ``later``, and doing what. Mode
        "speculative" guesses with it; it promises nothing, and changes no result. None: as it is now.

        Example::

            def expect(self, step, agent, later):
                left = agent.mind["path"][later - step:]
                return throng.Expectation(left[0], "walking", planned=True) if left else None
        """
        return None

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


def _items(agent: Agent, intent: Intent, name: str) -> Collection:
    """What a list of an intent holds. One text, post or agent instead of a list would be taken apart."""
    value: Any = getattr(intent, name)
    if value == () or (isinstance(value, Collection) and not isinstance(value, str) and not hasattr(value, "_fields")):
        return value
    raise Error(f"Intent.{name} of agent {agent.id} ({agent.name}) is {value!r}, allowed is a list")


def _pairs(agent: Agent, intent: Intent, name: str, allowed: str) -> Collection:
    """What such a list holds, if that is pairs."""
    items = _items(agent, intent, name)
    for item in items:
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise Error(f"Intent.{name} of agent {agent.id} ({agent.name}) has {item!r}, allowed is {allowed}")
    return items


def _as_list(agent: Agent) -> Sequence[Intent]:
    intent = agent.intent
    if intent is None:
        return ()
    intents = intent if isinstance(intent, (list, tuple)) else (intent,)
    for one in intents:
        if isinstance(one, Call):
            raise Error(f"proceed of agent {agent.id} ({agent.name}) returned a throng.Call, so nobody asked "
                        f"{one.prompt[:60]!r}; write `answer = yield throng.Call(...)`")
        if not isinstance(one, Intent):
            raise TypeError(f"proceed of agent {agent.id} ({agent.name}) returned {one!r}; World.resolve understands "
                            "throng.Intent, a list of them, or None")
    return intents
