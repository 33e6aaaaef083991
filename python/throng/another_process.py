"""Repeats a recorded run in another process, whose hash seed, clock, environment and chance are chosen."""

from __future__ import annotations

import copyreg
import datetime
import importlib
import importlib.util
import io
import itertools
import json
import marshal
import os
import pickle
import random
import subprocess
import sys
import time
import types
from dataclasses import dataclass
from typing import Any, Callable, Iterator, Sequence

from . import _native


# As they are before a clock replaces them.
_Date = datetime.date
_DateTime = datetime.datetime


_MOST_AT_A_TIME = 4  # processes: each has a world of its own


class LeftOut(Exception):
    """Why a world cannot be run in another process."""


@dataclass(frozen=True)
class Variant:
    """What a process is given; another number, from 1 on, means another value."""

    hash_seed: int
    clock: int
    chance: int
    environment: int

    @classmethod
    def numbered(cls, number: int) -> Variant:
        return cls(number, number, number, number)

    def environ(self) -> dict[str, str]:
        name = f"throng-verify-{self.environment}"
        return {**os.environ, "PYTHONHASHSEED": str(self.hash_seed), "COLUMNS": str(50 + self.environment),
                "USER": name, "LOGNAME": name, "HOSTNAME": name, "TZ": f"XYZ{-1 - 5 * self.environment % 12}:30"}

    def start_ns(self) -> int:
        """When its clock begins: other than now in year, month, weekday, hour and minute."""
        return time.time_ns() // 10**9 * 10**9 + self.clock * ((500 * 24 + 7) * 60 + 13) * 60 * 10**9


class AnotherProcess:
    """Makes processes that repeat the run of one recording."""

    def __init__(self, factory: Callable, folder: str, **arguments: Any) -> None:
        """``arguments``: those of ``_native.repeat``, but for the world and the name."""
        self._folder = folder
        self._job = {"factory": _dumps(factory), "arguments": arguments, "argv": sys.argv, "main": _main_source()}
        self._starts: dict[int, int] = {}  # a clock begins at the same instant in all processes
        self._numbers = itertools.count()

    def run_all(self, asked: Sequence[tuple[Variant, str]]) -> Iterator[tuple[tuple[str, str, bool], dict[str, Any]]]:
        """What ``run`` returns for each, in order; several processes at a time."""
        from concurrent.futures import ThreadPoolExecutor  # late, as it takes long

        with ThreadPoolExecutor(min(_MOST_AT_A_TIME, os.cpu_count() or 1)) as pool:
            yield from pool.map(lambda arguments: self.run(*arguments), asked)

    def run(self, variant: Variant, name: str) -> tuple[tuple[str, str, bool], dict[str, Any]]:
        """What ``_native.repeat`` returns there; ``name`` is the process's in sentences."""
        if not sys.executable:
            raise LeftOut("this program does not know its Python interpreter")
        start = self._starts.setdefault(variant.clock, variant.start_ns())
        number = next(self._numbers)
        job, result = (os.path.join(self._folder, f"{what}{number}") for what in ("job", "result"))
        with open(job, "wb") as file:
            pickle.dump({**self._job, "start_ns": start, "chance": variant.chance, "name": name}, file)
        code = ("import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
                "import throng.another_process as there; there._serve(*sys.argv[2:])")
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        path = json.dumps([os.fspath(entry) for entry in sys.path])
        done = subprocess.run([sys.executable, *flags, "-c", code, path, job, result],
                              env=variant.environ(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True, errors="replace")
        try:
            with open(result, "rb") as file:
                outcome = pickle.load(file)
            os.remove(result)
            os.remove(job)
        except FileNotFoundError:
            lines = done.stderr.strip().splitlines() or [f"it ends with {done.returncode}"]
            raise LeftOut(f"a Python process for it fails: {lines[-1]}") from None
        if isinstance(outcome, str):
            raise LeftOut(outcome)
        return outcome


# Here: what the other process needs to make the factory's world.

class _Pickler(pickle.Pickler):
    """Takes functions that cannot be imported, as lambdas, by their code."""

    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, types.FunctionType) or _is_importable(value):
            return NotImplemented
        cells = tuple(cell.cell_contents for cell in value.__closure__ or ())
        return _make_function, (marshal.dumps(value.__code__), value.__module__, value.__defaults__,
                                value.__kwdefaults__, cells)


def _is_importable(function: types.FunctionType) -> bool:
    found: Any = sys.modules.get(function.__module__)
    for name in function.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is function


def _dumps(factory: Any) -> bytes:
    file = io.BytesIO()
    try:
        _Pickler(file).dump(factory)
    except Exception as error:  # whatever a __reduce__ raises
        raise LeftOut(f"{factory!r} cannot be made there ({error}); pass a class or function of a module, or a lambda "
                      "that uses nothing else") from None
    return file.getvalue()


def _main_source() -> tuple[str, str] | None:
    """How to load ``__main__``: a module's name, or a script's path; None if it is interactive."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return "module", spec.name
    path = getattr(main, "__file__", None)
    return ("script", os.path.abspath(path)) if path and os.path.exists(path) else None


# There.

_job: dict[str, Any] = {}


class _Loaded(SystemExit):  # which ends a thread without a word
    """Ends a script that was executed far enough."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module != "__main__":
            return super().find_class(module, name)
        found: Any = _load_main()
        for part in name.split("."):
            found = getattr(found, part)
        return found


def _load_factory() -> Callable:
    return _Unpickler(io.BytesIO(_job["factory"])).load()


def _make_function(code: bytes, module: str, defaults: tuple | None, named: dict | None, cells: tuple) -> Callable:
    home = _load_main() if module == "__main__" else importlib.import_module(module)
    made = types.FunctionType(marshal.loads(code), vars(home), "factory", defaults, tuple(map(types.CellType, cells)))
    if named:
        made.__kwdefaults__ = named
    return made


def _load_main() -> types.ModuleType:
    """Executes the main module under another name, so that what it guards by ``__name__`` is left out."""
    if "module" in _job:
        return _job["module"]
    if _job["main"] is None:
        raise LeftOut("the factory was defined in an interactive session; put the world into a module")
    kind, where = _job["main"]
    module = _job["module"] = types.ModuleType("__mp_main__")  # as multiprocessing calls it
    sys.modules["__mp_main__"] = sys.modules["__main__"] = module
    if kind == "module":
        spec = importlib.util.find_spec(where)
        module.__file__, module.__package__ = spec.origin, spec.parent  # type: ignore[union-attr]
        code = spec.loader.get_code(where)  # type: ignore[union-attr]
    else:
        module.__file__ = where
        with open(where, "rb") as file:
            code = compile(file.read(), where, "exec")
    _native.on_entry(_end_script)
    try:
        exec(code, vars(module))
    except _Loaded:
        pass
    finally:
        _native.on_entry(None)
    return module


def _end_script() -> None:
    """Called when the script begins a run or makes a model."""
    try:
        _load_factory()
    except AttributeError:
        raise LeftOut("the script uses throng before it defines the factory; put that under "
                      'if __name__ == "__main__"') from None
    raise _Loaded


class _Clock:
    """Begins at an instant, and advances by a millisecond whenever it is read."""

    def __init__(self, start_ns: int) -> None:
        self._now_ns = start_ns

    def read_ns(self, *_: Any) -> int:
        self._now_ns += 10**6
        return self._now_ns

    def read(self, *_: Any) -> float:
        return self.read_ns() / 1e9

    def install(self) -> None:
        for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time", "clock_gettime"):
            if hasattr(time, name):
                setattr(time, name, self.read)
                setattr(time, name + "_ns", self.read_ns)
        for name in ("localtime", "gmtime", "ctime"):
            setattr(time, name, self._of_seconds(getattr(time, name)))
        for name in ("asctime", "strftime"):
            setattr(time, name, self._of_tuple(getattr(time, name), name == "strftime"))
        self._replace_dates()

    def _of_seconds(self, real: Callable) -> Callable:
        return lambda seconds=None: real(self.read() if seconds is None else seconds)

    def _of_tuple(self, real: Callable, has_format: bool) -> Callable:
        def function(*arguments: Any) -> str:
            if len(arguments) <= has_format:
                arguments += (time.localtime(),)
            return real(*arguments)
        return function

    def _replace_dates(self) -> None:
        read = self.read

        class Meta(type):
            def __instancecheck__(cls, value: Any) -> bool:
                return isinstance(value, cls.__bases__[0]) if cls in fakes else type.__instancecheck__(cls, value)

            def __subclasscheck__(cls, other: type) -> bool:
                return issubclass(other, cls.__bases__[0]) if cls in fakes else type.__subclasscheck__(cls, other)

        # Both make objects of the real classes, so only `now` and `today` can be told from them.
        class date(_Date, metaclass=Meta):
            def __new__(cls, *arguments: Any, **named: Any) -> Any:
                made: Any = _Date if cls in fakes else cls
                return _Date.__new__(made, *arguments, **named)

            @classmethod
            def today(cls) -> Any:
                return cls.fromtimestamp(read())

        class datetime_(_DateTime, metaclass=Meta):
            def __new__(cls, *arguments: Any, **named: Any) -> Any:
                made: Any = _DateTime if cls in fakes else cls
                return _DateTime.__new__(made, *arguments, **named)

            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return cls.fromtimestamp(read(), tz)

            @classmethod
            def today(cls) -> Any:
                return cls.fromtimestamp(read())

            @classmethod
            def utcnow(cls) -> Any:
                return cls.fromtimestamp(read(), datetime.timezone.utc).replace(tzinfo=None)

        fakes = (date, datetime_)
        for fake, real in zip(fakes, (_Date, _DateTime)):
            fake.__name__, fake.__qualname__, fake.__module__ = real.__name__, real.__qualname__, real.__module__
            setattr(datetime, real.__name__, fake)
            copyreg.pickle(real, lambda value, fake=fake: (fake, value.__reduce__()[1]))  # type: ignore[misc]


def _serve(job_path: str, result_path: str) -> None:
    with open(job_path, "rb") as file:
        _job.update(pickle.load(file))
    sys.argv[:] = _job["argv"]
    _Clock(_job["start_ns"]).install()
    try:
        outcome: Any = _repeat()
    except LeftOut as error:
        outcome = str(error)
    with open(result_path, "wb") as file:
        pickle.dump(outcome, file)


def _repeat() -> Any:
    try:
        factory = _load_factory()
    except LeftOut:
        raise
    except BaseException as error:  # also the end of a script
        raise LeftOut(f"the factory's module cannot be loaded there: {type(error).__name__}: {error}") from None
    random.seed(_job["chance"])
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(_job["chance"])
    try:
        world = factory()
    except Exception as error:
        raise LeftOut(f"the factory fails there: {type(error).__name__}: {error}") from None
    return _native.repeat(world=world, name=_job["name"], **_job["arguments"])
