"""A world as an environment, stepped from outside with actions for some agents: the parallel API of PettingZoo.

``Text``, ``Discrete`` and ``Dict`` describe actions and observations. They are gymnasium's where it is installed, else
small ones with the same names, ``sample`` and ``contains``.
"""

from __future__ import annotations

import copy
import string
from typing import TYPE_CHECKING, Any, Mapping, Sequence

from . import _native
from .runs import Llm, RunResult, _native_llm, make_result
from .space import Pos
from .world import Agent, Neighbour, World

if TYPE_CHECKING:
    from .env_spaces import Dict, Discrete, Space, Text

    ParallelEnv = object
else:
    try:
        from pettingzoo import ParallelEnv
    except ImportError:
        ParallelEnv = object
    try:
        from gymnasium.spaces import Dict, Discrete, Space, Text
    except ImportError:
        from .env_spaces import Dict, Discrete, Space, Text


class StateSpace(Space):
    """What ``World.observe`` returns by default: an agent's own state and its neighbours.

    >>> StateSpace().sample() in StateSpace()
    True
    """

    def sample(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {"step": 0, "name": "", "pos": Pos(0, 0), "status": "", "mind": None, "neighbours": []}

    def contains(self, x: Any) -> bool:
        return (isinstance(x, dict) and x.keys() == self.sample().keys() and isinstance(x["neighbours"], list)
                and all(isinstance(other, Neighbour) for other in x["neighbours"]))


class _Actions:
    """What agents are told to do in a step, by id, and who has done it: one that sleeps does nothing."""

    def __init__(self) -> None:
        self.tell(0, {})

    def tell(self, step: int, of: dict[int, Any]) -> None:
        self.step = step
        self.of = of
        self.done: set[int] = set()


# It does not know the Env: the two would keep each other alive.
def _steered(world: World, actions: _Actions) -> World:
    """A copy of a world in which agents that were given actions do them."""
    class Steered(type(world)):  # type: ignore[misc]
        __slots__ = ()

        def proceed(self, view: _native.View, agent: Agent) -> Any:
            # A guess ahead of the step, in mode speculative, knows no action.
            if view.step != actions.step or agent.id not in actions.of:
                return super().proceed(view, agent)
            actions.done.add(agent.id)
            return self.act(view, agent, actions.of[agent.id])

    Steered.__name__ = type(world).__name__
    steered = copy.copy(world)
    steered.__class__ = Steered
    return steered


class Env(ParallelEnv):
    """A world that is stepped from outside: the parallel API of PettingZoo.

    In each step, the caller gives actions to agents, by name; ``World.act`` does them. All other agents do what
    ``World.proceed`` says, with the language model. So a policy can learn among agents that talk, or a person can
    play one of them.

    - ``llm``, ``mode``, ``coupling``, ``events``: as in ``throng.run``. All agents finish a step before ``step`` returns.
    - ``max_steps``: the step after which all agents are truncated; None: never

    Attributes: ``possible_agents`` and ``agents``, the names of those who may ever be there and of those who are;
    ``metadata`` and ``render_mode``: ``render`` returns text.

    The hooks ``observe``, ``act``, ``reward``, ``observation_space`` and ``action_space`` of ``World`` say what the
    caller sees, does and gets. An agent is terminated when it leaves the world; one that is born joins ``agents``. The
    info of an agent holds the ``events`` of its step, and whether it ``acted`` as told: one that sleeps does not. Calls
    are repeated, and agents go on without an answer, as ``throng.run`` has it by default. Steps without actions have
    the hash of ``throng.run``. There is no journal.

    >>> import throng
    >>> class Walkers(throng.World):
    ...     width, height = 20, 10
    ...
    ...     def agents(self):
    ...         return [throng.Agent("Ann", (2, 5)), throng.Agent("Ben", (12, 5))]
    ...
    ...     def proceed(self, view, agent):
    ...         answer = yield throng.Call(f"{agent.name} is at {agent.pos}.", choices=["stay", "jump"])
    ...         return throng.Intent(status=answer)
    ...
    ...     def reward(self, before, after):
    ...         return float(after.pos.x - before.pos.x)
    >>> env = throng.Env(Walkers(), llm="fake", max_steps=10)
    >>> observations, infos = env.reset(seed=1)
    >>> observations["Ann"]["pos"]
    Pos(x=2, y=5)
    >>> observations, rewards, terminations, truncations, infos = env.step({"Ann": throng.Intent(pos=(3, 5))})
    >>> rewards["Ann"], rewards["Ben"], observations["Ben"]["status"] in ("stay", "jump")
    (1.0, 0.0, True)
    """

    metadata = {"name": "throng", "render_modes": ["ansi"]}
    render_mode = "ansi"

    possible_agents: list[str]
    agents: list[str]

    def __init__(self, world: World, llm: Llm = "local", *, mode: str = "ooo", coupling: str = "paper",
                 max_steps: int | None = None, events: Sequence[tuple[int, str]] = ()) -> None:
        self.metadata = {**self.metadata, "name": world.name or type(world).__name__}
        self._world = world
        self._llm = llm
        self._mode = mode
        self._coupling = coupling
        self._max_steps = max_steps
        self._events = list(events)
        self._starting = [agent._replace(id=id) for id, agent in enumerate(world.agents())]
        self.possible_agents = [agent.name for agent in self._starting]
        self._ids = {name: id for id, name in enumerate(self.possible_agents)}
        for id, name in enumerate(self.possible_agents):
            if self._ids[name] != id:
                raise _native.Error(f"Env: agents {id} and {self._ids[name]} are both called {name!r}; actions and "
                                    "observations go by name, so each agent needs its own")
        self.agents = []
        self._observation_spaces: dict[str, Any] = {}
        self._action_spaces: dict[str, Any] = {}
        self._seed = 0
        self._run: _native.Stepper | None = None

    def reset(self, seed: int | None = None, options: dict | None = None) -> tuple[dict[str, Any], dict[str, dict]]:
        """Begins a run. Returns an observation and an info for each agent.

        - ``seed``: another seed gives another run of the same world; None: the next one after that of the last run
        - ``options``: part of the API; it has no effect
        """
        self.close()
        self._seed = self._seed + 1 if seed is None else seed
        self._actions = _Actions()
        self._run = _native.Stepper(world=_steered(self._world, self._actions), llm=_native_llm(self._llm),
                                    mode=self._mode, seed=self._seed, coupling=self._coupling, events=self._events)
        self._step = 0
        self._observations: dict[str, Any] = {}
        self._advance(0)
        self.agents = [agent.name for agent in self._states if agent.present]
        return dict(self._observations), {name: {"events": [], "acted": False} for name in self.agents}

    def step(self, actions: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, float], dict[str, bool],
                                                        dict[str, bool], dict[str, dict]]:
        """One step of all agents, those in ``actions`` as they are told.

        Returns observations, rewards, terminations, truncations and infos of the agents that were there before the step
        or are after it. The last observation of an agent that left is its one before the step.
        """
        run = self._running("step")
        if not self.agents:
            raise _native.Error("Env.step: no agent is left, or all were truncated; call reset")
        for name in actions:
            if name not in self.agents:
                raise _native.Error(f"Env.step: an action for {name!r}, allowed are the names in Env.agents")
        self._actions.tell(self._step, {self._ids[name]: action for name, action in actions.items()})
        before = self._states
        self._advance(self._step + 1)
        infos: dict[str, dict] = {new.name: {"events": [], "acted": new.id in self._actions.done}
                                  for old, new in zip(before, self._states) if old.present or new.present}
        for event in run.events_of(self._step - 1):
            infos[self.possible_agents[event.agent]]["events"].append(event)
        rewards = {}
        for name in infos:
            old, new = before[self._ids[name]], self._states[self._ids[name]]
            rewards[name] = float(self._world.reward(old, new)) if old.present else 0.0
        terminations = {name: not self._states[self._ids[name]].present for name in infos}
        is_over = self._max_steps is not None and self._step >= self._max_steps
        truncations = {name: is_over and not terminations[name] for name in infos}
        self.agents = [] if is_over else [name for name in infos if not terminations[name]]
        return {name: self._observations[name] for name in infos}, rewards, terminations, truncations, infos

    def observation_space(self, agent: str) -> Any:
        """The space of an agent's observations, always the same object."""
        return self._space(agent, self._observation_spaces, self._world.observation_space, StateSpace)

    def action_space(self, agent: str) -> Any:
        """The space of an agent's actions, always the same object."""
        return self._space(agent, self._action_spaces, self._world.action_space,
                           lambda: Text(80, charset=string.ascii_letters + string.digits + " .,!?'"))

    @property
    def observation_spaces(self) -> dict[str, Any]:
        """The spaces of observations of all ``possible_agents``."""
        return {name: self.observation_space(name) for name in self.possible_agents}

    @property
    def action_spaces(self) -> dict[str, Any]:
        """The spaces of actions of all ``possible_agents``."""
        return {name: self.action_space(name) for name in self.possible_agents}

    @property
    def num_agents(self) -> int:
        """How many agents are there now."""
        return len(self.agents)

    @property
    def max_num_agents(self) -> int:
        """How many agents may ever be there."""
        return len(self.possible_agents)

    @property
    def unwrapped(self) -> Env:
        """Itself: it wraps no other environment."""
        return self

    def state(self) -> dict[str, Any]:
        """The whole world: its ``step``, ``agents`` by name, including those that left, and ``cells``."""
        cells = self._running("state").cells()
        return {"step": self._step, "agents": {agent.name: agent for agent in self._states}, "cells": cells}

    def render(self) -> str:
        """A line of text for each agent that is there."""
        self._running("render")
        lines = [f"step {self._step}"]
        for agent in self._states:
            if agent.present:
                pos = tuple(agent.pos) if isinstance(agent.pos, tuple) else agent.pos
                lines.append(f"{agent.name} {pos} {agent.status}".rstrip())
        return "\n".join(lines)

    def result(self) -> RunResult:
        """What ``throng.run`` would return for the steps done so far."""
        return make_result(self._running("result").result())

    def close(self) -> None:
        """Ends the run, and frees the model for others. ``reset`` begins another."""
        self._run = None
        self.agents = []

    def _running(self, what: str) -> _native.Stepper:
        if self._run is None:
            raise _native.Error(f"Env.{what}: no run is going on; call reset first")
        return self._run

    def _advance(self, step: int) -> None:
        run = self._running("step")
        try:
            run.run_to(step)
            self._step = step
            self._states = run.agents()
            for id, view in run.views().items():
                agent = self._states[id]
                self._observations[agent.name] = self._world.observe(view, agent)
        except BaseException:
            self.close()
            raise

    def _space(self, name: str, known: dict[str, Any], of: Any, default: Any) -> Any:
        if name not in self._ids:
            raise _native.Error(f"Env: there is no agent {name!r}")
        if name not in known:
            space = of(self._starting[self._ids[name]])
            known[name] = default() if space is None else space
        return known[name]
