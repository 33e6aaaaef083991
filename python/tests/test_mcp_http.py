"""Tools of MCP servers at addresses: one of this file, and the official one of npm, if it is there."""

import http.server
import json
import os
import socket
import subprocess
import threading
import time
import unittest

import throng
from test_mcp import OFFICIAL, run_with


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as a document, or as a stream, which also asks for a sign of life and tells of progress."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def log_message(self, *arguments):
        pass

    def do_DELETE(self):
        self.server.seen.append("DELETE " + self.headers["Mcp-Session-Id"])
        self.reply(200)

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        method, id, params = message.get("method"), message.get("id"), message.get("params", {})
        self.server.seen.append(method or message)
        if self.headers["Authorization"] != "Bearer sesame":
            self.reply(401, {"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": "who are you?"}})
        elif method == "initialize":
            self.server.session += 1
            self.reply(200, answer(id, protocolVersion="2025-03-26", capabilities={}, serverInfo={}),
                       {"Mcp-Session-Id": f"s{self.server.session}"})
        elif self.headers["Mcp-Session-Id"] != f"s{self.server.session}":
            self.reply(404)
        elif self.headers["MCP-Protocol-Version"] != "2025-03-26":
            self.reply(400, text=b"of which version?")
        elif method == "tools/list":
            self.reply(200, answer(id, tools=[{"name": name} for name in ("echo", "stream", "refuse", "fail", "hang_up", "nothing")]))
        elif method == "tools/call":
            getattr(self, params["name"])(id, params["arguments"])
        else:
            self.reply(202)

    def echo(self, id, arguments):
        self.reply(200, answer(id, content=[{"type": "text", "text": arguments["message"]}]))

    def stream(self, id, arguments):
        events = [{"method": "notifications/progress", "params": {}}, {"id": 7, "method": "ping"}, {"id": 8, "method": "roots/list"},
                  answer(id, content=[{"type": "text", "text": "flowing"}])]
        text = ": hello\n\n" + "".join(f"event: message\nid: 1\ndata: {json.dumps(event)[:1]}\ndata:{json.dumps(event)[1:]}\n\n"
                                       for event in events)
        self.reply(200, text=text.encode(), headers={"Content-Type": "text/event-stream; charset=utf-8"})

    def refuse(self, id, arguments):
        self.reply(400, {"error": {"message": "not today"}})

    def fail(self, id, arguments):
        self.reply(500, text=b"out of cheese\nredo from start")

    def hang_up(self, id, arguments):
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def nothing(self, id, arguments):
        """Drips comments, so that no single read takes long."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        try:
            while not self.server.is_over.wait(0.05):
                self.wfile.write(b": wait\n")
        except OSError:
            pass
        self.close_connection = True

    def reply(self, status, message=None, headers={}, text=b""):
        body = text if message is None else json.dumps(message).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


def answer(id, **result):
    return {"jsonrpc": "2.0", "id": id, "result": result}


class McpHttpTest(unittest.TestCase):
    def setUp(self):
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.seen, self.server.session, self.server.is_over = [], 0, threading.Event()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.addCleanup(self.server.is_over.set)
        self.url = f"http://127.0.0.1:{self.server.server_port}/mcp"

    def connect(self, **options):
        return throng.McpServer(self.url, headers={"Authorization": "Bearer sesame"}, **options)

    def test_documents_streams_and_failures(self):
        said = run_with(self.connect(), ("echo", {"message": "Grüezi\n"}), ("stream", {}), ("refuse", {}), ("fail", {}), ("hang_up", {}))
        self.assertEqual(said[:2], ["Grüezi\n", "flowing"])
        self.assertEqual(said[2], ["failed", f"{self.url}: HTTP 400: not today"])
        self.assertEqual(said[3], ["unknown", f"{self.url}: HTTP 500: out of cheese"])
        self.assertEqual(said[4][0], "unknown")
        self.assertIn({"jsonrpc": "2.0", "id": 7, "result": {}}, self.server.seen)
        self.assertIn({"jsonrpc": "2.0", "id": 8, "error": {"code": -32601, "message": "not offered"}}, self.server.seen)
        self.assertEqual(self.server.seen[:3], ["initialize", "notifications/initialized", "tools/list"])
        self.assertEqual(self.server.seen[-1], "DELETE s1")

    def test_a_server_that_began_anew_is_asked_again(self):
        tools = self.connect(effect="pure")
        tools.tools()
        self.server.session = 5  # nobody's
        self.assertEqual(run_with(tools, ("echo", {"message": "again"})), ["again"])
        self.assertEqual(self.server.seen[-5:-1], ["tools/call", "initialize", "notifications/initialized", "tools/call"])

    def test_silence_is_unknown_and_is_called_off(self):
        said = run_with(self.connect(timeout=0.3), ("nothing", {}), ("echo", {"message": "on"}))
        self.assertEqual(said[0][0], "unknown")
        self.assertIn("no answer within 0.3 s", said[0][1])
        self.assertEqual(said[1], "on")
        for _ in range(600):  # the run does not wait for it
            if "notifications/cancelled" in self.server.seen:
                return
            time.sleep(0.1)
        self.fail(self.server.seen)

    def test_mistakes_are_told(self):
        with self.assertRaisesRegex(throng.Error, "HTTP 401: who are you?"):
            throng.McpServer(self.url).tools()
        with self.assertRaisesRegex(throng.Error, "'fax' is no tool of http://127.*, allowed: echo, stream"):
            self.connect(effects={"fax": "pure"}).tools()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            with self.assertRaisesRegex(throng.Error, "cannot be reached: .*refused"):
                throng.McpServer(f"http://127.0.0.1:{free.getsockname()[1]}/mcp").tools()
        for wrong in ("http://", "http://host:port/", "http:///mcp"):
            with self.assertRaisesRegex(throng.Error, "allowed: http://HOST"):
                throng.McpServer(wrong).tools()
        with self.assertRaisesRegex(throng.Error, "headers are for an http:// address"):
            throng.McpServer(["cat"], headers={"a": "b"})

    def test_the_official_server(self):
        if OFFICIAL is None:
            self.skipTest("npm's @modelcontextprotocol/server-everything is not in tests/clients/node_modules")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = subprocess.Popen(["node", str(OFFICIAL), "streamableHttp"], env={**os.environ, "PORT": str(port)},
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        tools = throng.McpServer(f"http://127.0.0.1:{port}/mcp", effect="pure")
        names = None
        for _ in range(600):
            try:
                names = [tool.name for tool in tools.tools()]
                break
            except throng.Error as error:
                self.assertIn("cannot be reached", str(error))
                time.sleep(0.1)
        self.assertIn("echo", names)
        self.assertEqual(run_with(tools, ("echo", {"message": "hello"})), ["Echo: hello"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
