"""The codecs that --kv auto chooses, or a file names, hold for a run and all that comes after it: resume and interview use
them again, and whatever does not fit is refused in a sentence."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

THRONG = sys.argv[1]


def throng(*arguments, fails=False):
    done = subprocess.run([THRONG, *map(str, arguments)], capture_output=True, text=True, timeout=600)
    assert (done.returncode != 0) == fails, f"{arguments}: {done.stderr}"
    return done.stderr if fails else done.stdout + done.stderr


def expect(text, *words):
    for word in words:
        assert word in text, f"no '{word}' in: {text}"


def main():
    folder = Path(tempfile.mkdtemp(prefix="throng_kv_choice_"))
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    chosen, journal = folder / "chosen.json", folder / "a.journal"
    generate = ["generate", "-p", "hello", "-n", "3", "--temp", "0"]
    world = ["--agents", "3", "--steps", "250", "--quiet", "--json"]

    first = throng(*generate, "--kv", "auto:kl=0.02", "--kv-out", chosen)
    choice = json.loads(chosen.read_text())
    assert choice["kl_target"] == 0.02 and choice["p99_target"] == 0.4
    assert 0 < choice["kl"] <= 0.02 and 0 < choice["held_out_kl"] <= 0.02
    assert 0 < choice["p99"] <= 0.4 and 0 < choice["held_out_p99"] <= 0.4
    expect(first, f"{choice['bytes_per_token']:.0f} bytes per token", "passes over", f"on held-out text {choice['held_out_kl']:.3g}")
    expect(throng(*generate, "--kv", "auto:kl=0.02"), "found in " + str(folder / "cache"))
    expect(throng(*generate, "--kv", chosen), f"{choice['bytes_per_token']:.0f} bytes per token")
    summary = throng("run", "--agents", "3", "--steps", "250", "--no-journal", "--kv", chosen)
    expect(summary, f"{choice['bytes_per_token']:.0f} bytes per token, {choice['ratio_to_f16']:.2f} times smaller than f16")

    # A run goes on with what it was begun with, also when the file is gone.
    moved = folder / "moved.json"
    moved.write_bytes(chosen.read_bytes())
    begun = json.loads(throng("run", *world, "--kv", moved, "--journal", journal))
    assert begun["kv_bytes_per_token"] == choice["bytes_per_token"]
    moved.unlink()
    resumed = json.loads(throng("resume", journal, "--quiet", "--json"))
    assert resumed["hash"] == begun["hash"] and resumed["kv_bytes_per_token"] == choice["bytes_per_token"]
    throng("interview", journal, "--agent", "Ada", "hello?")
    # Another choice is another backend: what is kept stays, and the session says what has answered the rest.
    other = folder / "other.journal"
    shutil.copyfile(journal, other)
    changed = json.loads(throng("resume", other, "--quiet", "--json", "--kv", "flashq-mixed", "--steps", "260"))
    assert changed["steps"] == 260 and changed["replayed_calls"] == begun["llm_calls"]
    backends = [row[0] for row in sqlite3.connect(other).execute("SELECT backend FROM sessions ORDER BY id")]
    assert len(set(backends)) == 2, backends
    sessions = sqlite3.connect(journal).execute("SELECT backend FROM sessions ORDER BY id").fetchall()
    again = throng("resume", journal, "--quiet", "--json", "--kv", "int8")
    expect(again, "the run is finished", f'"kv_bytes_per_token": {choice["bytes_per_token"]}')
    assert sqlite3.connect(journal).execute("SELECT backend FROM sessions ORDER BY id").fetchall() == sessions
    with sqlite3.connect(journal) as database:
        database.execute("UPDATE manifest SET value = value || ' ' WHERE key = 'kv_choice'")
    database.close()
    expect(throng("resume", journal, "--quiet", fails=True), "a.journal", "its KV codecs have the digest")

    mixed = folder / "mixed.journal"
    begun = json.loads(throng("run", *world, "--kv", "flashq-mixed", "--journal", mixed))
    stored = sqlite3.connect(mixed).execute("SELECT value FROM manifest WHERE key = 'kv_choice'").fetchone()[0]
    assert len(json.loads(stored)["head_priorities"]["k"]) == len(choice["layers"])
    assert json.loads(throng("resume", mixed, "--quiet", "--json"))["hash"] == begun["hash"]

    def refused(name, change, *words):
        changed = json.loads(chosen.read_text())
        change(changed)
        path = folder / name
        path.write_text(json.dumps(changed))
        message = throng(*generate, "--kv", path, fails=True)
        expect(message, name, *words)
        assert len(message.strip().splitlines()) == 1, message

    refused("model.json", lambda c: c.update(model="0" * 32), "made for the model 0000")
    refused("layers.json", lambda c: c["layers"].pop(), "the model has")
    refused("codec.json", lambda c: c["layers"][1].update(v="zip9"), "layer 1", "zip9", "allowed: f32")
    refused("version.json", lambda c: c.update(version=9), "\"version\" is 9, expected 1 or 2")
    expect(throng(*generate, "--kv", folder / "none.json", fails=True), "none.json")
    expect(throng(*generate, "--kv-out", folder / "no" / "a.json", "--kv", "auto", fails=True), "a.json")
    expect(throng(*generate, "--k", "auto", fails=True), "--kv alone")
    expect(throng("eval", "kl", "--kv", f"{chosen},flashq-mixed", "--samples", "2"), str(chosen), "flashq-mixed")
    tokens = folder / "tokens.txt"
    tokens.write_text("1 2 3")
    model = Path(sys.argv[2]) / "town" / "model.gguf"
    for codec in (chosen, "flashq-mixed"):
        throng("logits", "-m", model, "--tokens", tokens, "-o", folder / "logits.f32", "--kv", codec)
    print(f"{choice['bytes_per_token']:.0f} bytes per token at a divergence of {choice['kl']:.2g}: kept, used again, guarded")


if __name__ == "__main__":
    main()
