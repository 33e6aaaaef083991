"""Servers of the Model Context Protocol, whose tools agents may use."""

from __future__ import annotations

import atexit
import threading
from typing import Any, Callable, Mapping, Protocol, Sequence

from . import _native
from .effects import FunctionTool
from .mcp_answer import value_of
from .mcp_http import McpHttp
from .mcp_process import McpProcess

_PROTOCOL = "2025-06-18"
_START_SECONDS = 60.0  # for the first answers, as some servers load much


class _Transport(Protocol):
    """A way to a server. Any number of threads may ask at once."""

    def ask(self, method: str, params: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The result; raises a ``ToolError`` whose code says whether the server may have done it."""

    def tell(self, method: str) -> None:
        """Sends a notification."""

    def close(self) -> None: ...


class McpServer:
    """A server of the Model Context Protocol: list it among a world's ``tools``.

    It is a command of this machine (stdio) or an address (streamable HTTP). A command is started once, for the first run
    that needs it, and ends with this process. Agents use its tools under their names. A result is its structured content,
    or its text, or else the list of what it has. What the server says of its tools' effects is not relied on: say it here.

    - ``server``: the list of a program and its arguments, or a URL
    - ``headers``: of HTTP requests, such as ``{"Authorization": "Bearer ..."}``
    - ``effect``, ``timeout``: of its tools, as for ``throng.tool``; ``effects``: other effects, by tool
    - ``prefix``: goes before the names of its tools, if two servers have the same

    Example::

        class Village(throng.World):
            tools = [throng.McpServer(["npx", "@modelcontextprotocol/server-everything"], effects={"echo": "pure"}),
                     throng.McpServer("http://localhost:3001/mcp", prefix="remote-")]
    """

    def __init__(self, server: Sequence[str] | str, *, headers: Mapping[str, str] | None = None,
                 effect: str = "at-commit", effects: Mapping[str, str] | None = None, timeout: float = 60.0,
                 prefix: str = "") -> None:
        is_url = isinstance(server, str) and server.startswith(("http://", "https://"))
        if not server or (isinstance(server, str) and not is_url):
            raise _native.Error(f"McpServer: server={server!r}: allowed: a list of the program and its arguments, or "
                                "http://HOST[:PORT]/PATH")
        if headers and not is_url:
            raise _native.Error("McpServer: headers are for an http:// address; a command has none")
        self._server, self._headers = server, dict(headers or {})
        self._name = str(server) if is_url else server[0]
        self._effect, self._timeout, self._prefix = effect, timeout, prefix
        self._effects = dict(effects or {})
        self._connection: _Transport | None = None
        self._tools: list[FunctionTool] = []
        self._lock = threading.Lock()

    def tools(self) -> list[FunctionTool]:
        """What it offers; starts it if need be."""
        with self._lock:
            if self._connection is None:
                connection = self._connect()
                try:
                    _shake_hands(connection)
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

    def _connect(self) -> _Transport:
        if isinstance(self._server, str):
            return McpHttp(self._server, self._headers)
        return McpProcess(list(self._server))

    def _read_tools(self, connection: _Transport) -> list[FunctionTool]:
        names = [offered["name"] for offered in _list_tools(connection)]
        for name in self._effects:
            if name not in names:
                raise _native.Error(f"McpServer: effects: {name!r} is no tool of {self._name}, allowed: "
                                    + ", ".join(names))
        return [FunctionTool(self._function(connection, name), self._prefix + name,
                             self._effects.get(name, self._effect), self._timeout) for name in names]

    def _function(self, connection: _Transport, name: str) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            result = connection.ask("tools/call", {"name": name, "arguments": arguments}, self._timeout)
            return value_of(self._name, result)

        call.__name__ = name
        return call


def _shake_hands(connection: _Transport) -> None:
    client = {"name": "throng", "version": _native.__version__}
    connection.ask("initialize", {"protocolVersion": _PROTOCOL, "capabilities": {}, "clientInfo": client}, _START_SECONDS)
    connection.tell("notifications/initialized")


def _list_tools(connection: _Transport) -> list[dict[str, Any]]:
    tools: list[dict[str, Any]] = []
    page: dict[str, Any] = {}
    while True:
        result = connection.ask("tools/list", page, _START_SECONDS)
        tools += result["tools"]
        if not result.get("nextCursor"):
            return tools
        page = {"cursor": result["nextCursor"]}
