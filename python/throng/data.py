"""Data about a run: reporters that are evaluated while it runs, and the tables that it leaves."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Callable, Iterable, Mapping, NamedTuple, Union

from .frames import Frame
from .space import Position
from .world import Agent

if TYPE_CHECKING:
    from .runs import Event

#: What a reporter returns.
Value = Union[None, bool, int, float, str]


class State(NamedTuple):
    """A run's state after a step that all agents have done: what reporters of the model get.

    >>> State(3, [Agent("Ann", (0, 0), mind=5)], {}, []).agents[0].mind
    5
    """

    step: int
    agents: list[Agent]
    cells: Mapping[Position, str]
    events: list[Event]


State.step.__doc__ = "The step that all agents have done."
State.agents.__doc__ = "Those who are there, in the order of their ids."
State.cells.__doc__ = "What is written in cells, by position. Valid during the call alone."
State.events.__doc__ = "The chronicle of this step."


@dataclass(frozen=True)
class Reporters:
    """What to measure while a world runs. ``RunResult.frame`` returns the tables "agents" and "model".

    - ``agent``: columns of "agents", by name: functions of a ``throng.Agent``
    - ``model``: columns of "model", by name: functions of a ``throng.State``
    - ``every``: how many steps apart; 10 measures after steps 9, 19, 29 and so on

    They are called once per step, in the order of steps and agents, when all agents have done that step, in every
    mode: what agents who are ahead did since is not visible. They return None, a bool, a number or a str. A journal
    keeps the values, in its view ``data``.

    >>> import throng
    >>> class Savers(throng.World):
    ...     def agents(self):
    ...         return [throng.Agent(name, (9 * i, 0), mind=i) for i, name in enumerate(["Ann", "Ben"])]
    ...     def proceed(self, view, agent):
    ...         return throng.Intent(mind=agent.mind + 1)
    >>> result = throng.run(Savers(), "fake", steps=2, reporters=throng.Reporters(
    ...     agent={"wealth": lambda agent: agent.mind},
    ...     model={"total": lambda state: sum(agent.mind for agent in state.agents)}))
    >>> result.frame("agents")
    step  agent  name  wealth
       0      0  Ann        1
       0      1  Ben        2
       1      0  Ann        2
       1      1  Ben        3
    >>> result.frame("model")["total"]
    [3, 5]
    """

    agent: Mapping[str, Callable[[Agent], Value]] = field(default_factory=dict)
    model: Mapping[str, Callable[[State], Value]] = field(default_factory=dict)
    every: int = 1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"Reporters: every={self.every}, allowed are 1 and more")
        for kind, columns, taken in (("agent", self.agent, _AGENT_KEYS), ("model", self.model, _MODEL_KEYS)):
            for name, report in columns.items():
                if not callable(report):
                    raise TypeError(f"Reporters: {kind}={{{name!r}: {report!r}}} is no function, such as "
                                    + ("lambda agent: agent.mind" if kind == "agent" else "lambda state: len(state.agents)"))
            for name in taken:
                if name in columns:
                    raise ValueError(f"Reporters: {kind}={{{name!r}: ...}}, but every table has a column {name!r}")


_AGENT_KEYS = ("step", "agent", "name")
_MODEL_KEYS = ("step",)
_EVENT_COLUMNS = ("step", "agent", "name", "kind", "text")
_CALL_COLUMNS = ("step", "agent", "call", "function", "finish", "text", "prompt_tokens", "cached_prompt_tokens",
                 "output_tokens", "attempts", "served_by", "asked_s", "answered_s")


class Collector:
    """The tables of one run's reporters, as they grow."""

    def __init__(self, reporters: Reporters) -> None:
        self._reporters = reporters
        self._agents = Frame((name, []) for name in (*_AGENT_KEYS, *reporters.agent))
        self._model = Frame((name, []) for name in (*_MODEL_KEYS, *reporters.model))

    def __call__(self, step: int, agents: list[Agent], cells: dict[Position, str],
                 events: list[tuple[int, int, str, str]]) -> list[tuple[int | None, str, Value]]:
        """Measures a step; returns what the journal keeps: (agent or None, name, value)."""
        from .runs import Event

        kept: list[tuple[int | None, str, Value]] = []
        for agent in agents if self._reporters.agent else ():
            values = {name: _call(name, report, agent, f" of agent {agent.id} ({agent.name})")
                      for name, report in self._reporters.agent.items()}
            _append(self._agents, [step, agent.id, agent.name, *values.values()])
            kept += ((agent.id, name, value) for name, value in values.items())
        if self._reporters.model:
            state = State(step, agents, MappingProxyType(cells), [Event(*event) for event in events])
            values = {name: _call(name, report, state, "") for name, report in self._reporters.model.items()}
            _append(self._model, [step, *values.values()])
            kept += ((None, name, value) for name, value in values.items())
        return kept

    def frames(self) -> dict[str, Frame]:
        """The tables that have reporters, by name."""
        frames = {"agents": self._agents} if self._reporters.agent else {}
        return {**frames, "model": self._model} if self._reporters.model else frames


def _append(frame: Frame, row: list[Value]) -> None:
    for values, value in zip(frame.values(), row):
        values.append(value)


def _call(name: str, report: Callable[[Any], Value], argument: Any, of: str) -> Value:
    try:
        return plain(report(argument), "a reporter")
    except Exception as error:
        if hasattr(error, "add_note"):  # Python 3.11
            error.add_note(f"in the reporter {name!r}{of}")
        raise


def plain(value: Any, whose: str) -> Value:
    """What a reporter returned, as one of the types that tables hold."""
    if hasattr(value, "item") and not isinstance(value, (str, bytes)):
        value = value.item()  # a number of numpy
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    if value is not None:
        raise TypeError(f"{whose} returned {value!r}, allowed is None, a bool, a number or a str")
    return None


def frames_of(collector: Collector | None, agents: list[Agent], events: Iterable[Event], call_rows: Iterable[tuple],
              step_hashes: list[str]) -> dict[str, Frame]:
    """The tables of a run, by name."""
    frames = {
        "events": Frame.of(_EVENT_COLUMNS, ((step, agent, agents[agent].name, kind, text)
                                            for step, agent, kind, text in events)),
        "calls": Frame.of(_CALL_COLUMNS, call_rows),
    }
    frames["steps"] = _steps(frames, step_hashes)
    if collector is not None:
        frames.update(collector.frames())
    return frames


def _steps(frames: dict[str, Frame], step_hashes: list[str]) -> Frame:
    calls: Counter[int] = Counter()
    prompt_tokens: Counter[int] = Counter()
    output_tokens: Counter[int] = Counter()
    table = frames["calls"]
    for step, prompt, output in zip(table["step"], table["prompt_tokens"], table["output_tokens"]):
        calls[step] += 1
        prompt_tokens[step] += prompt
        output_tokens[step] += output
    events = Counter(frames["events"]["step"])
    return Frame.of(("step", "calls", "prompt_tokens", "output_tokens", "events", "hash"),
                    ((step, calls[step], prompt_tokens[step], output_tokens[step], events[step], hash)
                     for step, hash in enumerate(step_hashes)))
