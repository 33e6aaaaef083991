"""The example worlds, on a plane, a network, a network that changes, and a changing grid: run in every mode, shown,
exported, forked, resumed and watched as a town is."""

import json
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

THRONG = Path(sys.argv[1]).resolve()
FAKE = ["--llm", "fake:latency=1,spread=0.9", "--quiet", "--json"]
# Name, functions of its calls, what the viewer is told of its space.
EXAMPLES = [("plaza", {"choose", "greet"}, "unit"), ("followers", {"react", "write"}, "follows"), ("microblog", {"react"}, "unit"),
            ("colony", {"bear"}, "unit")]


def throng(*arguments):
    done = subprocess.run([THRONG, *map(str, arguments)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{arguments}: exit code {done.returncode}: {done.stderr}"
    return json.loads(done.stdout) if "--json" in arguments else done.stdout


def modes(scenario, journal):
    run = ["run", "--scenario", scenario, *FAKE]
    whole = throng(*run, "--journal", journal)
    assert all(whole["memory"][kind] > 0 for kind in ("scheduler_bytes", "world_bytes", "call_bytes"))
    for mode in ("single", "lockstep", "speculative"):
        assert throng(*run, "--mode", mode, "--no-journal")["hash"] == whole["hash"], (scenario, mode)
    assert throng(*run, "--coupling", "versioned", "--no-journal")["hash"] == whole["hash"]
    assert throng(*run, "--seed", 2, "--no-journal")["hash"] != whole["hash"]
    few = throng(*run, "--agents", 5, "--steps", 20, "--no-journal")
    assert few["steps"] == 20 and few["agent_steps"] < whole["agent_steps"]
    return whole


def journals(scenario, functions, journal, whole):
    shown = throng("journal", journal, "--json")
    assert shown["manifest"]["world"] == scenario and shown["manifest"]["town"] == scenario
    assert {each["function"] for each in shown["functions"]} == functions
    exported = throng("journal", "export", journal, "--table", "calls").splitlines()
    assert len(exported) == whole["llm_calls"]
    half = whole["steps"] // 2
    for name, flags, same in (("same", [], True), ("other", ["--seed", 9], False)):
        fork = journal.with_name(f"{scenario}-{name}.journal")
        throng("journal", "fork", journal, "--at", half, "-o", fork, *flags)
        resumed = throng("resume", fork, "--quiet", "--json")
        assert (resumed["hash"] == whole["hash"]) == same, (scenario, name)
        assert 0 < resumed["replayed_calls"] < whole["llm_calls"]


def limits(scenario, folder):
    """--fallback any: a failed call has the agents do the usual thing, exactly the same in every mode."""
    run = ["run", "--scenario", scenario, "--llm", "fake:fail=0.2", "--fallback", "any", "--quiet", "--json"]
    failed = throng(*run, "--journal", folder / f"{scenario}-failed.journal")
    assert failed["failed_calls"] > 0
    assert throng(*run, "--mode", "lockstep", "--no-journal")["hash"] == failed["hash"]
    by_decision = throng(*run, "--model-for", f"{SPLIT[scenario]}=fake:seed=3", "--no-journal")
    assert by_decision["hash"] != failed["hash"]


SPLIT = {"plaza": "greet", "followers": "write", "microblog": "react", "colony": "bear"}


def watch(journal, space, whole):
    server = subprocess.Popen([THRONG, "serve", "--journal", journal, "--port", "0"], stderr=subprocess.PIPE, text=True)
    try:
        address = server.stderr.readline().split(" at ")[1].strip()
        get = lambda path: json.loads(urllib.request.urlopen(address + path, timeout=30).read())
        assert space in get("/api/map") and get("/api/map")["start"] == "00:00"
        assert get("/api/run")["steps"] == whole["steps"]
        assert len(urllib.request.urlopen(address + "/api/positions?from=0&to=50", timeout=30).read()) > 50
    finally:
        server.terminate()
        server.wait()
        server.stderr.close()


def main():
    with tempfile.TemporaryDirectory() as name:
        for scenario, functions, space in EXAMPLES:
            journal = Path(name) / f"{scenario}.journal"
            whole = modes(scenario, journal)
            journals(scenario, functions, journal, whole)
            limits(scenario, Path(name))
            watch(journal, space, whole)
            print(f"{scenario}: {whole['llm_calls']} calls, hash {whole['hash']} in every mode")


if __name__ == "__main__":
    main()
