"""What the tests of the package share: small worlds, and what a process writes."""

import contextlib
import http.server
import json
import os
import tempfile
import threading

import throng


@contextlib.contextmanager
def captured_stderr():
    """What this process and its children write to the standard error."""
    kept = os.dup(2)
    with tempfile.TemporaryFile("w+") as file:
        os.dup2(file.fileno(), 2)
        try:
            def text():
                file.seek(0)
                return file.read()
            yield text
        finally:
            os.dup2(kept, 2)
            os.close(kept)


class Line(throng.World):
    """Agents on a line who walk by chance, ask where to go, and remember whom they saw."""

    width, height = 80, 3
    perception_radius = 2

    def __init__(self, num_agents=6, gap=12):
        self.num_agents = num_agents
        self.gap = gap

    def agents(self):
        return [throng.Agent(f"a{i}", (2 + self.gap * i, 1), mind=()) for i in range(self.num_agents)]

    def proceed(self, view, agent):
        mind = agent.mind
        if view.random.random() < 0.5:
            answer = yield throng.Call(f"{agent.name} remembers {mind[-2:]}", choices=["left", "right"])
            mind = (*mind, str(answer))
        mind = (*mind, *(other.name + other.status for other in view.neighbours()))
        x = agent.pos.x + (1 if mind and mind[-1] == "right" else -1)
        x = min(max(x, 0), self.width - 1)
        return throng.Intent(pos=(x, 1), mind=mind, status=str(view.step), write={agent.pos: agent.name},
                             events=[("move", f"to {x}")])


class Server:
    """An OpenAI server in a thread: `answer` gets a prompt whenever it is asked, and returns what the model says."""

    def __init__(self, answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *arguments):
                pass

            def do_POST(self):
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                prompt = next(said["content"] for said in request["messages"] if said["role"] == "user")
                message = {"role": "assistant", "content": answer(prompt)}
                body = json.dumps({"id": "x", "object": "chat.completion", "created": 1, "model": "m",
                                   "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                                   "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.llm = f"http://127.0.0.1:{self.http.server_port}/v1?model=m"

    def close(self):
        self.http.shutdown()
        self.http.server_close()
