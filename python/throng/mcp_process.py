"""A server of the Model Context Protocol that is a command of this machine, spoken to over its standard input and output."""

from __future__ import annotations

import itertools
import json
import subprocess
import tempfile
import threading
from typing import Any

from . import _native
from .effects import ToolError
from .mcp_answer import result_of

_CLOSE_SECONDS = 2.0


class McpProcess:
    """A running server. Any number of threads may ask it at once; one more reads what it says."""

    def __init__(self, argv: list[str]) -> None:
        self._errors = tempfile.TemporaryFile()  # a pipe that nobody reads would stop it
        try:
            self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors)
        except OSError as error:
            self._errors.close()
            raise _native.Error(f"McpServer: {argv[0]} cannot be started: {error.strerror}") from None
        self._name = argv[0]
        self._ids = itertools.count(1)
        self._waiting: dict[int, _Answer] = {}
        self._lock = threading.Lock()  # of what is written, and of _waiting
        self._has_ended = False
        self._reader = threading.Thread(target=self._read, name=f"throng {argv[0]}", daemon=True)
        self._reader.start()

    def tell(self, method: str) -> None:
        """Sends a notification."""
        self._write({"method": method})

    def ask(self, method: str, params: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The result; raises a ``ToolError`` whose code says whether the server may have done it."""
        answer = _Answer()
        id = next(self._ids)
        with self._lock:
            if self._has_ended:  # so it has not done this
                raise ToolError(self._describe_end(), code="failed")
            self._waiting[id] = answer
        self._write({"id": id, "method": method, "params": params})
        if not answer.came.wait(seconds):
            with self._lock:
                del self._waiting[id]
            self._write({"method": "notifications/cancelled", "params": {"requestId": id}})
            raise ToolError(f"{self._name}: no answer within {seconds:g} s", code="unknown")
        if answer.message is None:
            raise ToolError(self._describe_end(), code="unknown")
        return result_of(self._name, answer.message)

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.close()
        except OSError:
            pass  # it has ended with something unread
        try:
            self._process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()
        self._errors.close()

    def _describe_end(self) -> str:
        code = self._process.wait()
        if self._errors.closed:
            return f"{self._name}: the MCP server was closed"
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"{self._name}: the MCP server has ended: exit code {code}" + (f": {lines[-1]}" if lines else "")

    def _write(self, message: dict[str, Any]) -> None:
        line = json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n"
        with self._lock:
            assert self._process.stdin is not None
            try:
                self._process.stdin.write(line)
                self._process.stdin.flush()
            except (OSError, ValueError):  # it has ended, or was closed: the reader tells who waits
                pass
            if self._has_ended:
                self._tell_all()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                message = json.loads(line)
            except (ValueError, RecursionError):
                continue  # what a careless server prints
            if isinstance(message, dict):
                self._take(message)
        with self._lock:
            self._has_ended = True
            self._tell_all()

    def _tell_all(self) -> None:
        """Tells all who wait that nothing will come; call it with the lock."""
        for answer in self._waiting.values():
            answer.came.set()
        self._waiting.clear()

    def _take(self, message: dict[str, Any]) -> None:
        if "method" in message:
            if "id" in message:  # it asks: nothing is offered but a sign of life
                reply = ({"result": {}} if message["method"] == "ping" else
                         {"error": {"code": -32601, "message": "not offered"}})
                self._write({"id": message["id"], **reply})
            return
        id = message.get("id")
        with self._lock:
            answer = self._waiting.pop(id, None) if isinstance(id, int) else None
        if answer is not None:
            answer.message = message
            answer.came.set()


class _Answer:
    """What somebody waits for."""

    def __init__(self) -> None:
        self.came = threading.Event()
        self.message: dict[str, Any] | None = None  # still None when the server has ended
