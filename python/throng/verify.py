"""Verifying that a run depends on its world alone: not on the order of execution, and not on the process."""

from __future__ import annotations

import dataclasses
import itertools
import os
from dataclasses import dataclass
from typing import Any, Callable, Sequence

from . import _native
from .another_process import AnotherProcess, LeftOut, Variant
from .embeddings import Embedder, tool_of
from .runs import Llm, RunResult, _native_llm
from .world import World

# Varying one thing alone changes what a process does: why.
_CAUSES = {
    "hash_seed": "it changes with PYTHONHASHSEED alone, so a set of str is iterated, or hash() is used; sort the set, "
                 "or use a dict",
    "clock": "it changes with the clock alone, so time or datetime is read; use view.step",
    "chance": "it changes with the seed of the random module alone; draw from view.random",
    "environment": "it changes with the environment alone (TZ, USER, LOGNAME, HOSTNAME, COLUMNS); give such values to "
                   "the factory",
}
_ALWAYS = ("it is different in every process, even with the same hash seed and clock, so an address is used (id(), or "
           "the repr of an object without __repr__), os.urandom, uuid or a process's id")
_STATE = ("another process does as the first run did, so it is what an earlier step or run changed on self, on a class "
          "or in a module; keep it in the mind, or make it in the factory")
_HERE = ("other processes agree with each other but not with this one, so it is something that was changed here "
         "outside of the factory, or by an earlier run: a global, an attribute of a class")


@dataclass
class VerifyReport:
    """The result of ``verify``; true when all runs are equal.

    - ``difference``: a sentence that names the first step and agent that differ, and what each of the two runs has
      there: a line of a prompt, an answer, a position, an event; "" if all runs are equal
    - ``cause``: what it comes from, found by varying one thing after the other; "" if unknown
    - ``left_out``: why the world could not be run in another process; "" if it was
    - ``runs``: the RunResult of each run by its name, up to the first that differs; one in another process that differs
      stops there, and has none
    """

    difference: str
    runs: dict[str, RunResult]
    cause: str = ""
    left_out: str = ""

    @property
    def equal(self) -> bool:
        """Whether all runs are equal."""
        return not self.difference

    def __bool__(self) -> bool:
        return self.equal

    def __str__(self) -> str:
        lines = [f"{name:<23} {run.hash}  {run.calls:>6} calls  {run.parallelism:>6.2f} in flight  "
                 f"{run.max_spread:>4} steps apart" for name, run in self.runs.items()]
        if self.left_out:
            lines.append("not run in another process, so hash seeds, clocks and globals are not covered: "
                         + self.left_out)
        lines.append(self.difference or "equal in all runs")
        if self.cause:
            lines.append(f"probably: {self.cause}")
        return "\n".join(lines)


def verify(world_factory: Callable[[], World], llm: Llm = "fake:latency=1,spread=0.9", *, steps: int,
           seed: int = 1, shuffled: int = 2, processes: int = 3, coupling: str = "paper",
           events: Sequence[tuple[int, str]] = (), answers: str | os.PathLike[str] | None = None,
           embed: Embedder | None = None) -> VerifyReport:
    """Runs a world in every mode and in other processes, and compares what happened.

    It also runs out of order and speculatively ``shuffled`` times each, with answers delayed and reordered. The
    factory makes a new world for each run. A backend's answers must depend on the request alone; a server's answers
    are recorded in the first run, as are those of tools and people. ``answers`` and ``embed`` are as for
    ``throng.run``.

    Each of the other ``processes`` has a hash seed, a date and time, an environment (TZ, USER, LOGNAME, HOSTNAME,
    COLUMNS) and a seed of ``random`` of its own, and gets the answers of the first run. It imports the module of the
    factory, or executes the script up to where it calls ``throng.verify``. Where that is impossible, as in a notebook
    or for a class within a function, the report says so.

    >>> import throng
    >>> class Dice(throng.World):
    ...     def agents(self):
    ...         return [throng.Agent(f"player {i}", (9 * i, 0), mind=()) for i in range(5)]
    ...     def proceed(self, view, agent):
    ...         return throng.Intent(mind=(*agent.mind, view.random.randint(1, 6)))
    >>> throng.verify(Dice, steps=10).equal
    True
    """
    if processes < 0:
        raise _native.Error(f"verify: processes={processes}: allowed: 0 or more")
    import tempfile  # late, as it takes long

    common: dict[str, Any] = {"steps": steps, "seed": seed, "coupling": coupling, "events": list(events)}
    with tempfile.TemporaryDirectory(prefix="throng-") as folder:
        recording = os.path.join(folder, "recording")
        (difference, _, is_backends_fault), runs = _native.verify(
            make_world=world_factory, llm=_native_llm(llm), shuffled=shuffled, recording=recording,
            answers="" if answers is None else os.fspath(answers), embed=tool_of(embed), **common)
        report = VerifyReport(difference, {name: RunResult(**run) for name, run in runs})
        try:
            if processes == 0:
                raise LeftOut("processes=0")
            if not is_backends_fault:
                _add_processes(report, AnotherProcess(world_factory, folder, recording=recording, **common), processes)
        except LeftOut as reason:
            report.left_out = str(reason)
        return report


def _add_processes(report: VerifyReport, process: AnotherProcess, count: int) -> None:
    asked = [(Variant.numbered(i), "another process" if i == 1 else f"another process {i}")
             for i in range(1, count + 1)]
    # The first alone: if it differs already, the others are not needed.
    outcomes = itertools.chain([process.run(*asked[0])], process.run_all(asked[1:]))
    for (variant, name), ((difference, found, _), run) in zip(asked, outcomes):
        if report.equal and not difference:
            report.runs[name] = RunResult(**run)
        else:
            report.difference = report.difference or difference
            report.cause = _find_cause(process, variant, name, difference, found)
            return


def _find_cause(process: AnotherProcess, variant: Variant, name: str, difference: str, found: str) -> str:
    """``found`` is what that process has where it differs from the first run, by the sentence ``difference``."""
    variants = [variant, *(dataclasses.replace(variant, **{what: 100}) for what in _CAUSES)]
    same, *same_without = (outcome[1] == found for outcome, _ in process.run_all([(other, name) for other in variants]))
    if not same:
        return _ALWAYS
    causes = [why for why, is_same in zip(_CAUSES.values(), same_without) if not is_same]
    return "; ".join(causes) or (_HERE if difference else _STATE)
