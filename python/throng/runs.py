"""Running worlds."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Callable, NamedTuple, Sequence

from . import _native
from .model import Model
from .space import Position
from .world import Agent, Call, World

#: What answers calls: a Model, the name of a backend as ``throng run --llm`` takes it ("local", "fake",
#: "latency:replicas=2", "http://localhost:8000", "replay:FILE"), or a function of a Call that returns text.
Llm = "Model | str | Callable[[Call], str]"


class Event(NamedTuple):
    """A line of a run's chronicle: what an agent did in a step.

    >>> Event(12, 0, "say", "hello").kind
    'say'
    """

    step: int
    agent: int
    kind: str
    text: str


@dataclass
class RunResult:
    """The result of a run.

    - ``hash``: of everything that happened, the same in every mode; ``step_hashes``: one per step
    - ``calls``, ``prompt_tokens``, ``cached_prompt_tokens``, ``output_tokens``; ``replayed_calls``: answered by the
      journal
    - ``parallelism``: average number of requests in flight; ``backend_s``: seconds on the backend's clock (virtual
      for "fake" and "latency"); ``wall_s``: seconds of wall time
    - ``agent_steps``; ``clusters``; ``largest_cluster``, in agents; ``max_spread``: the largest number of steps between
      two agents; ``births``, ``deaths``, ``interventions``: how the population changed
    - ``failed_calls``: calls whose agents fell back
    - ``speculated_steps``: run on a guess; of these ``confirmed_steps`` were right, ``squashed_steps`` wrong
    - ``speculated_calls``: asked ahead on a guess; ``wasted_calls``: of these, used by no step; ``wasted_tokens``: theirs
    - ``agents``, ``cells``: their final state, including agents that left (``Agent.present``); ``events``: the
      chronicle, by step and agent. ``verify`` leaves these three empty.
    - ``journal``: its path, if there is one
    """

    hash: str
    step_hashes: list[str] = field(repr=False)
    mode: str
    steps: int
    agent_steps: int
    wall_s: float
    backend_s: float
    calls: int
    failed_calls: int
    prompt_tokens: int
    cached_prompt_tokens: int
    output_tokens: int
    parallelism: float
    clusters: int
    largest_cluster: int
    max_spread: int
    births: int
    deaths: int
    interventions: int
    speculated_steps: int
    confirmed_steps: int
    squashed_steps: int
    speculated_calls: int
    wasted_calls: int
    wasted_tokens: int
    replayed_calls: int = 0
    journal: str | None = None
    agents: list[Agent] = field(default_factory=list, repr=False)
    cells: dict[Position, str] = field(default_factory=dict, repr=False)
    events: list[Event] = field(default_factory=list, repr=False)


def run(world: World, llm: Llm = "local", *, mode: str = "ooo", steps: int, seed: int = 1,
        journal: str | os.PathLike[str] | None = None, resume: bool = False, coupling: str = "paper",
        progress: Callable[..., None] | None = None, events: Sequence[tuple[int, str]] = ()) -> RunResult:
    """Runs a world until every agent has done ``steps`` steps.

    - ``llm``: what answers calls: a ``Model``, the name of a backend ("local", "fake:latency=1", "latency",
      "http://HOST:PORT", "replay:FILE"), or a function of a ``Call`` that returns text
    - ``mode``: "ooo" (agents that cannot see each other do not wait for each other), "speculative" (as "ooo", and
      calls are asked ahead on a guess), "lockstep" or "single"
    - ``seed``: another seed gives another run of the same world
    - ``journal``: a file that records every answer as it arrives and everything that happens
    - ``resume``: continue the journal if it exists, without repeating calls whose answers it has
    - ``coupling``: "paper", or "versioned" (agents at different steps may come closer to each other: faster)
    - ``events``: interventions from outside, ``(step, text)``, passed to ``World.intervene``
    - ``progress``: called about once a second with the keywords ``step, front_step, calls, in_flight, wall_s``

    An exception in the world's code, or Ctrl-C, stops the run and is raised here, with a note of the agent and step.

    >>> import throng
    >>> class Clock(throng.World):
    ...     def agents(self):
    ...         return [throng.Agent("Ann", (0, 0), mind=0)]
    ...     def proceed(self, view, agent):
    ...         return throng.Intent(mind=agent.mind + 1)
    >>> throng.run(Clock(), llm="fake", steps=24).agents[0].mind
    24
    """
    result = _native.run(world=world, llm=_native_llm(llm), mode=mode, steps=steps, seed=seed, coupling=coupling,
                         journal="" if journal is None else os.fspath(journal), resume=resume, progress=progress,
                         events=list(events))
    return RunResult(**result)


def _native_llm(llm: Llm) -> object:
    return llm._native if isinstance(llm, Model) else llm
