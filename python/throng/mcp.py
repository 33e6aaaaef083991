"""Servers of the Model Context Protocol, whose tools agents may use."""

from __future__ import annotations

import atexit
import itertools
import json
import subprocess
import tempfile
import threading
from typing import Any, Callable, Mapping, Sequence

from . import _native
from .effects import FunctionTool, ToolError

_PROTOCOL = "2025-06-18"
_START_SECONDS = 60.0  # for the first answers, as some servers load much
_CLOSE_SECONDS = 2.0


class McpServer:
    """A server of the Model Context Protocol that is a command of this machine (stdio): list it among a world's ``tools``.

    It is started once, for the first run that needs it, and ends with this process. Agents use its tools under their
    names. A result is its structured content, or its text, or else the list of what it has. What the server says of its
    tools' effects is not relied on: say it here.

    - ``argv``: the program and its arguments
    - ``effect``, ``timeout``: of its tools, as for ``throng.tool``; ``effects``: other effects, by tool
    - ``prefix``: goes before the names of its tools, if two servers have the same

    Example::

        class Village(throng.World):
            tools = [throng.McpServer(["npx", "@modelcontextprotocol/server-everything"], effects={"echo": "pure"})]
    """

    def __init__(self, argv: Sequence[str], *, effect: str = "at-commit", effects: Mapping[str, str] | None = None,
                 timeout: float = 60.0, prefix: str = "") -> None:
        if isinstance(argv, str) or not argv:
            raise _native.Error(f"McpServer: argv={argv!r}: allowed: a list of the program and its arguments")
        self._argv, self._effect, self._timeout, self._prefix = list(argv), effect, timeout, prefix
        self._effects = dict(effects or {})
        self._connection: _Connection | None = None
        self._tools: list[FunctionTool] = []
        self._lock = threading.Lock()

    def tools(self) -> list[FunctionTool]:
        """What it offers; starts it if need be."""
        with self._lock:
            if self._connection is None:
                connection = _Connection(self._argv)
                try:
                    self._tools = self._read_tools(connection)
                except BaseException:
                    connection.close()
                    raise
                self._connection = connection
                atexit.register(connection.close)
            return self._tools

    def close(self) -> None:
        """Ends the server; the next run starts another."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def _read_tools(self, connection: _Connection) -> list[FunctionTool]:
        names = [offered["name"] for offered in connection.list_tools()]
        for name in self._effects:
            if name not in names:
                raise _native.Error(f"McpServer: effects: {name!r} is no tool of {self._argv[0]}, allowed: "
                                    + ", ".join(names))
        return [FunctionTool(self._function(connection, name), self._prefix + name,
                             self._effects.get(name, self._effect), self._timeout) for name in names]

    def _function(self, connection: _Connection, name: str) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            return _value_of(connection.ask("tools/call", {"name": name, "arguments": arguments}, self._timeout))

        call.__name__ = name
        return call


def _value_of(result: dict[str, Any]) -> Any:
    """What an agent gets of the result of a tool."""
    content = result.get("content", [])
    texts = [part.get("text", "") for part in content if part.get("type") == "text"]
    if result.get("isError"):
        raise ToolError("\n".join(texts) or "the tool has failed", code="failed")
    if "structuredContent" in result:
        return result["structuredContent"]
    return "\n".join(texts) if len(texts) == len(content) else content


class _Connection:
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
        client = {"name": "throng", "version": _native.__version__}
        try:
            self.ask("initialize", {"protocolVersion": _PROTOCOL, "capabilities": {}, "clientInfo": client}, _START_SECONDS)
        except BaseException:
            self.close()
            raise
        self._write({"method": "notifications/initialized"})

    def list_tools(self) -> list[dict[str, Any]]:
        tools: list[dict[str, Any]] = []
        page: dict[str, Any] = {}
        while True:
            result = self.ask("tools/list", page, _START_SECONDS)
            tools += result["tools"]
            if not result.get("nextCursor"):
                return tools
            page = {"cursor": result["nextCursor"]}

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
        if "error" in answer.message:
            raise ToolError(str(answer.message["error"].get("message", "it refuses")), code="failed")
        return answer.message["result"]

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
            except ValueError:
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
        with self._lock:
            answer = self._waiting.pop(message.get("id"), None)  # type: ignore[arg-type]
        if answer is not None:
            answer.message = message
            answer.came.set()


class _Answer:
    """What somebody waits for."""

    def __init__(self) -> None:
        self.came = threading.Event()
        self.message: dict[str, Any] | None = None  # still None when the server has ended
