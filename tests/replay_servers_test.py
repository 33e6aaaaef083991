"""A recorded day on real servers: `throng replay --llm http://...` against `throng serve`, whose log of requests says
what it was asked.

  python3 tests/replay_servers_test.py THRONG
"""

import json
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path

THRONG = Path(sys.argv[1]).resolve()
MODES = ["lockstep", "ooo", "speculative", "oracle"]
SHORTER = 12  # prompts are divided by this, so that two cores are done in seconds
LEAST_PROMPT = 24


def throng(*args, code=0):
    done = subprocess.run([THRONG, *map(str, args)], capture_output=True, text=True, timeout=600)
    assert done.returncode == code, (args, done.returncode, done.stdout, done.stderr)
    return done


class Server:
    """`throng serve` with the embedded model on a free port, and the log of what it was asked."""

    def __init__(self, folder, name, *flags):
        self.log = folder / f"{name}.log"
        command = [THRONG, "serve", "--port", "0", "--request-log", self.log, *flags]
        self.process = subprocess.Popen([str(word) for word in command], stderr=subprocess.PIPE, text=True)
        self.address = next(line for line in self.process.stderr if " at http" in line).split(" at ")[1].split()[0]
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def take(self):
        """How often it has answered a prompt of so many tokens with so many, since the last time."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        self.log.write_text("")
        return Counter((line["prompt_tokens"], line["answer_tokens"]) for line in lines
                       if line["path"] == "/v1/chat/completions" and line["status"] == 200)


def shorten(path):
    """Divides the prompts of a trace; returns how often a call has so many tokens of prompt and answer."""
    calls = Counter()

    def shorter(call):
        call[-2] = max(LEAST_PROMPT, call[-2] // SHORTER)
        calls[call[-2], call[-1]] += 1
        return call

    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        for calls_of in ("calls", "turns"):
            if calls_of in line:
                line[calls_of] = [shorter(call) for call in line[calls_of]]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    return calls


def sizes(calls):
    return (sum(calls.values()), sum(prompt * times for (prompt, _), times in calls.items()),
            sum(answer * times for (_, answer), times in calls.items()))


def every_mode(trace, recorded, server):
    done = throng("replay", trace, "--mode", ",".join(MODES), "--llm", server.address, "--json")
    results = {row["mode"]: row for row in json.loads(done.stdout)["results"]}
    assert list(results) == MODES, results
    for mode, row in results.items():
        got = row["llm_calls"], row["prompt_tokens"], row["output_tokens"]
        assert got == sizes(recorded), (mode, got, sizes(recorded))
        assert not any(row["unlike_recorded"].values()), row
        assert row["completion_s"] > 0 and row["servers"][0]["failures"] == 0, row
        print(f"{mode}: {row['completion_s']:.1f} s, {row['parallelism']:.2f} in flight, {got[0]} calls", flush=True)
    assert len({results[mode]["hash"] for mode in MODES[:3]}) == 1, results
    # What the server says it was asked: the calls of the trace in each mode, and nothing more than guesses that came to
    # nothing, what was learnt before, and a call of one token at the start of each mode.
    asked = server.take()
    for size, times in recorded.items():
        assert asked[size] >= len(MODES) * times, (size, asked[size], times)
    wasted = results["speculative"]["wasted_calls"]
    extra = sum(asked.values()) - len(MODES) * sum(recorded.values())
    assert 0 < extra <= wasted + 2 * 64 + 3 + len(MODES), (extra, wasted)
    return results


def one_mode_alone(trace, recorded, server):
    """A mode that is named alone runs alone: the modes before it would take as long again."""
    row = json.loads(throng("replay", trace, "--mode", "ooo", "--llm", server.address, "--json").stdout)
    assert row["mode"] == "ooo" and "speedup_vs_lockstep" not in row, row
    asked = sum(server.take().values())
    assert sizes(recorded)[0] <= asked <= sizes(recorded)[0] + 2 * 64 + 4, asked


def shared_beginnings(trace, server):
    """Only prompts that are told to begin alike are found in the server's cache."""
    cached = [json.loads(throng("replay", trace, "--mode", "lockstep,ooo", "--llm", server.address, "--shared-prefix",
                                share, "--json").stdout)["results"][1]["servers"][0] for share in (0, 1)]
    print("cached:", [row["cached_prompt_tokens"] for row in cached], "of", cached[0]["prompt_tokens"])
    assert cached[0]["cached_prompt_tokens"] < 0.2 * cached[0]["prompt_tokens"], cached
    assert cached[1]["cached_prompt_tokens"] > 0.4 * cached[1]["prompt_tokens"], cached


def two_servers(trace, recorded, folder, one):
    with Server(folder, "two") as two:
        both = f"{one.address},{two.address}"
        row = json.loads(throng("replay", trace, "--mode", "ooo", "--llm", both, "--json").stdout)
        assert row["llm_calls"] == sizes(recorded)[0] and len(row["servers"]) == 2, row
        assert all(server["calls"] > 0.2 * row["llm_calls"] for server in row["servers"]), row["servers"]
        two.process.kill()
        done = throng("replay", trace, "--mode", "ooo", "--llm", both, "--json")
        row = json.loads(done.stdout)
        assert row["output_tokens"] == sizes(recorded)[2], row
        assert "other servers are asked meanwhile" in done.stderr, done.stderr


def refusals(trace, folder):
    done = throng("replay", trace, "--mode", "ooo", "--llm", "http://127.0.0.1:9", code=1)
    assert "http://127.0.0.1:9/v1/models cannot be reached" in done.stderr, done.stderr
    for flags in (["--journal", folder / "a.journal"], ["--interactive", "Isabella"], ["--shared-prefix", "0.5"]):
        url = ["--llm", "latency"] if "--shared-prefix" in flags else ["--llm", "http://127.0.0.1:9"]
        done = throng("replay", trace, *url, *flags, code=1)
        assert "virtual time" in done.stderr or "reads no prompts" in done.stderr, done.stderr
    with Server(folder, "short") as server:
        long = folder / "long.jsonl"
        text = trace.read_text().replace(f", {LEAST_PROMPT}, ", ", 100000, ", 1)
        long.write_text(text)
        done = throng("replay", long, "--mode", "ooo", "--llm", server.address, code=1)
        assert "the longest call (" in done.stderr and "a prompt of 100000 tokens" in done.stderr, done.stderr


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trace = folder / "noon.jsonl"
        throng("trace", "synth", "--agents", 25, "--hours", "12:00-12:03", "--seed", 101, "-o", trace)
        recorded = shorten(trace)
        assert sizes(recorded)[0] > 100, recorded
        with Server(folder, "one") as one:
            every_mode(trace, recorded, one)
            one_mode_alone(trace, recorded, one)
            shared_beginnings(trace, one)
            two_servers(trace, recorded, folder, one)
        refusals(trace, folder)


if __name__ == "__main__":
    main()
