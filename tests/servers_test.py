"""Other people's servers: one that misbehaves in every way that was met, our own, which gives the society that the same
model gives in this process, and llama.cpp's.

  python3 tests/servers_test.py THRONG SOURCE

The server that misbehaves is ../shared/cases/mock_openai.py beside the source tree, llama.cpp's is found as
tests/llama_server.py says; without them those parts are left out.
"""

import importlib.util
import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from http.server import ThreadingHTTPServer
from pathlib import Path

import llama_server

THRONG = Path(sys.argv[1]).resolve()
SOURCE = Path(sys.argv[2]).resolve()
MOCK = SOURCE.parent / "shared" / "cases" / "mock_openai.py"
TOWN = ["--agents", "8", "--until", "07:00", "--quiet"]

# Modes in which an answer can be had, and those in which none can: words that the message holds, and more arguments.
FINISH = ["ok", "think", "fence", "chatty", "reasoning", "parts", "paren", "letter", "o1", "flaky", "date429"]
SLOW = ("did not answer within 1 s", "--call-attempts", "2")
STOP = {
    "extra": ("/note is not allowed",),  # by the town's schemas
    "null": ("with no content",),
    "empty": ("it has no text",),
    "nochoices": ("with no choices",),
    "badjson": ("it is not JSON",),
    "truncjson": ("it is not JSON; it was cut off",),
    "truncbody": ("with what is no JSON",),
    "html": ("502 Bad Gateway",),
    "err200": ("the provider behind this gateway failed",),
    "zero429": ("slow down", "--call-attempts", "3"),
    "long429": ("come back in an hour; it asks to wait 3600 s, allowed is 300",),
    "quota429": ("the quota of this account is used up",),
    "hang": SLOW,
    "drip": SLOW,
    "slowdrip": SLOW,
}
NO_ANSWER = ["extra", "null", "empty", "nochoices", "badjson", "truncjson", "truncbody", "html", "err200"]
STOPS_WITHIN_S = 20


def throng(*arguments, code=0):
    begin = time.monotonic()
    done = subprocess.run([THRONG, *map(str, arguments)], capture_output=True, text=True, timeout=300)
    assert done.returncode == code, f"{arguments}: exit code {done.returncode}, not {code}: {done.stderr}"
    return done, time.monotonic() - begin


class Mock:
    """The server, whose mode can be changed while it runs, and what it was asked."""

    def __init__(self):
        spec = importlib.util.spec_from_file_location("mock_openai", MOCK)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.mode, self.first, self.notes, self.count = "ok", [], [], module.COUNT
        outer = self

        class Handler(module.Handler):
            def do_POST(self):
                self.path = f"/{outer.first.pop() if outer.first else outer.mode}{self.path}"
                try:
                    super().do_POST()
                except OSError:
                    pass  # the client went

            def note(self, mode, status, asked):
                outer.notes.append((time.monotonic(), status, asked))

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1?model=m"

    @property
    def address(self):
        """Only modes that keep us waiting have a short limit: a busy machine takes longer than that for an answer, which
        would then be asked for again."""
        return f"{self.url}&timeout={1 if STOP.get(self.mode) is SLOW else 60}"

    def set(self, mode, first=()):
        """first: the modes of the first requests."""
        self.mode, self.first = mode, list(first)
        self.notes.clear()
        self.count.clear()


def misbehaviour(folder):
    mock = Mock()
    run = ["run", *TOWN, "--json", "--llm"]
    mock.set("ok")
    whole = json.loads(throng(*run, mock.address, "--no-journal")[0].stdout)
    for mode in FINISH:
        mock.set(mode)
        done, seconds = throng(*run, mock.address, "--no-journal")
        report = json.loads(done.stdout)
        print(f"{mode}: {seconds:.1f} s, {report['llm_calls']} calls, {len(mock.notes)} requests", flush=True)
        assert report["failed_calls"] == 0 and report["llm_calls"] == whole["llm_calls"], report
        if mode in ("ok", "think", "fence", "chatty", "reasoning", "parts"):
            assert len(mock.notes) == report["llm_calls"], mode  # used at once
        if mode == "o1":  # each of the two parameters is refused once, for all calls
            assert len(mock.notes) == report["llm_calls"] + 2, [status for _, status, _ in mock.notes]
            assert "response_format" in mock.notes[-1][2]
        if mode == "date429":
            assert seconds > 4, "the date was not kept"
    for mode in NO_ANSWER:  # one call without an answer ends no run, not even the first
        mock.set("ok", [mode] * 3)
        alone = ["run", "--agents", "1", "--until", "07:00", "--quiet", "--json", "--llm", mock.address]
        report = json.loads(throng(*alone, "--no-journal")[0].stdout)
        assert report["failed_calls"] == 1, (mode, report)
    for mode, (words, *more) in STOP.items():
        for rule in ("answer", "any") if mode == "quota429" else ("answer",):
            mock.set(mode)
            journal = folder / f"{mode}-{rule}.journal"
            done, seconds = throng(*run, mock.address, "--journal", journal, "--fallback", rule, *more, code=1)
            print(f"{mode}: {seconds:.1f} s, {len(mock.notes)} requests: {done.stderr.strip()}", flush=True)
            lines = done.stderr.strip().splitlines()
            assert words in lines[-1] and "throng resume" in lines[-1], done.stderr
            assert "json.exception" not in done.stderr and seconds < STOPS_WITHIN_S, f"{seconds} s: {done.stderr}"
            if mode == "quota429":
                assert len(mock.notes) <= 8, len(mock.notes)
            if mode == "zero429":
                times = [at for at, _, _ in mock.notes]
                assert times[-1] - times[0] > 1, "asked again without a pause"
            if mode == "badjson":  # the model is told what was wrong
                assert "is not allowed: it is not JSON" in mock.notes[-1][2]["messages"][-1]["content"]
            if mode == "truncjson":
                limits = [asked["max_tokens"] for _, _, asked in mock.notes]
                assert max(limits) >= 4 * min(limits), limits
            mock.set("ok")
            resumed = json.loads(throng("resume", journal, "--quiet", "--json")[0].stdout)
            # Before it stops, agents may fall back, and what they did stays.
            assert resumed["failed_calls"] < 5 if mode in NO_ANSWER else resumed["hash"] == whole["hash"], mode


class OurOwn:
    """`throng serve` with the town's model, on a free port."""

    def __enter__(self):
        self.process = subprocess.Popen([THRONG, "serve", "--port", "0"], stderr=subprocess.PIPE, text=True)
        self.address = next(line for line in self.process.stderr if " at http" in line).split(" at ")[1].split()[0]
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def our_own(folder):
    """The built-in town and its model: in this process, behind `throng serve`, and behind two of them, of which one goes
    away in the middle."""
    run = ["run", "--agents", "6", "--until", "09:00", "--quiet", "--json"]
    with OurOwn() as one, OurOwn() as two:
        here = json.loads(throng(*run, "--no-journal")[0].stdout)
        there = json.loads(throng(*run, "--no-journal", "--llm", one.address)[0].stdout)
        assert there["hash"] == here["hash"] and there["llm_calls"] == here["llm_calls"] > 10, (here, there)
        assert there["output_tokens"] == here["output_tokens"]
        print(f"in this process and over HTTP: {here['llm_calls']} calls, hash {here['hash']}", flush=True)

        both, journal = f"{one.address},{two.address}", folder / "both.journal"
        report = json.loads(throng(*run, "--llm", both, "--journal", journal)[0].stdout)
        assert report["hash"] == here["hash"]
        assert [server["address"] for server in report["servers"]] == [server.address for server in (one, two)]
        assert sum(server["calls"] for server in report["servers"]) == here["llm_calls"], report["servers"]
        assert sum(server["output_tokens"] for server in report["servers"]) == here["output_tokens"], report["servers"]
        served = [row[0] for row in sqlite3.connect(journal).execute("SELECT DISTINCT served_by FROM calls")]
        assert len(served) == 2 and all(any(server.address in by for by in served) for server in (one, two)), served

        journal = folder / "half.journal"
        done = subprocess.Popen([THRONG, *run, "--llm", both, "--journal", journal], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)
        while done.poll() is None and not (journal.exists() and len(answers_so_far(journal)) >= 5):
            time.sleep(0.02)
        two.process.kill()
        report, log = done.communicate(timeout=300)
        assert json.loads(report)["hash"] == here["hash"], log
        assert "other servers are asked meanwhile" in log, log


def answers(journal):
    """(digest of what was asked, answer) by step, agent and call."""
    rows = sqlite3.connect(journal).execute("SELECT step, agent, call, digest, answer FROM calls WHERE finish = 'stop'")
    return {tuple(key): (digest, answer) for *key, digest, answer in rows}


def llama_cpp(folder):
    """The town and its model: in this process, and on llama.cpp's server, which computes each prompt anew, so that equal
    requests have equal answers."""
    town = folder / "town"
    shutil.copytree(SOURCE / "town", town)
    settings = json.loads((town / "scenario.json").read_text())
    (town / "scenario.json").write_text(json.dumps({**settings, "sampling": {}}))  # temperature 0 everywhere
    run = ["run", "--scenario", town, "--agents", "6", "--until", "09:00", "--quiet", "--json"]
    with llama_server.LlamaServer(folder, "--no-cache-prompt") as server:
        throng(*run, "-m", town / "model.gguf", "--journal", folder / "here.journal")
        report = json.loads(throng(*run, "--llm", server.address, "--journal", folder / "there.journal")[0].stdout)
        assert report["failed_calls"] == 0 and report["llm_calls"] > 20, report
        here, there = answers(folder / "here.journal"), answers(folder / "there.journal")
        same = [key for key in here.keys() & there.keys() if here[key][0] == there[key][0]]
        equal = sum(here[key] == there[key] for key in same)
        print(f"llama.cpp: of {len(same)} equal questions, {equal} have equal answers", flush=True)
        # Rounding differs, and some of the answers are plans of a hundred tokens.
        assert len(same) > 15 and equal >= 0.8 * len(same)

        # With temperatures, and a server that goes away: the run stops, and comes to the same end when it is back.
        run = ["run", "--agents", "8", "--until", "09:00", "--quiet", "--json", "--llm", server.address]
        whole = json.loads(throng(*run, "--no-journal")[0].stdout)
        assert json.loads(throng(*run, "--mode", "single", "--no-journal")[0].stdout)["hash"] == whole["hash"]
        journal = folder / "stopped.journal"
        done = subprocess.Popen([THRONG, *run, "--journal", journal, "--call-attempts", "2"], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)
        while done.poll() is None and not (journal.exists() and len(answers_so_far(journal)) >= 5):
            time.sleep(0.02)
        server.stop()
        error = done.communicate(timeout=STOPS_WITHIN_S)[1]
        assert done.returncode == 1 and "throng resume" in error, error
        server.start()
        assert json.loads(throng("resume", journal, "--quiet", "--json")[0].stdout)["hash"] == whole["hash"]

    # A context that is too small for the prompts: in the server's words.
    with llama_server.LlamaServer(folder, "--ctx-size", "256", "--parallel", "1") as server:
        done, _ = throng(*run[:-1], server.address, "--journal", folder / "short.journal", code=1)
        assert "exceeds the available context size" in done.stderr and "throng resume" in done.stderr, done.stderr


def answers_so_far(journal):
    try:
        return answers(journal)
    except sqlite3.OperationalError:  # its tables are not there yet
        return {}


def main():
    with tempfile.TemporaryDirectory() as name:
        our_own(Path(name))
        if llama_server.PROGRAM:
            llama_cpp(Path(name))
        else:
            print(llama_server.SKIPPED)
        if MOCK.exists():
            misbehaviour(Path(name))
        else:
            print(f"SKIPPED: the server that misbehaves, as there is no {MOCK}")


if __name__ == "__main__":
    main()
