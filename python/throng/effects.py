"""What agents await besides a model: tools and people."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
from dataclasses import dataclass, field
from typing import Any, Callable, Iterable, Mapping, Sequence, overload

from . import _native
from .calls import CallError

EFFECTS = ("pure", "idempotent", "at-commit")


@dataclass(frozen=True)
class Tool:
    """A use of one of the world's ``tools``.

    ``yield`` it in ``World.proceed`` or ``World.resolve`` to get what the tool returns, as plain data of JSON; in a list,
    together with other uses and calls. The ``yield`` raises a ``ToolError`` if the tool fails.

    - ``name``: the tool's
    - ``arguments``: its keyword arguments: data that JSON can hold
    - ``agent``: who uses it; needed only in ``World.resolve``

    >>> Tool("weather", {"city": "Rome"}).arguments["city"]
    'Rome'
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    agent: int | None = None

    def __post_init__(self) -> None:
        _native.note_call(self, self.name)


@dataclass(frozen=True)
class Ask:
    """A question to a person who plays the agent: ``yield`` it to get the answer, a str.

    Whoever plays answers with ``throng play JOURNAL --agent NAME``, in another process, also while the run is stopped;
    ``throng.run(..., answers=FILE)`` takes the answers from a file. Only those wait who depend on the agent.

    - ``question``: what is asked
    - ``choices``: the answer is one of these; empty: any text
    - ``timeout``, ``default``: after so many seconds, the answer is the default; None: it is waited for
    - ``agent``: who is asked; needed only in ``World.resolve``

    >>> Ask("Where to?", choices=["home", "work"], timeout=60, default="home").default
    'home'
    """

    question: str
    choices: Sequence[str] = ()
    timeout: float | None = None
    default: str = ""
    agent: int | None = None

    def __post_init__(self) -> None:
        if self.timeout is not None and not self.timeout > 0:
            raise _native.Error(f"Ask: timeout={self.timeout!r}: allowed: seconds, more than 0, or None")
        if self.timeout is not None and self.choices and self.default not in self.choices:
            raise _native.Error(f"Ask: default={self.default!r}: allowed: one of the choices")
        _native.note_call(self, self.question)


@dataclass(frozen=True)
class Embed:
    """Texts whose embeddings an agent wants: ``yield`` it to get a list of vectors, each a list of floats, in the order of
    the texts. ``throng.run(..., embed=...)`` says who makes them.

    - ``texts``: what to embed
    - ``agent``: who asks; needed only in ``World.resolve``

    Example::

        query, *known = yield throng.Embed(["Where is the concert?", *memories])
        best = max(range(len(known)), key=lambda i: (sum(a * b for a, b in zip(query, known[i])), -i))
    """

    texts: Sequence[str]
    agent: int | None = None

    def __post_init__(self) -> None:
        _native.note_call(self, str(self.texts)[:80])


class ToolError(CallError):
    """A tool has failed, or nobody knows what it has done: raised at the ``yield`` of its use, in every run.

    Like any ``CallError``, one that nobody catches leaves the agent without a deed in this step.

    A tool may raise it too, with ``code="unknown"`` if it cannot tell.

    - ``code``: "failed", or "unknown": a tool with ``effect="at-commit"`` was begun, and the run was interrupted before
      it was written down how that ended, or the tool took too long, was killed, or returned what JSON cannot hold. It may
      have been done or not, and is not tried again: ask the world outside, if it matters.

    Example::

        try:
            yield throng.Tool("pay", {"to": "Ben", "cents": 250})
        except throng.ToolError as error:
            status = "paid, perhaps" if error.code == "unknown" else "could not pay"
    """


class _AnyTool:
    """What all kinds of tools have."""

    name: str
    effect: str
    timeout: float

    def _check(self) -> None:
        if self.effect not in EFFECTS:
            raise _native.Error(f"tool {self.name!r}: effect={self.effect!r}: allowed: {', '.join(EFFECTS)}")
        if not self.timeout > 0:
            raise _native.Error(f"tool {self.name!r}: timeout={self.timeout!r}: allowed: seconds, more than 0")


class FunctionTool(_AnyTool):
    """A function as a tool, made by ``throng.tool``, which explains ``name``, ``effect`` and ``timeout``. Calling it
    calls the function."""

    def __init__(self, function: Callable[..., Any], name: str, effect: str, timeout: float) -> None:
        functools.update_wrapper(self, function)
        self.function, self.name, self.effect, self.timeout = function, name, effect, timeout
        self._check()

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self.function(*arguments, **named)


@dataclass(frozen=True)
class CommandTool(_AnyTool):
    """A command as a tool: it gets the arguments as a JSON object on its standard input, and its standard output is the
    result: JSON, or else text.

    It is started anew for each use, without a shell. It fails with an exit code other than 0; the error says its last
    line on the standard error. After ``timeout`` seconds it is killed.

    - ``name``, ``effect``, ``timeout``: as for ``throng.tool``
    - ``argv``: the program and its arguments

    >>> CommandTool("sort", ["sort", "-u"], effect="pure").argv
    ['sort', '-u']
    """

    name: str
    argv: Sequence[str]
    effect: str = "at-commit"
    timeout: float = 60.0

    def __post_init__(self) -> None:
        self._check()
        if isinstance(self.argv, str) or not self.argv or not all(isinstance(word, str) for word in self.argv):
            raise _native.Error(f"tool {self.name!r}: argv={self.argv!r}: allowed: a list of the program and its arguments")


@overload
def tool(function: Callable[..., Any]) -> FunctionTool: ...
@overload
def tool(*, effect: str = "at-commit", timeout: float = 60.0,
         name: str | None = None) -> Callable[[Callable[..., Any]], FunctionTool]: ...


def tool(function: Callable[..., Any] | None = None, *, effect: str = "at-commit", timeout: float = 60.0,
         name: str | None = None) -> FunctionTool | Callable[[Callable[..., Any]], FunctionTool]:
    """Makes a function a tool that agents use with ``throng.Tool``. List it in the world's ``tools``.

    It runs on a thread of its own, several at once, while other agents go on; an ``async def`` on an event loop of that
    thread. It takes keyword arguments and returns data that JSON can hold. What it raises, its agent gets as a
    ``ToolError``.

    - ``effect``: what it does to the world outside: "at-commit" (what must not be done twice: a message, a payment; it is
      begun at most once, when its step is certain to happen), "idempotent" (what comes to the same if done twice; it
      may be repeated after an interruption), or "pure" (nothing: it may be used on a guess, and in vain)
    - ``timeout``: the seconds after which it has failed, or, at commit, is unknown. A function runs on, but what it
      returns then is dropped.
    - ``name``: None: that of the function

    >>> import throng
    >>> @throng.tool(effect="pure")
    ... def forecast(day):
    ...     return {"rain": day % 2 == 1}
    >>> class Farm(throng.World):
    ...     tools = [forecast]
    ...     def agents(self):
    ...         return [throng.Agent("Ann", (0, 0))]
    ...     def proceed(self, view, agent):
    ...         weather = yield throng.Tool("forecast", {"day": view.step})
    ...         return throng.Intent(status="indoors" if weather["rain"] else "in the field")
    >>> throng.run(Farm(), llm="fake", steps=2).agents[0].status
    'indoors'
    """
    def decorate(decorated: Callable[..., Any]) -> FunctionTool:
        return FunctionTool(decorated, name or decorated.__name__, effect, timeout)

    return decorate if function is None else decorate(function)


def all_of(tools: Iterable[Any]) -> list[Any]:
    """The tools of a world, with those of its servers."""
    return [tool for entry in tools for tool in (entry.tools() if hasattr(entry, "tools") else [entry])]


def dump(data: Any, what: str) -> str:
    """The data as JSON, for the run; ``what`` it is, errors say."""
    try:
        return json.dumps(data, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise _native.Error(f"{what}: {error}; allowed: data that JSON can hold") from None


def use(function: Callable[..., Any], arguments: str) -> tuple[str, bytes]:
    """Calls the function of a tool with arguments in JSON: ("done", its result in JSON), or "failed" or "unknown" and why.

    In UTF-8, and without an exception, so that the thread that asks has nothing to run in Python itself.
    """
    try:
        result = function(**json.loads(arguments))
        if inspect.iscoroutine(result):
            result = asyncio.run(result)
    except BaseException as error:
        kind = "" if isinstance(error, (ToolError, _native.Error)) else f"{type(error).__name__}: "
        is_unknown = isinstance(error, ToolError) and error.code == "unknown"
        return "unknown" if is_unknown else "failed", f"{kind}{error}".encode("utf-8", "backslashreplace")
    try:
        return "done", dump(result, "what the tool returned").encode()
    except (_native.Error, UnicodeEncodeError) as error:  # it has worked, and nobody can read what came of it
        return "unknown", str(error).encode("utf-8", "backslashreplace")
