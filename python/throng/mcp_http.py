"""A server of the Model Context Protocol at an address, spoken to over streamable HTTP."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import socket
import threading
import time
import urllib.parse
from typing import Any, Iterator

from . import _native
from .effects import ToolError
from .mcp_answer import result_of

_ASIDE_SECONDS = 2.0  # for what nobody waits for


class McpHttp:
    """A session with a server. Any number of threads may ask it at once: each request has a connection of its own."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        parts = urllib.parse.urlsplit(url)
        try:
            host, self._port = parts.hostname, parts.port
        except ValueError:
            host = None
        if not host:
            raise _native.Error(f"McpServer: server={url!r}: allowed: http://HOST[:PORT]/PATH")
        self._host = host
        self._is_tls = parts.scheme == "https"
        self._path = (parts.path or "/") + ("?" + parts.query if parts.query else "")
        self._url, self._headers = url, headers
        self._ids = itertools.count(1)
        self._lock = threading.Lock()  # of the session
        self._hello: dict[str, Any] = {}  # what the session was begun with
        self._session: str | None = None
        self._version: str | None = None

    def ask(self, method: str, params: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The result; raises a ``ToolError`` whose code says whether the server may have done it."""
        with self._lock:
            session = self._session
            if method == "initialize":
                self._hello = params
        try:
            return self._ask(method, params, seconds, session)
        except _SessionEnded:  # the server has begun anew, and done nothing of this
            with self._lock:
                if self._session == session:
                    self._session = None
                    self._ask("initialize", self._hello, seconds, None)
                    self._tell({"method": "notifications/initialized"})
                session = self._session
            return self._ask(method, params, seconds, session)

    def tell(self, method: str) -> None:
        """Sends a notification."""
        self._tell({"method": method})

    def close(self) -> None:
        if self._session is None:
            return
        try:
            with self._send("DELETE", None, self._session, _ASIDE_SECONDS):
                pass
        except (OSError, http.client.HTTPException, ToolError):
            pass  # it has ended before

    def _ask(self, method: str, params: dict[str, Any], seconds: float, session: str | None) -> dict[str, Any]:
        id = next(self._ids)
        try:
            message = self._exchange({"id": id, "method": method, "params": params}, seconds, session)
        except TimeoutError:
            self._tell({"method": "notifications/cancelled", "params": {"requestId": id}})
            raise ToolError(f"{self._url}: no answer within {seconds:g} s", code="unknown") from None
        except ToolError:
            raise
        except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
            raise ToolError(f"{self._url}: {error or type(error).__name__}", code="unknown") from None
        result = result_of(self._url, message)
        if method == "initialize":
            self._version = result.get("protocolVersion")
        return result

    def _tell(self, message: dict[str, Any]) -> None:
        try:
            with self._send("POST", message, self._session, _ASIDE_SECONDS):
                pass
        except (OSError, http.client.HTTPException, ToolError):
            pass  # the next request says what is wrong

    def _exchange(self, message: dict[str, Any], seconds: float, session: str | None) -> dict[str, Any]:
        """The server's answer to a request."""
        deadline = time.monotonic() + seconds
        with self._send("POST", message, session, seconds) as (response, stream):
            self._refuse_failure(response, session)
            if message["method"] == "initialize":
                self._session = response.getheader("Mcp-Session-Id")
            for answer in _messages(response, stream, deadline):
                if "method" not in answer:
                    if answer.get("id") == message["id"]:
                        return answer
                elif "id" in answer:  # it asks: nothing is offered but a sign of life
                    self._tell({"id": answer["id"], **({"result": {}} if answer["method"] == "ping" else
                                                       {"error": {"code": -32601, "message": "not offered"}})})
        raise http.client.HTTPException("it ended without an answer")

    @contextlib.contextmanager
    def _send(self, verb: str, message: dict[str, Any] | None, session: str | None,
              seconds: float) -> Iterator[tuple[http.client.HTTPResponse, socket.socket]]:
        make = http.client.HTTPSConnection if self._is_tls else http.client.HTTPConnection
        connection = make(self._host, self._port, timeout=seconds)
        try:
            connection.connect()
        except OSError as error:  # so it has not done this
            raise ToolError(f"{self._url}: cannot be reached: {error}", code="failed") from None
        stream = connection.sock  # the connection lets go of it when the answer ends with it
        headers = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json", **self._headers}
        if session is not None:
            headers["Mcp-Session-Id"] = session
        if self._version is not None:
            headers["MCP-Protocol-Version"] = self._version
        with contextlib.closing(connection):
            body = None if message is None else json.dumps({"jsonrpc": "2.0", **message}).encode()
            connection.request(verb, self._path, body, headers)
            with connection.getresponse() as response:
                yield response, stream

    def _refuse_failure(self, response: http.client.HTTPResponse, session: str | None) -> None:
        if response.status == 200:
            return
        if response.status == 404 and session is not None:
            raise _SessionEnded
        said = response.read(65536).decode(errors="replace").strip()
        try:
            said = json.loads(said)["error"]["message"]
        except (ValueError, KeyError, TypeError):
            said = said.splitlines()[0][:200] if said else str(response.reason)
        # It refuses a request before it does anything; what happened before a failure of its own is not known.
        raise ToolError(f"{self._url}: HTTP {response.status}: {said}", code="failed" if response.status < 500 else "unknown")


class _SessionEnded(Exception):
    """The server does not know the session."""


def _messages(response: http.client.HTTPResponse, stream: socket.socket, deadline: float) -> Iterator[dict[str, Any]]:
    """What the server sends until the deadline (TimeoutError): a document, or a stream of server-sent events."""
    is_stream = (response.getheader("Content-Type") or "").startswith("text/event-stream")
    data: list[bytes] = []
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        stream.settimeout(left)
        line = response.readline()
        if not is_stream and line:
            data.append(line)
        elif line.startswith(b"data:"):
            data.append(line[5:])
        elif not line.strip() and data:
            yield from _documents(b"".join(data))
            data = []
        if not line:
            return


def _documents(text: bytes) -> list[dict[str, Any]]:
    document = json.loads(text)
    return [part for part in (document if isinstance(document, list) else [document]) if isinstance(part, dict)]
