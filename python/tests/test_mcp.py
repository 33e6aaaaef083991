"""Tools of MCP servers: one of this file, which is as careless as a server may be, and the official one of npm, if it is there."""

import json
import os
import sys
import tempfile
import textwrap
import unittest
from pathlib import Path

import throng

SERVER = textwrap.dedent('''
    import json, sys, time
    def say(**message):
        print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)
    def text(words, **more):
        return {"content": [{"type": "text", "text": words}], **more}
    late = None
    print("starting up", flush=True)
    for line in sys.stdin:
        message = json.loads(line)
        method, id, params = message.get("method"), message.get("id"), message.get("params", {})
        if method == "initialize":
            assert params["protocolVersion"] and params["clientInfo"]["name"] == "throng"
            say(method="notifications/message", params={"data": "hello"})
            say(id=id, result={"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": {}})
        elif method == "tools/list":
            names = ["die", "nothing", "garble"] if params.get("cursor") else ["echo", "add", "refuse", "picture", "pair"]
            say(id=id, result={"tools": [{"name": name, "inputSchema": {}} for name in names],
                               **({} if params.get("cursor") else {"nextCursor": "2"})})
        elif method == "tools/call":
            name, given = params["name"], params["arguments"]
            if name == "echo":
                say(id=id, result=text(given["message"]))
            elif name == "add":
                say(id=900, method="ping")
                say(id=id, result=text("5", structuredContent={"sum": given["a"] + given["b"]}))
            elif name == "refuse" and given:
                say(id=id, error={"code": -32602, "message": "no such argument"})
            elif name == "refuse":
                say(id=id, result=text("it is closed", isError=True))
            elif name == "picture":
                say(id=id, result={"content": [{"type": "image", "data": "AA==", "mimeType": "image/png"}]})
            elif name == "pair":  # answers in the other order
                if late is None:
                    late = id
                else:
                    say(id=id, result=text("second"))
                    say(id=late, result=text("first"))
            elif name == "garble":
                say(id=[id], result={})
                print("[" * 100000, flush=True)
                say(id=id, **json.loads(given["answer"]))
            elif name == "die":
                print("out of memory", file=sys.stderr)
                sys.exit(3)
        elif method is None:
            assert message["id"] == 900 and message["result"] == {}, message
''')
OFFICIAL = next((path for root in (Path(__file__).parents[2] / "tests" / "clients", Path(os.environ.get("THRONG_NPM", "/")))
                 if (path := root / "node_modules/@modelcontextprotocol/server-everything/dist/index.js").exists()), None)


def run_with(server, *uses):
    """What an agent gets from these uses: a value, or what the error says."""
    class User(throng.World):
        tools = [server]

        def agents(self):
            return [throng.Agent("Ann", (0, 0))]

        def proceed(self, view, agent):
            said = []
            for name, arguments in uses:
                try:
                    said.append((yield throng.Tool(name, arguments)))
                except throng.ToolError as error:
                    said.append([error.code, str(error)])
            return throng.Intent(mind=said)

    try:
        return throng.thaw(throng.run(User(), "fake", steps=1).agents[0].mind)
    finally:
        server.close()


class McpTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.argv = [sys.executable, os.path.join(folder.name, "server.py")]
        Path(self.argv[1]).write_text(SERVER, encoding="utf-8")

    def test_results_and_failures(self):
        said = run_with(throng.McpServer(self.argv, effects={"add": "pure"}), ("echo", {"message": "Grüezi\n"}),
                        ("add", {"a": 2, "b": 3}), ("refuse", {}), ("refuse", {"x": 1}), ("picture", {}))
        self.assertEqual(said, ["Grüezi\n", {"sum": 5}, ["failed", "it is closed"], ["failed", "no such argument"],
                                [{"type": "image", "data": "AA==", "mimeType": "image/png"}]])

    def test_what_is_no_answer_leaves_it_unknown(self):
        answers = ('{"result": 3}', "{}", '{"result": {"content": "done"}}', '{"result": {"content": [1]}}', '{"error": "shut"}')
        said = run_with(throng.McpServer(self.argv), *(("garble", {"answer": answer}) for answer in answers),
                        ("echo", {"message": "on"}))
        server = sys.executable
        self.assertEqual(said, [["unknown", f"{server}: the result of its answer is 3, allowed is an object"],
                                ["unknown", f"{server}: the result of its answer is None, allowed is an object"],
                                ["unknown", f"{server}: the content of its result is 'done', allowed is a list of objects"],
                                ["unknown", f"{server}: the content of its result is [1], allowed is a list of objects"],
                                ["failed", "shut"], "on"])

    def test_answers_find_who_has_asked(self):
        server = throng.McpServer(self.argv, effect="pure")

        class Pair(throng.World):
            tools = [server]

            def agents(self):
                return [throng.Agent("Ann", (0, 0))]

            def proceed(self, view, agent):
                return throng.Intent(mind=sorted((yield [throng.Tool("pair"), throng.Tool("pair")])))
        self.addCleanup(server.close)
        self.assertEqual(throng.run(Pair(), "fake", steps=1).agents[0].mind, ("first", "second"))

    def test_a_server_that_ends_or_is_silent_may_have_done_it(self):
        died = f"{sys.executable}: the MCP server has ended: exit code 3: out of memory"
        for effect, code in (("at-commit", "unknown"), ("idempotent", "failed")):
            said = run_with(throng.McpServer(self.argv, effect=effect, timeout=5), ("die", {}), ("echo", {"message": ""}))
            self.assertEqual(said, [[code, died], ["failed", died]])
            said = run_with(throng.McpServer(self.argv, effect=effect, timeout=0.3), ("nothing", {}), ("echo", {"message": "on"}))
            self.assertEqual(said[0][0], code)
            self.assertIn("no answer within 0.3 s", said[0][1])
            self.assertEqual(said[1], "on")

    def test_it_is_started_once_and_mistakes_are_told(self):
        server = throng.McpServer(self.argv, prefix="my-")
        self.assertIs(server.tools(), server.tools())
        self.assertEqual([tool.name for tool in server.tools()],
                         ["my-echo", "my-add", "my-refuse", "my-picture", "my-pair", "my-die", "my-nothing", "my-garble"])
        server.close()
        with self.assertRaisesRegex(throng.Error, "'fax' is no tool of .*, allowed: echo, add"):
            throng.McpServer(self.argv, effects={"fax": "pure"}).tools()
        with self.assertRaisesRegex(throng.Error, "McpServer: /no/such/program cannot be started: No such file"):
            throng.McpServer(["/no/such/program"]).tools()
        with self.assertRaisesRegex(throng.Error, "the MCP server has ended: exit code 1"):
            throng.McpServer(["false"]).tools()
        with self.assertRaisesRegex(throng.Error, "server='npx': allowed: a list of the program"):
            throng.McpServer("npx")

    def test_the_official_server(self):
        if OFFICIAL is None:
            self.skipTest("npm's @modelcontextprotocol/server-everything is not in tests/clients/node_modules")
        server = throng.McpServer(["node", str(OFFICIAL)], effect="pure")
        names = [tool.name for tool in server.tools()]
        self.assertIn("echo", names)
        add = next(name for name in names if name in ("add", "get-sum"))
        said = run_with(server, ("echo", {"message": "hello"}), (add, {"a": 2, "b": 3}), ("echo", {}))
        self.assertEqual(said[0], "Echo: hello")
        self.assertIn("5", json.dumps(said[1]))
        self.assertEqual(said[2][0], "failed")


if __name__ == "__main__":
    unittest.main(verbosity=2)
