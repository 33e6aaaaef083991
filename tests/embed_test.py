"""People of a town who recall by embeddings: the same hash in every order, from a journal alone, and from servers; and what
goes on, is asked and is refused with --embed."""

import json
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

THRONG = sys.argv[1]
LLM = ["--llm", "fake:latency=0.1,spread=0.9"]
WORLD = ["--agents", "12", "--steps", "900"]


def throng(*arguments, code=0):
    done = subprocess.run([THRONG, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == code, f"{arguments}: {done.returncode}: {done.stderr}"
    return done.stdout if code == 0 else done.stderr


def run(*arguments, llm=LLM, world=WORLD):
    return json.loads(throng("run", *llm, *world, "--quiet", "--json", *arguments))


class Server(ThreadingHTTPServer):
    """Embeds a text as the counts of its letters; may be away."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.away = False
        self.texts = []
        self.url = f"http://127.0.0.1:{self.server_port}/v1?model=letters"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.away:
            self.send_error(400, "it has no model any more")
            return
        self.server.texts += body["input"]
        data = [
            {"index": i, "embedding": [text.count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"]}
            for i, text in enumerate(body["input"])
        ]
        reply = json.dumps({"model": body["model"], "data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_):
        pass


def test_every_mode_and_the_journal_alone(folder):
    by_words = run("--no-journal")["hash"]
    first = run("--embed", "fake", "--journal", folder / "fake.journal")
    assert first["hash"] != by_words, "embeddings change nothing"
    for mode in ["lockstep", "speculative"]:
        assert run("--embed", "fake", "--mode", mode, "--no-journal")["hash"] == first["hash"], mode
    # What answers is the journal: this server would be asked in vain.
    again = run("--embed", "http://127.0.0.1:1", "--no-journal", llm=["--llm", f"replay:{folder / 'fake.journal'}"])
    assert again["hash"] == first["hash"]
    assert by_words == run("--no-journal")["hash"]


def test_a_server_is_asked_once_and_may_leave(folder):
    server = Server()
    whole = run("--embed", server.url, "--no-journal")["hash"]
    texts = len(server.texts)
    assert texts == len(set(server.texts)), "a text was embedded twice"
    journal = folder / "server.journal"
    half = run("--embed", server.url, "--journal", journal, world=["--agents", "12", "--steps", "450"])
    assert half["hash"] != whole
    server.away = True
    refusal = throng("resume", journal, "--steps", 900, "--quiet", code=1)
    assert "400" in refusal and "/v1/embeddings" in refusal, refusal
    server.away = False
    other = Server()  # the same model elsewhere
    done = json.loads(throng("resume", journal, "--steps", 900, "--quiet", "--json", "--embed", other.url))
    assert done["hash"] == whole, "the resumed run came out differently"
    refusal = throng("resume", journal, "--steps", 950, "--quiet", "--embed", "fake", code=1)
    assert "the embeddings of another model (server: letters, 26 numbers)" in refusal, refusal
    server.shutdown()
    other.shutdown()


def test_a_fork_goes_on_as_the_run_did(folder):
    fork = folder / "fork.journal"
    throng("journal", "fork", folder / "fake.journal", "--at", 450, "-o", fork)
    done = json.loads(throng("resume", fork, "--quiet", "--json"))
    whole = json.loads(throng("resume", folder / "fake.journal", "--quiet", "--json"))
    assert done["hash"] == whole["hash"]


def test_interviews_recall_as_asked(folder):
    words = folder / "words.journal"
    run("--journal", words)
    for flags in [[], ["--embed", "fake"]]:
        assert throng("interview", words, "--agent", "Ada", "Where is the concert?", *flags)
    questions = folder / "questions.json"
    questions.write_text(json.dumps({"memory": ["Where is the concert?"]}))
    answers = throng("interview", folder / "fake.journal", "--questions", questions, "--embed", "local", "--csv")
    assert len(answers.splitlines()) == 13
    refusal = throng("resume", words, "--steps", 950, "--embed", "fake", code=1)
    assert "its people recall by words" in refusal, refusal


def test_what_is_no_embedder_is_refused(folder):
    for embed, why in [
        ("nobody", "--embed nobody: allowed: local, FILE.gguf, http://HOST:PORT[/v1][?model=NAME], fake"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1/v1/embeddings: "),
        ("none.gguf", "none.gguf"),
    ]:
        refusal = throng("run", *LLM, "--no-journal", "--embed", embed, code=1)
        assert why in refusal, refusal
    refusal = throng("run", "--scenario", "followers", "--llm", "fake", "--no-journal", "--embed", "fake", code=1)
    assert "the world followers has no memories to embed, allowed: a town" in refusal, refusal
    assert "llm_calls" in throng("run", *LLM, *WORLD, "--embed", "fake", "--dry-run", "--json")


def test_the_runs_own_model_embeds(folder):
    small = ["--agents", "5", "--steps", "420", "--no-journal", "--quiet", "--json", "--embed", "local"]
    hashes = {json.loads(throng("run", *small, "--mode", mode))["hash"] for mode in ["single", "speculative"]}
    assert len(hashes) == 1, hashes


def test_verify_takes_embeddings(folder):
    report = throng("verify", *LLM, *WORLD, "--shuffled", "1", "--embed", "fake", "--quiet")
    assert "equal in all runs" in report


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        for test in [value for key, value in list(globals().items()) if key.startswith("test_")]:
            test(Path(name))
            print(test.__name__)
