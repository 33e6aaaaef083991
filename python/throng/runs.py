"""Running worlds: runs, what they leave, forks and interviews."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Awaitable, Callable, Generator, Mapping, NamedTuple, Sequence, Union

from . import _native
from .calls import Call
from .data import Collector, Reporters, frames_of
from .embeddings import Embedder, tool_of
from .frames import Frame
from .model import Completion, Model
from .plain import thaw
from .record import manifest_of, sources_of
from .space import Position
from .workers import crew_of
from .world import Agent, World

#: What answers calls: a Model, the name of a backend as ``throng run --llm`` takes it ("local", "fake",
#: "latency:replicas=2", "http://localhost:8000", "replay:FILE"), or a function of a Call, plain or async, that returns
#: text or a Completion.
Llm = Union[Model, str, Callable[[Call], str], Callable[[Call], Awaitable[str]]]


class Event(NamedTuple):
    """A line of a run's chronicle: what an agent did in a step.

    >>> Event(12, 0, "say", "hello").kind
    'say'
    """

    step: int
    agent: int
    kind: str
    text: str


Event.step.__doc__ = "The step in which it happened, from 0 on."
Event.agent.__doc__ = "The id of the agent who did it."
Event.kind.__doc__ = 'A word such as "say".'
Event.text.__doc__ = "What it did, in the world's words."


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
    - ``failed_calls``: calls whose agents fell back; ``repeated_steps``: agents' steps that were done again, as the worker
      that did them was lost
    - ``effects``: uses of tools and questions to people, of which ``failed_effects`` failed, and of ``unknown_effects``
      nobody knows whether they were done (``ToolError``)
    - ``tokens_used``: of prompts and answers, in all sessions of the journal, wrong guesses included; ``cost``: theirs,
      if a ``price`` was given; ``interactive_s``: how long each call of the ``interactive`` agent took, in seconds
    - ``speculated_steps``: run on a guess; of these ``confirmed_steps`` were right, ``squashed_steps`` wrong
    - ``speculated_calls``: asked ahead on a guess; ``wasted_calls``: of these, used by no step; ``wasted_tokens``:
      theirs
    - ``agents``, ``cells``: their final state, including agents that left (``Agent.present``); ``events``: the
      chronicle, by step and agent. ``verify`` leaves these three empty.
    - ``servers``: of an ``llm="http://..."``: for each server a dict of its ``address``, ``calls`` answered,
      ``failures``, tokens, and ``seconds`` that the answered calls took in all
    - ``journal``: its path, if there is one
    - ``frames``: tables by name: see ``frame``
    - ``mode``, ``steps``: as given to ``run``
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
    effects: int
    failed_effects: int
    unknown_effects: int
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
    repeated_steps: int = 0
    tokens_used: int = 0
    cost: float | None = None
    interactive_s: list[float] = field(default_factory=list, repr=False)
    servers: list[dict[str, Any]] = field(default_factory=list, repr=False)
    journal: str | None = None
    agents: list[Agent] = field(default_factory=list, repr=False)
    cells: dict[Position, str] = field(default_factory=dict, repr=False)
    events: list[Event] = field(default_factory=list, repr=False)
    frames: dict[str, Frame] = field(default_factory=dict, repr=False)

    def frame(self, name: str) -> Frame:
        """A table of the run: a ``Frame``, which is a dict of columns.

        - "steps": ``step, calls, prompt_tokens, output_tokens, events, hash``
        - "calls": ``step, agent, call, function, finish, text, prompt_tokens, cached_prompt_tokens, output_tokens,
          attempts, served_by, asked_s, answered_s``; ``finish`` is "stop", "length", or "failed", whose ``text`` says
          why; times are on the backend's clock
        - "events": ``step, agent, name, kind, text``
        - "agents": ``step, agent, name`` and the reporters of agents; "model": ``step`` and the reporters of the model
          (``throng.Reporters``)
        """
        if name not in self.frames:
            raise _native.Error(f"frame {name!r}: allowed are {', '.join(map(repr, self.frames))}"
                                + ("; others need reporters=throng.Reporters(...)" if "agents" not in self.frames
                                   or "model" not in self.frames else ""))
        return self.frames[name]


def run(world: World, llm: Llm | None = None, *, steps: int, mode: str = "ooo", seed: int | None = None,
        events: Sequence[tuple[int, str]] = (), coupling: str = "paper",
        journal: str | os.PathLike[str] | None = None, resume: bool = False, sync: bool = False, prompts: bool = True,
        snapshot_every: int | None = None, from_start: bool = False,
        answers: str | os.PathLike[str] | None = None, embed: Embedder | None = None,
        reporters: Reporters | None = None, progress: Callable[..., None] | None = None,
        workers: int | str = 0, model_for: Mapping[str, Llm] | None = None, real_time: bool = False,
        call_timeout: float | None = None, call_attempts: int = 9, answer_attempts: int = 3, max_wait: float = 300.0,
        fallback: str = "answer", max_tokens_total: int | None = None, max_cost: float | None = None,
        price: tuple[float, float] | None = None, max_tool_calls: int | None = None,
        interactive: str | None = None, target_ms: float = 1000.0) -> RunResult:
    """Runs a world until every agent has done ``steps`` steps.

    What answers:

    - ``llm``: a ``Model``, the name of a backend ("local", "fake:latency=1", "latency", "http://HOST:PORT",
      "replay:FILE"), or a function of a ``Call`` that returns text or a ``Completion``. All calls of an ``async def``
      function are answered at once. An ``OSError`` (``ConnectionError``, ``TimeoutError``) in it fails that attempt, as
      with a server; any other exception stops the run. When a call is asked again because its answer was not among the
      choices, its prompt ends with that answer, and why it was refused. None: "local".
    - ``model_for``: other backends for calls of some functions: ``{"plan": llm}``
    - ``real_time``: "fake" and "latency" take the time that they model

    What runs:

    - ``mode``: "ooo" (agents that cannot see each other do not wait for each other), "speculative" (as "ooo", and
      calls are asked ahead on a guess), "lockstep" or "single"
    - ``seed``: another seed gives another run of the same world; None: 1, or that of the journal to resume
    - ``events``: interventions from outside, ``(step, text)``, passed to ``World.intervene``
    - ``coupling``: "paper", or "versioned" (agents at different steps may come closer to each other: faster)

    - ``answers``: a file that answers ``throng.Ask``: a JSON object in each line, such as
      ``{"agent": "Ada", "step": 3, "answer": "yes", "seconds": 0.5}``. The first line whose agent and step are the
      question's, or not given, answers it, after so many seconds. None: somebody does in the journal (``throng play``)
    - ``embed``: what embeds the texts of ``throng.Embed``: a ``Model``, the address of a server with ``/v1/embeddings``
      ("http://HOST:PORT/v1?model=NAME"), or a function from a list of texts to a list of vectors

    - ``workers``: so many processes do the agents' ``proceed``, which is then no longer bound to one core; the result is
      the same. They import the module of the world, or execute the script up to where it calls ``throng.run``. 0: this
      process does it. Or ``"redis://HOST:PORT/NAME"``: workers on any number of hosts do
      (``python3 -m throng.worker``). ``docs/workers.md`` has more.

    What is kept:

    - ``journal``: a file that records every answer as it arrives and everything that happens, or its address in a
      PostgreSQL database, ``postgres://USER@HOST/DATABASE?journal=NAME``
    - ``resume``: continue the journal if it exists, without repeating calls whose answers it has; more ``steps`` than
      it was begun with extend the run. Limits may be others than before. So may ``llm`` and ``model_for`` if you give
      one of them, with a warning: the journal says which session had which.
    - ``sync``: wait for the disk at every answer, to survive a loss of power
    - ``prompts``: whether a new journal keeps prompts and system messages
    - ``snapshot_every``: steps between the snapshots in the journal, from which a run goes on at once; 0: none, None:
      as often as costs little
    - ``from_start``: go on with a run from its start instead, and check every step again. Runs with ``reporters`` do.
    - ``reporters``: what to measure: ``throng.Reporters``
    - ``progress``: called about once a second with the keywords ``step, front_step, calls, tokens, in_flight, wall_s``

    Failures and limits:

    - ``call_timeout``: most seconds for one attempt of a call, on the backend's clock
    - ``call_attempts``: how often to ask a backend that times out, is away, busy or failing; ``max_wait``: the longest
      time in seconds that a server may want to be left alone
    - ``answer_attempts``: how often to ask a model whose answers are not allowed
    - ``fallback``: after which failures of a call its agent goes on without it, with a warning: "answer" (its answers
      were never allowed), "any", or "never". See ``CallError``.
    - ``max_tokens_total``, ``max_cost``: stop at this many tokens, or once they have cost this much, with a
      ``throng.Stopped``; the journal can be resumed. Earlier sessions count.
    - ``price``: what a million tokens of prompts and of answers cost, such as ``(0.15, 0.6)``
    - ``max_tool_calls``: stop in the same way after so many uses of tools
    - ``interactive``: name of an agent whose calls go first; ``target_ms``: the latency to aim at for its calls, at the
      cost of the others

    An exception in the world's code, or Ctrl-C, stops the run and is raised here, with a note of the agent and step. A run
    on a daemon thread is stopped when the program ends.

    >>> import throng
    >>> class Clock(throng.World):
    ...     def agents(self):
    ...         return [throng.Agent("Ann", (0, 0), mind=0)]
    ...     def proceed(self, view, agent):
    ...         return throng.Intent(mind=agent.mind + 1)
    >>> throng.run(Clock(), llm="fake", steps=24).agents[0].mind
    24
    """
    collector = None if reporters is None else Collector(reporters)
    keeps = journal is not None
    routes = {name: _native_llm(other) for name, other in (model_for or {}).items()}
    settings = dict(
        llm=_native_llm("local" if llm is None else llm), model_for=routes, real_time=real_time, mode=mode, steps=steps,
        seed=seed, events=list(events), coupling=coupling, journal="" if journal is None else os.fspath(journal),
        resume=resume, other_backend=llm is not None or bool(routes), sync=sync, prompts=prompts,
        snapshot_every=snapshot_every, from_start=from_start,
        manifest=manifest_of(world) if keeps else {}, files=list(sources_of(type(world)).items()) if keeps else [],
        progress=progress,
        collect=collector, collect_every=1 if reporters is None else reporters.every, call_timeout=call_timeout or 0.0,
        call_attempts=call_attempts, answer_attempts=answer_attempts, max_wait=max_wait, fallback=fallback,
        max_tokens_total=max_tokens_total or 0, max_cost=max_cost or 0.0, max_tool_calls=max_tool_calls or 0,
        embed=tool_of(embed), answers="" if answers is None else os.fspath(answers),
        price="" if price is None else f"{price[0]},{price[1]}", interactive=interactive or "", target_ms=target_ms)
    with crew_of(world, workers) as crew:
        fields = _native.run(world, {**settings, "crew": crew})
    return make_result(fields, collector)


def make_result(fields: dict[str, Any], collector: Collector | None = None) -> RunResult:
    """The result of a run that ``_native`` describes."""
    calls = fields.pop("call_rows")
    frames = frames_of(collector, fields["agents"], fields["events"], calls, fields["step_hashes"])
    return RunResult(**fields, frames=frames)


def fork(journal: str | os.PathLike[str], at: int, out: str | os.PathLike[str], *, seed: int | None = None,
         llm: Llm | None = None, keep_events: bool = True) -> None:
    """Makes a journal of a new run with the same past as this one before step ``at``, which all agents have reached.

    ``throng.run(world, ..., journal=out, resume=True)`` goes on with it: it repeats the past from the answers that were
    kept. Without another seed or backend it ends as the original does, with the same hash.

    - ``seed``: another seed from that step on, for answers and for ``view.random``
    - ``llm``: what will answer from that step on, if not the backend of the original
    - ``keep_events``: False leaves out the events from outside after that step

    >>> import tempfile, throng
    >>> class Dice(throng.World):
    ...     def agents(self):
    ...         return [throng.Agent("Ann", (0, 0), mind=())]
    ...     def proceed(self, view, agent):
    ...         return throng.Intent(mind=(*agent.mind, view.random.randint(1, 6)))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first = throng.run(Dice(), "fake", steps=9, journal=folder + "/a.journal")
    ...     throng.fork(folder + "/a.journal", 6, folder + "/b.journal", seed=7)
    ...     second = throng.run(Dice(), "fake", steps=9, journal=folder + "/b.journal", resume=True)
    >>> first.agents[0].mind[:6] == second.agents[0].mind[:6], first.hash == second.hash
    (True, False)
    """
    _native.fork(journal=os.fspath(journal), at=at, out=os.fspath(out), seed=seed,
                 llm=None if llm is None else _native_llm(llm), keep_events=keep_events)


def inject(journal: str | os.PathLike[str], text: str, *, at: int = 0) -> None:
    """Lets something happen in a run that goes on, in this process (also from its own code) or another, or is stopped.

    The run passes the text to ``World.intervene`` at step ``at``, or at the first step that no agent has begun, if that
    is later. The journal keeps it, so that resumed runs and forks repeat it.

    Example::

        throng.inject("colony.journal", "rain", at=50)
    """
    _native.inject(journal=os.fspath(journal), at=at, what=text)


def agents_at(world: World, journal: str | os.PathLike[str], step: int | None = None) -> list[Agent]:
    """All agents of a journaled run at the start of a step, with their minds; those who are not there have
    ``present=False``.

    - ``world``: as the run was begun with
    - ``step``: None: as far as the journal goes

    The run is repeated up to there with the journal's answers; nothing is asked, and the journal is only read.
    """
    return _native.agents_at(world=world, journal=os.fspath(journal), at=step)


def interview(agent: Agent, question: str, llm: Llm = "local", *, prompt: Callable[[Agent, str], Call] | None = None,
              ) -> Completion:
    """Asks an agent something, outside of any run: its mind is the prompt. Nothing that it answers changes a run.

    - ``agent``: of ``RunResult.agents``, or of ``throng.agents_at``, for any moment of a journaled run
    - ``prompt``: makes the ``Call`` of agent and question; without it, name, status and mind are in the prompt as text

    >>> import throng
    >>> ann = throng.Agent("Ann", (0, 0), mind={"saw": ["Ben at the pub"]})
    >>> throng.interview(ann, "Whom did you see?", lambda call: call.prompt.splitlines()[1])
    "You know: {'saw': ['Ben at the pub']}"
    """
    call = _interview_call(agent, question) if prompt is None else prompt(agent, question)
    world = _Interview(agent.name, call)
    run(world, llm, steps=1, mode="single", fallback="never")
    return world.answer


class _Interview(World):
    """A world of one agent, who asks one call."""

    answer: Completion

    def __init__(self, name: str, call: Call) -> None:
        self._name = name
        self._call = call

    def agents(self) -> list[Agent]:
        return [Agent(self._name, (0, 0))]

    def proceed(self, view: _native.View, agent: Agent) -> Generator[Call, Completion, None]:
        self.answer = yield self._call


def _interview_call(agent: Agent, question: str) -> Call:
    lines = [f"You are {agent.name}." + (f" You are {agent.status}." if agent.status else ""),
             f"You know: {thaw(agent.mind)!r}", f"Question: {question}", "Answer:"]
    return Call("\n".join(lines), function="interview")


def _native_llm(llm: Llm) -> object:
    return llm._native if isinstance(llm, Model) else llm
