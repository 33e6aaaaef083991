"""Sweeps: a world over parameters and seeds, in several processes, with means and confidence intervals."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import math
import os
import pickle
import sys
from dataclasses import dataclass, field
from typing import Any, Callable, Iterable, Iterator, Mapping, Sequence

from . import _native
from .data import Value, plain
from .frames import Frame
from .model import Model
from .runs import Llm, RunResult, run
from .world import World


@dataclass(frozen=True)
class SweptRun:
    """One run of a sweep.

    - ``parameters``, ``seed``: what it was made with
    - ``journal``: the path of its journal
    - ``error``: one line, if it did not end; else ""
    """

    parameters: dict[str, Any]
    seed: int
    journal: str
    error: str = ""

    def result(self) -> RunResult:
        """What ``throng.run`` returned, from the file beside the journal."""
        if self.error:
            raise _native.Error(f"{self.journal}: the run did not end: {self.error}")
        with open(_result_path(self.journal), "rb") as file:
            return pickle.load(file)


@dataclass
class SweepResult:
    """The runs of a sweep.

    - ``runs``: a ``SweptRun`` for each, in the order of parameters and seeds
    - ``frame``: a row per run: parameters, ``seed``, outcomes, ``error``; None stands for the outcomes of a run that
      did not end
    """

    runs: list[SweptRun]
    frame: Frame
    _outcomes: list[str] = field(repr=False)

    def summary(self, confidence: float = 0.95) -> Frame:
        """A row per combination of parameters: how many ``runs`` ended, and for each outcome that is a number its mean
        over the seeds, and the ends of its confidence interval (Student's t; None with fewer than two runs) in
        columns ``..._low`` and ``..._high``.
        """
        if not 0 < confidence < 1:
            raise _native.Error(f"summary: confidence={confidence}, allowed is a number between 0 and 1")
        names = list(self.runs[0].parameters) if self.runs else []
        groups: dict[tuple, list[int]] = {}
        for i, swept in enumerate(self.runs):
            rows = groups.setdefault(tuple(map(_describe, swept.parameters.values())), [])
            if not swept.error:
                rows.append(i)
        ended = [i for rows in groups.values() for i in rows]
        numeric = [name for name in self._outcomes
                   if all(isinstance(self.frame[name][i], (bool, int, float)) for i in ended)]
        columns = [*names, "runs", *(f"{name}{end}" for name in numeric for end in ("", "_low", "_high"))]
        first_of = {group: i for i, group in reversed(list(enumerate(
            tuple(map(_describe, swept.parameters.values())) for swept in self.runs)))}
        table = []
        for group, members in groups.items():
            row: list[Any] = [self.frame[name][first_of[group]] for name in names] + [len(members)]
            for name in numeric:
                row += mean_interval([self.frame[name][i] for i in members], confidence)
            table.append(row)
        return Frame.of(columns, table)


def sweep(world: Callable[..., World], parameters: Mapping[str, Iterable[Any]] | Sequence[Mapping[str, Any]] = (), *,
          out: str | os.PathLike[str], steps: int, llm: Llm = "local", seeds: Iterable[int] = (1,), jobs: int = 1,
          outcomes: Mapping[str, Callable[[RunResult], Value]] | None = None,
          progress: Callable[[int, int, SweptRun], None] | None = None, **settings: Any) -> SweepResult:
    """Runs ``world(**parameters)`` for every combination of parameters and every seed.

    - ``world``: a class derived from ``World``, or a function that returns one
    - ``parameters``: the values of each parameter, ``{"n": [10, 100]}``, in all combinations; or a list of
      combinations, ``[{"n": 10}, {"n": 100}]``
    - ``out``: a folder for the journals and results
    - ``jobs``: how many runs at a time, each in a process of its own. Processes import the world, the backend's
      function and reporters from their modules; what is defined in a notebook, and lambdas, need ``jobs=1``, which
      starts none.
    - ``outcomes``: columns of the result, by name: functions of a ``RunResult``; without them, what it cost
    - ``progress``: called with how many runs are done, of how many, and the last; None: lines on stderr
    - ``steps``, ``llm``, ``settings``: as for ``throng.run``

    The same call goes on with a sweep that was stopped: runs that ended are not repeated, others are resumed, with
    other limits if you change them. After a change of the world's code, use another folder. A run that fails does not
    stop the others.

    >>> import tempfile, throng
    >>> class Dice(throng.World):
    ...     def __init__(self, sides):
    ...         self.sides = sides
    ...     def agents(self):
    ...         return [throng.Agent("Ann", (0, 0), mind=0)]
    ...     def proceed(self, view, agent):
    ...         return throng.Intent(mind=agent.mind + view.random.randint(1, self.sides))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = throng.sweep(Dice, {"sides": [6, 20]}, seeds=range(3), out=folder, steps=10, llm="fake",
    ...                           outcomes={"sum": lambda run: run.agents[0].mind}, progress=lambda *now: None)
    >>> result.frame["seed"], result.summary()["runs"]
    ([0, 1, 2, 0, 1, 2], [3, 3])
    >>> low, mean, high = (result.summary()[name][1] for name in ("sum_low", "sum", "sum_high"))
    >>> low < mean < high
    True
    """
    if jobs < 1:
        raise _native.Error(f"sweep: jobs={jobs}, allowed are 1 and more")
    if str(out).startswith(("postgres://", "postgresql://")):
        raise _native.Error(f"sweep: out={out}: its journals are files, with results beside them; allowed: a folder")
    backend = _Backend(llm, jobs)
    settings = {**settings, "steps": steps}
    todo = [_Task(world, combination, seed, _journal_path(out, world, combination, seed, backend, settings), backend,
                  settings) for combination in _combinations(parameters) for seed in seeds]
    if len({task.journal for task in todo}) < len(todo):
        raise _native.Error("sweep: a combination of parameters, or a seed, is named twice")
    os.makedirs(out, exist_ok=True)
    runs: dict[str, SweptRun] = {}
    for swept in _run_all(todo, jobs):
        runs[swept.journal] = swept
        (progress or _print_progress)(len(runs), len(todo), swept)
    return _collect([runs[task.journal] for task in todo], _COSTS if outcomes is None else outcomes)


# Settings of throng.run that change what a run leaves; a sweep that was stopped may go on with others changed.
_DECISIVE = ("steps", "events", "coupling", "fallback", "model_for", "reporters")

_COSTS: dict[str, Callable[[RunResult], Value]] = {
    "calls": lambda run: run.calls, "prompt_tokens": lambda run: run.prompt_tokens,
    "output_tokens": lambda run: run.output_tokens, "backend_s": lambda run: run.backend_s,
}


class _Backend:
    """What answers, as other processes can make it: they load a model of their own, which their runs share."""

    _models: dict[str, Model] = {}

    def __init__(self, llm: Llm, jobs: int) -> None:
        self.name = f"model {llm.identity}" if isinstance(llm, Model) else _describe(llm)
        self._llm: Llm | None = None if llm == "local" else llm
        self._settings: dict[str, Any] | None = None
        if isinstance(llm, Model) or llm == "local":
            self._settings = dict(llm._settings) if isinstance(llm, Model) else {}
            if jobs > 1 and not self._settings.get("threads"):
                self._settings["threads"] = max(1, (os.cpu_count() or 1) // jobs)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_llm": None if self._settings is not None else self._llm}

    def get(self) -> Llm:
        if self._llm is None:
            if self.name not in self._models:
                self._models[self.name] = Model(**(self._settings or {}))
            return self._models[self.name]
        return self._llm


@dataclass(frozen=True)
class _Task:
    world: Callable[..., World]
    parameters: dict[str, Any]
    seed: int
    journal: str
    backend: _Backend
    settings: dict[str, Any]

    def run(self) -> SweptRun:
        swept = SweptRun(self.parameters, self.seed, self.journal)
        kept = _result_path(self.journal)
        if os.path.exists(kept):
            return swept
        try:
            result = run(self.world(**self.parameters), self.backend.get(), seed=self.seed, journal=self.journal,
                         resume=True, **self.settings)
        except Exception as error:
            text = str(error).partition("\n")[0]
            line = text if isinstance(error, _native.Error) else f"{type(error).__name__}: {text}"
            return SweptRun(self.parameters, self.seed, self.journal, line or type(error).__name__)
        with open(kept + ".new", "wb") as file:
            pickle.dump(result, file)
        os.replace(kept + ".new", kept)
        return swept


def _run_all(todo: list[_Task], jobs: int) -> Iterator[SweptRun]:
    """Yields runs as they end."""
    if jobs == 1:
        yield from (task.run() for task in todo)
        return
    _check_importable(todo)
    import concurrent.futures  # late, as it takes long
    import multiprocessing
    from concurrent.futures.process import BrokenProcessPool

    with concurrent.futures.ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(_Task.run, task) for task in todo]
        try:
            for future in concurrent.futures.as_completed(futures):
                yield future.result()
        except BrokenProcessPool:
            raise _native.Error("sweep: a process ended before its run did; a script calls throng.sweep below "
                                '`if __name__ == "__main__":`, as every process reads the script') from None
        finally:
            pool.shutdown(cancel_futures=True)


def _check_importable(todo: list[_Task]) -> None:
    try:
        for task in todo:
            pickle.dumps(task)
    except Exception as error:
        raise _native.Error(f"sweep: with jobs above 1, other processes must import what runs ({error}); put it into a "
                            "module, or give jobs=1") from None
    script = getattr(sys.modules["__main__"], "__file__", None)
    if todo and todo[0].world.__module__ == "__main__" and not os.path.exists(script or ""):
        raise _native.Error(f"sweep: with jobs above 1, other processes must import {_describe(todo[0].world)}, which "
                            "is defined at a prompt; put it into a module, or give jobs=1")


def _combinations(parameters: Mapping[str, Iterable[Any]] | Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    if isinstance(parameters, Mapping):
        return [dict(zip(parameters, values)) for values in itertools.product(*map(tuple, parameters.values()))]
    combinations = [dict(combination) for combination in parameters] or [{}]
    if any(combination.keys() != combinations[0].keys() for combination in combinations):
        raise _native.Error("sweep: every combination of parameters must name the same ones")
    return combinations


def _journal_path(out: str | os.PathLike[str], world: Callable[..., World], parameters: dict[str, Any], seed: int,
                  backend: _Backend, settings: dict[str, Any]) -> str:
    """Named after all that a run depends on, so that a repeated sweep finds it."""
    chosen = {name: settings[name] for name in _DECISIVE if name in settings}
    what = [_describe(world), _describe(parameters), seed, backend.name, _describe(chosen)]
    digest = hashlib.sha256(repr(what).encode()).hexdigest()[:12]
    return os.path.join(os.path.abspath(out), f"seed{seed}-{digest}.journal")


def _result_path(journal: str) -> str:
    return journal + ".result"


def _describe(value: Any) -> str:
    """Text that is the same in every process."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _describe(type(value)) + _describe(vars(value))
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {_describe(item)}" for key, item in sorted(value.items())) + "}"
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    text = repr(value)
    return f"{type(value).__module__}.{type(value).__qualname__}" if " at 0x" in text else text


def _print_progress(done: int, count: int, swept: SweptRun) -> None:
    values = ", ".join(f"{name}={value}" for name, value in {**swept.parameters, "seed": swept.seed}.items())
    print(f"{done} of {count}: {values}{': ' + swept.error if swept.error else ''}", file=sys.stderr, flush=True)


def _collect(runs: list[SweptRun], outcomes: Mapping[str, Callable[[RunResult], Value]]) -> SweepResult:
    names = list(runs[0].parameters) if runs else []
    rows = []
    for swept in runs:
        values: list[Any] = [None] * len(outcomes)
        if not swept.error:
            result = swept.result()
            values = [plain(outcome(result), f"the outcome {name!r}") for name, outcome in outcomes.items()]
        rows.append([*(_cell(swept.parameters[name]) for name in names), swept.seed, *values, swept.error])
    return SweepResult(runs, Frame.of([*names, "seed", *outcomes, "error"], rows), list(outcomes))


def _cell(value: Any) -> Value:
    return value if value is None or isinstance(value, (bool, int, float, str)) else _describe(value)


def mean_interval(values: Sequence[float], confidence: float) -> tuple[float | None, float | None, float | None]:
    """The mean, and the ends of its confidence interval by Student's t.

    >>> [round(end, 3) for end in mean_interval([1, 2, 3, 4, 5], 0.95)]
    [3, 1.037, 4.963]
    >>> mean_interval([7], 0.95)
    (7, None, None)
    """
    import statistics  # late, as it takes long

    if not values:
        return None, None, None
    mean = statistics.fmean(values) if any(isinstance(value, float) for value in values) else statistics.mean(values)
    if len(values) < 2:
        return mean, None, None
    half = t_quantile((1 + confidence) / 2, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return mean, mean - half, mean + half


def t_quantile(probability: float, freedom: int) -> float:
    """The quantile of Student's t distribution, for a probability above one half.

    >>> [round(t_quantile(0.975, freedom), 3) for freedom in (1, 2, 4, 9, 30, 1000)]
    [12.706, 4.303, 2.776, 2.262, 2.042, 1.962]
    """
    low, high = 0.0, 1.0
    while _t_inside(high, freedom) < 2 * probability - 1:
        low, high = high, 2 * high
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_inside(middle, freedom) < 2 * probability - 1 else (low, middle)
    return high


def _t_inside(t: float, freedom: int) -> float:
    """The probability of being between -t and t, by the finite sums for whole degrees of freedom (Abramowitz and
    Stegun, 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(freedom))
    cosine2 = math.cos(angle) ** 2
    odd = freedom % 2
    term = math.cos(angle) if odd else 1.0
    total = term if freedom > 1 else 0.0
    for i in range(2 if not odd else 3, freedom - 1, 2):
        term *= cosine2 * (i - 1) / i
        total += term
    return 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
