"""Workers: processes that do the agents' part of each step for a run that goes on elsewhere."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import sysconfig
import traceback
from typing import Any, Callable, Iterator

from . import _native, another_process
from .another_process import LeftOut
from .record import sources_of
from .world import World

_PROTOCOL = 5  # of pickle


# What the run and its workers send each other.

def dumps(value: Any) -> bytes:
    return pickle.dumps(value, _PROTOCOL)


def loads(data: bytes) -> Any:
    return another_process._Unpickler(io.BytesIO(data)).load() if another_process._job else pickle.loads(data)


class _Traceback(Exception):
    """What an exception was raised with at a worker; shown as its cause."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return "at a worker:\n" + self.text


def dump_exception(error: BaseException) -> bytes:
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    try:
        data = dumps(error)
        loads(data)
    except Exception:  # whatever its class does when it is copied
        data = dumps(RuntimeError(f"{type(error).__name__}: {error}"))
    return dumps((data, text))


def load_exception(data: bytes) -> BaseException:
    pickled, text = loads(data)
    error: BaseException = loads(pickled)
    error.__cause__ = _Traceback(text)
    return error


# The run's side.

class Crew:
    """The workers of one run: ``count`` processes on this machine, or those that come to an ``address`` in Redis."""

    def __init__(self, world: World, count: int, address: str | None) -> None:
        self.count = count
        self.address = address
        self._world = world
        self._processes: list[subprocess.Popen] = []
        # Workers execute a script under another name, as multiprocessing does; so are its classes called in what they send.
        sys.modules.setdefault("__mp_main__", sys.modules["__main__"])

    def job(self, digest: str, seeds: str) -> bytes:
        """What a worker needs to know; the world's ``digest`` must be its own."""
        try:
            world = another_process._dumps(self._world)
        except LeftOut as reason:
            raise _native.Error(f"workers: the world cannot be sent to them: {reason}") from None
        return dumps({"world": world, "main": another_process._main_source(), "argv": sys.argv, "digest": digest,
                      "seeds": seeds, "versions": _versions(), "sources": _digests(self._world)})

    def start(self) -> int:
        """Starts a process, and returns our end of its socket."""
        if not sys.executable:
            raise _native.Error("workers: this program does not know its Python interpreter")
        ours, theirs = socket.socketpair()
        code = ("import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
                "import throng.workers as there; there._serve(int(sys.argv[2]))")
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        path = json.dumps([os.fspath(entry) for entry in sys.path])
        with theirs:
            self._processes.append(subprocess.Popen(
                [sys.executable, *flags, "-c", code, path, str(theirs.fileno())], stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),)))
        return ours.detach()

    def close(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()


@contextlib.contextmanager
def crew_of(world: World, workers: int | str) -> Iterator[Crew | None]:
    """``workers``: as for ``throng.run``."""
    is_address = isinstance(workers, str) and workers.startswith("redis://")
    is_count = isinstance(workers, int) and not isinstance(workers, bool) and workers >= 0
    if not is_address and not is_count:
        raise _native.Error(f"workers={workers!r}: allowed: a number of processes, 0 or more, or redis://HOST:PORT/NAME")
    if workers == 0:
        yield None
        return
    crew = Crew(world, 0, str(workers)) if is_address else Crew(world, int(workers), None)
    try:
        yield crew
    finally:
        crew.close()


def _versions() -> str:
    return f"throng {_native.__version__}, Python {sys.version_info[0]}.{sys.version_info[1]}"


def _digests(world: World) -> dict[str, str]:
    """By the name of a file that defines the world, or of a module that has been imported and is nobody's package."""
    digests = {os.path.basename(name): hashlib.sha256(text.encode()).hexdigest()
               for name, text in sources_of(type(world)).items()}
    for name, module in list(sys.modules.items()):
        path: Any = getattr(module, "__file__", None)
        if name in ("__main__", "__mp_main__") or name.partition(".")[0] == "throng" or not _is_users(path):
            continue
        with contextlib.suppress(OSError), open(path, "rb") as file:
            digests[f"module {name}"] = hashlib.sha256(file.read()).hexdigest()
    return digests


def _is_users(path: Any) -> bool:
    """Whether a module's file is the user's own: neither Python's nor installed."""
    if not isinstance(path, str) or not path.endswith(".py"):
        return False
    installed = {"site-packages", "dist-packages"} & set(path.split(os.sep))
    return not installed and not path.startswith(sysconfig.get_path("stdlib") + os.sep)


# The worker's side.

def _serve(number: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run ends its workers
    seat = _native.Seat(number)
    try:
        job = loads(seat.job())
    except _native.Error:
        return
    try:
        seat.work(_load(job), job["seeds"], job["digest"])
    except (LeftOut, _native.Error) as reason:
        seat.refuse(str(reason))


def serve_redis(address: str, script: str | None, tell: Callable[[str], None]) -> None:
    """Works for the run at this address until it has ended. ``script``: where the run's script is here, if elsewhere.
    Raises throng.Error."""
    name = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(3).hex()}"
    sources: dict[str, str] = {}
    while True:
        seat = _native.Seat(address, name, tell)
        job = loads(seat.job())
        if script is not None:
            job["main"] = ("script", os.path.abspath(script))
        if job["main"] is not None and job["main"][0] == "script":
            folder = os.path.dirname(job["main"][1])
            if folder not in sys.path:
                sys.path.insert(0, folder)  # as when it is executed
        if any(job["sources"].get(name, digest) != digest for name, digest in sources.items()):
            raise _native.Error(f"{address}: the run goes on with other files of its world; begin the worker anew")
        sources = job["sources"]
        try:
            world = _load(job)
        except LeftOut as reason:
            raise _native.Error(f"{address}: {reason}") from None
        seat.work(world, job["seeds"], job["digest"])
        if not seat.goes_on():
            return
        tell(f"{address}: the run begins again, or goes on after a stop")


def _load(job: dict[str, Any]) -> World:
    """Makes the run's world here. Raises LeftOut if it would be another."""
    if job["versions"] != _versions():
        raise LeftOut(f"this is {_versions()}, and the run is of {job['versions']}")
    sys.argv[:] = job["argv"]
    another_process._job.update(main=job["main"], factory=job["world"])
    try:
        world: Any = another_process._load_factory()
    except LeftOut:
        raise
    except BaseException as error:  # also the end of a script
        raise LeftOut(f"the world cannot be loaded here: {type(error).__name__}: {error}") from None
    own = _digests(world)
    for name, digest in job["sources"].items():
        # Of the modules of a run, a worker has those that its world needs.
        if own.get(name, digest if name.startswith("module ") else None) != digest:
            raise LeftOut(f"{name} is not the file that the run has; bring the same one here")
    return world
