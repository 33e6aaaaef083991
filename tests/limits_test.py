"""Limits that stop a run (tokens, money), calls that hang or fail, and priority for one agent: exit codes, sentences, and that the result is the
same in the end."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

THRONG = Path(sys.argv[1]).resolve()
WORLD = ["--agents", "24", "--steps", "1200", "--quiet", "--json"]
SICK = "fake:latency=1,stuck=0.02,fail=0.02"


def throng(*arguments, code=0):
    done = subprocess.run([THRONG, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert done.returncode == code, f"{arguments}: exit code {done.returncode}, not {code}: {done.stderr}"
    if code == 0:
        return json.loads(done.stdout)
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def budgets(folder):
    healthy = ["run", *WORLD, "--llm", "fake:latency=1"]
    whole = throng(*healthy, "--no-journal")
    tokens = whole["prompt_tokens"] + whole["output_tokens"]
    for mode in ["ooo", "lockstep"]:
        journal = folder / f"{mode}.journal"
        limit = tokens // 3
        message = throng(*healthy, "--mode", mode, "--max-tokens-total", limit, "--journal", journal, code=3)
        assert "stopped" in message and f"of {limit} tokens are used up" in message and journal.name in message, message
        assert "tokens are used up" in throng("resume", journal, "--quiet", code=3)  # the limit is kept
        used = throng("journal", journal, "--json")
        used = sum(each["prompt_tokens"] + each["output_tokens"] for each in used["functions"])
        assert limit <= used < limit + 24 * 400, used  # more by what was in flight at most
        message = throng("resume", journal, "--quiet", "--max-tokens-total", 10 * tokens, "--max-cost", "0.02", "--price", "0.5,2", code=3)
        assert "the most that it may cost" in message, message
        result = throng("resume", journal, "--quiet", "--json", "--max-cost", 100)  # the rest is as given last
        assert result["hash"] == whole["hash"]
        cost = (0.5 * whole["prompt_tokens"] + 2 * whole["output_tokens"]) / 1e6
        assert abs(result["cost"] - cost) < 1e-9
    # Guesses that were wrong are paid for, too: they count against the limit after a resume as before.
    guess = ["run", *WORLD, "--llm", "latency", "--mode", "speculative", "--price", "0.5,2"]
    guessed = throng(*guess, "--no-journal")
    assert guessed["wasted_tokens"] > 0
    assert guessed["cost"] > (0.5 * guessed["prompt_tokens"] + 2 * guessed["output_tokens"]) / 1e6
    journal = folder / "guesses.journal"
    message = throng(*guess, "--max-tokens-total", tokens // 3, "--journal", journal, code=3)
    assert "stopped: budget: " in message and throng("resume", journal, "--quiet", code=3) == message
    result = throng("resume", journal, "--quiet", "--json", "--max-tokens-total", 10 * tokens)
    assert result["hash"] == guessed["hash"]
    unpriced = folder / "unpriced.journal"
    assert "--price" in throng(*healthy, "--max-cost", "1", "--journal", unpriced, code=1)
    assert not unpriced.exists()


def failures(folder):
    assert "asked 9 times" in throng("run", *WORLD, "--llm", "fake:latency=1,stuck=0.02", "--call-timeout", 5, "--no-journal", code=1)
    sick = ["run", *WORLD, "--llm", SICK, "--call-timeout", 5, "--fallback", "any"]
    reference = throng(*sick, "--no-journal")
    assert reference["failed_calls"] > 5
    assert throng(*sick, "--mode", "lockstep", "--no-journal")["hash"] == reference["hash"]
    journal = folder / "sick.journal"
    throng(*sick, "--max-tokens-total", 15000, "--journal", journal, code=3)
    result = throng("resume", journal, "--quiet", "--json", "--max-tokens-total", 10**9)
    assert result["hash"] == reference["hash"] and result["failed_calls"] == reference["failed_calls"]
    report = throng("journal", journal, "--json")
    assert report["fallbacks"] == sum(each["failed_calls"] for each in report["functions"]) == reference["failed_calls"]
    again = throng("resume", journal, "--quiet", "--json", "--max-tokens-total", 10**9)
    assert again["replayed_calls"] == again["llm_calls"] and again["hash"] == reference["hash"]
    strict = throng("resume", journal, "--quiet", "--json", "--fallback", "never")  # what has happened happens again
    assert strict["hash"] == reference["hash"] and strict["failed_calls"] == reference["failed_calls"]
    assert "made to fail" in throng("run", *WORLD, "--llm", "fake:fail=0.02", "--no-journal", code=1)  # no bad answer


def contexts():
    """A prompt beyond the model's context ends the run, or its agent does the usual thing."""
    short = ["run", "--agents", 5, "--until", "09:00", "--context", 380, "--no-journal", "--quiet", "--json"]
    message = throng(*short, code=1)
    assert "exceed the context of 380" in message and "agent " in message and "step " in message, message
    report = throng(*short, "--fallback", "any")
    assert 0 < report["failed_calls"] < report["llm_calls"], report


def interactive():
    run = ["run", "--agents", 100, "--steps", 600, "--quiet", "--json", "--no-journal", "--llm", "latency", "--interactive", "Ada"]
    without = throng(*run, "--target-ms", 0)
    served = throng(*run, "--target-ms", 500)
    assert served["hash"] == without["hash"]
    before, after = without["interactive"], served["interactive"]
    assert before["llm_calls"] == after["llm_calls"] > 0
    assert after["p99_s"] < 0.9 * before["p99_s"], (before, after)
    assert "allowed: Ada, Ben" in throng(*run[:-1], "Nobody", code=1)


def main():
    with tempfile.TemporaryDirectory() as name:
        budgets(Path(name))
        failures(Path(name))
    contexts()
    interactive()
    print("limits stop runs, failures are survived, and the results are the same")


if __name__ == "__main__":
    main()
