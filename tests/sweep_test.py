"""Sweeps, dry runs, and models by kind of decision, as a user calls them."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

THRONG = Path(sys.argv[1]).resolve()
WORLD = ["--agents", "6", "--steps", "400", "--llm", "fake"]


def throng(*arguments, code=0):
    done = subprocess.run([THRONG, *map(str, arguments)], capture_output=True, text=True, timeout=300)
    assert done.returncode == code, f"{arguments}: exit code {done.returncode}, not {code}: {done.stderr}"
    return json.loads(done.stdout) if "--json" in arguments else done.stderr


def sweeps(folder):
    sweep = ["sweep", "--jobs", "2", "-o", folder / "sweep", "--json", "--seeds", "1-2,5", "--vary", "kv=f16,gear2:r=4,s=2%",
             "--outcome", "answers=SELECT count(*) FROM calls", *WORLD]
    results = throng(*sweep)["results"]
    cells = {(result["seed"], result["flags"]["kv"]): result for result in results}
    assert set(cells) == {(seed, kv) for seed in (1, 2, 5) for kv in ("f16", "gear2:r=4,s=2%")}
    for (seed, _), result in cells.items():
        assert result["exit_code"] == 0 and Path(result["journal"]).exists()
        assert result["hash"] == cells[seed, "f16"]["hash"]  # made-up answers know no codecs
        assert result["replayed_calls"] == 0
        assert result["outcomes"] == {"answers": result["llm_calls"]}
    single = throng("run", *WORLD, "--seed", 5, "--no-journal", "--quiet", "--json")
    assert cells[5, "f16"]["hash"] == single["hash"] != cells[1, "f16"]["hash"]
    assert throng(*sweep)["results"] == results  # what had ended is not run again
    (folder / "sweep").joinpath(Path(results[0]["journal"]).name + ".report").unlink()
    again = throng(*sweep)["results"]  # from the journal
    assert again[0]["hash"] == results[0]["hash"] and again[0]["replayed_calls"] == again[0]["llm_calls"]
    assert again[1:] == results[1:]
    limited = ["sweep", "-o", folder / "limited", "--seeds", "1-2", *WORLD, "--max-tokens-total", 200]
    assert "2 of 2 runs did not end" in throng(*limited, code=3)
    assert "--seeds 5-1" in throng("sweep", "--seeds", "5-1", "-o", folder / "none", code=1)
    varied(folder)
    wrong = subprocess.run([THRONG, "sweep", "-o", folder / "wrong", "--nonsense"], capture_output=True, text=True)
    assert wrong.returncode == 1 and "did not end" in wrong.stderr and "--nonsense" in wrong.stdout, wrong


def varied(folder):
    sweep = ["sweep", "-o", folder / "varied", "--seeds", "1-3", "--vary", "agents=3,6", "--vary", "mode=single,ooo", "--steps", 300,
             "--llm", "fake", "--outcome", "calls=SELECT count(*) FROM calls", "--outcome", "who=SELECT name FROM agents"]
    report = throng(*sweep, "--json")
    flags = [result["flags"] for result in report["results"]]
    assert flags[::3] == [{"agents": agents, "mode": mode} for agents in ("3", "6") for mode in ("single", "ooo")], flags
    by_mode = {(r["flags"]["agents"], r["flags"]["mode"], r["seed"]): r["hash"] for r in report["results"]}
    for (agents, _, seed), found in by_mode.items():
        assert found == by_mode[agents, "single", seed]  # the mode changes nothing
    for summary in report["summary"]:
        calls = [r["outcomes"]["calls"] for r in report["results"] if r["flags"] == summary["flags"]]
        mean = sum(calls) / 3
        half = 4.302653 * (sum((c - mean) ** 2 for c in calls) / 2 / 3) ** 0.5  # Student's t of two degrees of freedom
        found = summary["outcomes"]["calls"]
        assert summary["runs"] == 3 and abs(found["mean"] - mean) < 1e-9, summary
        assert abs(found["low"] - (mean - half)) < 1e-3 and abs(found["high"] - (mean + half)) < 1e-3, (found, mean, half)
        assert "who" not in summary["outcomes"]
    table = subprocess.run([THRONG, *map(str, sweep)], capture_output=True, text=True, check=True).stdout
    assert "agents  mode" in table and "calls (95 %)" in table and " to " in table.split("calls (95 %)")[1], table
    for wrong, complaint in ((["--vary", "agents"], "FLAG=VALUE"), (["--vary", "seed=1,2"], "other than seed"),
                             (["--outcome", "x=SELECT nonsense"], "--outcome x: "), (["--outcome", "x"], "NAME=SQL")):
        assert complaint in throng("sweep", "-o", folder / "none", *wrong, *WORLD, code=1), wrong
    assert not (folder / "none").exists()


def dry_runs(folder):
    journal = folder / "sample.journal"
    world = ["--agents", "25", "--llm", "fake"]
    whole = throng("run", *world, "--steps", 2000, "--journal", journal, "--quiet", "--json")
    made_up = throng("run", *world, "--steps", 2000, "--dry-run", "--json", "--price", "1,2")
    assert made_up["llm_calls"] == whole["llm_calls"] and made_up["prompt_tokens"] == whole["prompt_tokens"]
    assert abs(made_up["cost"] - (made_up["prompt_tokens"] + 2 * made_up["output_tokens"]) / 1e6) < 1e-9
    sampled = throng("run", "--agents", 100, "--steps", 2000, "--dry-run", "--sample", journal, "--json")
    assert sampled["llm_calls"] == 4 * whole["llm_calls"]
    for result in (made_up, sampled):
        assert result["llm_calls"] == sum(each["llm_calls"] for each in result["functions"])


def models(folder):
    journal = folder / "models.journal"
    run = ["run", *WORLD, "--quiet", "--json"]
    flags = ["--model-for", "converse=fake:seed=3,latency=2", "--model-for", "plan=fake:seed=4"]
    routed = throng(*run, *flags, "--journal", journal)
    assert routed["hash"] != throng(*run, "--no-journal")["hash"]
    assert routed["hash"] == throng(*run, *flags, "--mode", "lockstep", "--no-journal")["hash"]
    assert throng("journal", journal, "--json")["manifest"]["model_for"].splitlines() == [flags[1], flags[3]]
    again = throng("resume", journal, "--quiet", "--json")
    assert again["hash"] == routed["hash"] and again["replayed_calls"] == routed["llm_calls"]
    assert "converse, plan" in throng("run", *WORLD, "--model-for", "walk=fake", "--no-journal", code=1)


def main():
    with tempfile.TemporaryDirectory() as name:
        sweeps(Path(name))
        dry_runs(Path(name))
        models(Path(name))
    print("sweeps, dry runs and models by decision: as promised")


if __name__ == "__main__":
    main()
