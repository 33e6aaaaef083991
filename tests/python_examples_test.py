"""The examples in Python: on the embedded model, against `throng serve`, against llama.cpp's server, and against one that
misbehaves.

  python3 tests/python_examples_test.py THRONG [EXAMPLE...]

The server that misbehaves is ../shared/cases/mock_openai.py beside the source tree, llama.cpp's is found as
tests/llama_server.py says; without them those parts are left out.
"""

import csv
import importlib.util
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import ThreadingHTTPServer
from pathlib import Path

import llama_server

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "python" / "examples"
MOCK = ROOT.parent / "shared" / "cases" / "mock_openai.py"

# Example: agents, steps, rows of its table at least. Small, because a model of a few megabytes answers on two cores.
SIZES = {"tournament": (6, 10, 6), "feed": (24, 3, 3), "epidemic": (60, 6, 6), "market": (14, 6, 0), "town": (4, 8, 4),
         "civil_violence": (24, 5, 5), "reddit": (12, 3, 0), "pub": (8, 2, 16),
         "election": (24, 13, 13), "classroom": (31, 4, 4), "microblog": (30, 8, 30), "newsroom": (16, 4, 3)}

# What a mode of the server that misbehaves must come to: "done", or words of the server that the message holds.
MODES = {
    "ok": "done", "fence": "done", "flaky": "done", "think": "done", "chatty": "done", "reasoning": "done",
    "parts": "done", "extra": "done", "paren": "done", "letter": "done", "o1": "done", "date429": "done",
    "html": "502 Bad Gateway", "err200": "the provider behind this gateway failed",
    "quota429": "the quota of this account is used up", "null": "", "empty": "", "nochoices": "", "badjson": "",
    "truncjson": "", "truncbody": "", "zero429": "slow down", "long429": "come back in an hour", "hang": "", "drip": "",
    "slowdrip": ""}
STOPS_WITHIN_S = 60
AT_A_TIME = 6


def run(name, llm, *more):
    agents, steps, _ = SIZES[name]
    begin = time.monotonic()
    done = subprocess.run([sys.executable, EXAMPLES / f"{name}.py", "--llm", llm, "--agents", str(agents),
                           "--steps", str(steps), *more], capture_output=True, text=True, timeout=600)
    return done, time.monotonic() - begin


def check(name, llm, out, *more):
    done, seconds = run(name, llm, "--out", out, *more)
    assert done.returncode == 0, f"{name} on {llm}: {done.stderr}"
    rows = list(csv.DictReader(open(out / f"{name}.csv", encoding="utf-8", newline="")))
    assert len(rows) >= SIZES[name][2], f"{name} on {llm}: {len(rows)} rows"
    calls = next(line for line in done.stdout.splitlines() if " calls, " in line)
    print(f"{name} on {llm}: {seconds:.1f} s; {calls}", flush=True)
    return hash_of(done.stdout)


def check_models(throng, names, out):
    """The same model here and behind a server: the same run."""
    here = {name: check(name, "local", out) for name in names}
    server = subprocess.Popen([throng, "serve", "--port", "0"], stderr=subprocess.PIPE, text=True)
    try:
        address = next(line for line in server.stderr if " at http" in line).split(" at ")[1].split()[0]
        threading.Thread(target=server.stderr.read, daemon=True).start()
        for name in names:
            assert check(name, address, out) == here[name], f"{name}: the server's run is another one"
    finally:
        server.terminate()
        server.wait()


def check_llama_cpp(names, out):
    """Raw choices, JSON and text in another server's dialect. It computes each prompt anew: every order of execution then
    comes to the same."""
    with llama_server.LlamaServer(out, "--no-cache-prompt") as server:
        for name in names:
            single = check(name, server.address, out, "--mode", "single")
            assert single == check(name, server.address, out), f"{name}: the order matters"


def load_mock():
    spec = importlib.util.spec_from_file_location("mock_openai", MOCK)
    mock = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mock)
    mock.MODE = "ok"

    class Handler(mock.Handler):
        def do_POST(self):
            self.path = f"/{mock.MODE}{self.path}"
            super().do_POST()

        def note(self, *_):
            pass

    mock.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    mock.server.daemon_threads = True
    mock.server.handle_error = lambda *_: None  # clients go when they have waited long enough
    threading.Thread(target=mock.server.serve_forever, daemon=True).start()
    return mock


def check_mode(name, mode, words, out):
    """On a server of its own, which misbehaves, and then comes to its senses."""
    mock = load_mock()
    address = f"http://127.0.0.1:{mock.server.server_address[1]}/v1?model=m&timeout=2"
    journal = out / f"{name}-{mode}.journal"
    mock.MODE = mode
    done, seconds = run(name, address, "--journal", journal, "--attempts", "9" if words == "done" else "2")
    print(f"{name}, {mode}: {seconds:.1f} s, {done.stderr.strip() or 'done'}", flush=True)
    if words == "done":
        assert done.returncode == 0, f"{name}, {mode}: {done.stderr}"
    else:
        assert done.returncode == 1 and seconds < STOPS_WITHIN_S, f"{name}, {mode}: {seconds:.0f} s, {done.stderr}"
        assert words in done.stderr, f"{name}, {mode}: {done.stderr}"
        mock.MODE = "ok"
        done, _ = run(name, address, "--journal", journal)
        assert done.returncode == 0, f"{name}, resumed after {mode}: {done.stderr}"
    mock.server.shutdown()
    mock.server.server_close()
    return hash_of(done.stdout)


def check_misbehaviour(out):
    """In JSON and in choices: an answer that is there is used; else the run stops soon, with the server's words, and
    goes on when the server has come to its senses. Most of it is waiting, so some are done at a time."""
    jobs = [(name, mode) for mode in reversed(MODES) for name in ("market", "civil_violence")]  # the slow ones first
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        hashes = dict(zip(jobs, pool.map(lambda job: check_mode(*job, MODES[job[1]], out), jobs)))
    for name, mode in jobs:
        assert MODES[mode] == "done" or hashes[name, mode] == hashes[name, "ok"], f"{name}, resumed after {mode}: another run"


def hash_of(output):
    return output.rpartition("hash ")[2].split()[0]


def main():
    names = sys.argv[2:] or list(SIZES)
    with tempfile.TemporaryDirectory() as folder:
        check_models(Path(sys.argv[1]).resolve(), names, Path(folder))
        if llama_server.PROGRAM:
            check_llama_cpp(names, Path(folder))
        else:
            print(llama_server.SKIPPED)
        if MOCK.exists():
            check_misbehaviour(Path(folder))
        else:
            print("left out: a server that misbehaves")


if __name__ == "__main__":
    main()
