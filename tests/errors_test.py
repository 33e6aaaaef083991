"""Wrong input of every kind: one clear sentence on stderr, a non-zero exit, and no crash or hang. One row a case."""

import os
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

THRONG = sys.argv[1]
TIMEOUT_S = 120


def run(arguments, **environment):
    return subprocess.run([THRONG, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S,
                          env={**os.environ, **environment})


def hanging_server():
    """Accepts connections and never answers."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    return listener


def main():
    folder = Path(tempfile.mkdtemp(prefix="throng_errors_"))
    data = Path(sys.argv[2])
    model = (data / "town" / "model.gguf").read_bytes()

    def write(name, content):
        (folder / name).write_bytes(content)
        return folder / name

    cut = write("cut.gguf", model[: len(model) // 2])
    head = write("head.gguf", model[:100])
    magic = write("magic.gguf", b"NOPE" + model[4:])
    version = write("version.gguf", model[:4] + struct.pack("<I", 99) + model[8:])
    counts = write("counts.gguf", model[:8] + struct.pack("<QQ", 2**60, 2**60) + model[24:])
    empty = write("empty.gguf", b"")
    header = b'{"agents":["A"],"steps":9,"sec_per_step":10,"grid":[5,5]}\n'
    trace = write("wrong.jsonl", header + b'{"s":0,"m":[[0,1,1]]}\n{"s":1,"m":[[0,9,1]]}\n')
    times = b'{"agents":["A"],"steps":360,"sec_per_step":10,"grid":[5,5],"start":"2023-02-13T12:00:00"}\n'
    good_trace = write("good.jsonl", times + b'{"s":0,"m":[[0,1,1]]}\n')
    (folder / "packed" / "master_movement.json").mkdir(parents=True)
    no_trace = write("text.jsonl", b"hello\n")
    gzip_cut = write("cut.gz", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x4b")
    tokens = write("tokens.txt", b"1 2 three")
    high_token = write("high.txt", b"1 2 99999999")
    good_tokens = write("good.txt", b"1 2 3")
    schema = write("schema.json", b'{"type":"object","properties":{"a":{"$ref":"#/b"}}}')
    no_json = write("bad.json", b"{")

    old = folder / "old.journal"
    good = ["run", "--llm", "fake", "--agents", "3", "--steps", "20", "--quiet"]
    assert run([*good, "--journal", old]).returncode == 0
    unchanged = folder / "whole.journal"
    unchanged.write_bytes(old.read_bytes())
    with sqlite3.connect(old) as database:
        database.execute("PRAGMA user_version = 9999")
    database.close()
    foreign = folder / "foreign.journal"
    with sqlite3.connect(foreign) as database:
        database.execute("CREATE TABLE other (x)")
    database.close()
    garbage = write("garbage.journal", b"SQLite format 3\0" + bytes(range(256)) * 40)

    server = hanging_server()
    hang = f"http://127.0.0.1:{server.getsockname()[1]}?timeout=1"
    closed = socket.socket()
    closed.bind(("127.0.0.1", 0))
    nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"

    simulate = ["run", "--agents", "3", "--steps", "200", "--no-journal", "--quiet"]
    generate = ["generate", "-p", "hello"]
    cases = [
        # What is wrong, arguments, words of the sentence, exit code
        ("truncated model", [*generate, "-m", cut], ["cut.gguf"], 1),
        ("header alone", [*generate, "-m", head], ["head.gguf"], 1),
        ("not a model", [*generate, "-m", magic], ["magic.gguf", "GGUF"], 1),
        ("model of another version", [*generate, "-m", version], ["version.gguf", "99"], 1),
        ("absurd counts", [*generate, "-m", counts], ["counts.gguf"], 1),
        ("empty model", [*generate, "-m", empty], ["empty.gguf"], 1),
        ("no such model", [*generate, "-m", folder / "none.gguf"], ["none.gguf"], 1),
        ("a folder as model", [*generate, "-m", folder], [str(folder)], 1),
        ("wrong trace line", ["replay", trace], ["wrong.jsonl:3", "x is 9"], 1),
        ("not a trace", ["replay", no_trace], ["text.jsonl:1"], 1),
        ("broken gzip", ["replay", gzip_cut], ["cut.gz"], 1),
        ("no such trace", ["replay", folder / "none.jsonl"], ["none.jsonl"], 1),
        ("replay with a backend that needs prompts", ["replay", trace, "--llm", "local"], ["latency", "fake"], 1),
        ("replay in an unknown mode", ["replay", trace, "--mode", "fast"], ["fast", "no-dependency"], 1),
        ("plot of no time", ["replay", trace, "--plot", folder / "x.svg", "--plot-window", "9:3"], ["9:3", "100:400"], 1),
        ("unknown flag", ["run", "--nonsense"], ["--nonsense"], 2),
        ("key of nothing", ["serve", "--port", "0", "--api-key", ""], ["--api-key", "not empty"], 2),
        ("bodies of nothing", ["serve", "--port", "0", "--max-body", "0"], ["--max-body", "1 to 268435456"], 2),
        ("unknown subcommand", ["fly"], ["fly"], 2),
        ("unknown subcommand of one", ["trace", "fly"], ["fly", "throng trace --help"], 2),
        ("number that is none", ["run", "--steps", "many"], ["--steps"], 2),
        ("limit that is none", [*simulate, "--max-cost", "nan", "--price", "1,2"], ["nan is no number above 0"], 2),
        ("limit below 0", [*simulate, "--max-tokens-total", "-5"], ["-5 is no whole number from 1"], 2),
        ("fallback that is none", [*simulate, "--fallback", "sometimes"], ["sometimes", "never", "answer", "any"], 2),
        ("timeout of nothing", [*simulate, "--call-timeout", "0"], ["0 is no number above 0"], 2),
        ("seed below 0", [*simulate, "--seed", "-1"], ["-1 is no whole number from 0"], 2),
        ("seed too large", [*simulate, "--seed", "99999999999999999999"], ["99999999999999999999"], 2),
        ("unknown mode", [*simulate, "--mode", "chaos"], ["chaos"], 2),
        ("unknown codec", [*generate, "--kv", "zip9"], ["zip9", "int8", "flashq-mixed", "sink="], 1),
        ("unknown codec parameter", [*generate, "--kv", "int8:x=1"], ["x"], 1),
        ("sinks of a codec that gains nothing", [*generate, "--kv", "int8:sink=64"], ["codec int8", "sink="], 1),
        ("part of a page", [*generate, "--kv", "kivi2:recent=100"], ["recent=100", "64"], 1),
        ("window longer than the calibration text", [*generate, "--kv", "auto:recent=4096"], ["codec auto", "4224 tokens"], 1),
        ("heads with different sinks", [*generate, "--kv", "rot4:sink=64/rot2"], ["sink=", "all heads"], 1),
        ("unknown backend", [*simulate, "--llm", "oracle"], ["oracle", "fake"], 1),
        ("unknown backend parameter", [*simulate, "--llm", "fake:speed=1"], ["speed", "latency"], 1),
        ("no such scenario", [*simulate, "--scenario", folder / "none"], ["none", "plaza"], 1),
        ("time of day where there is none", ["run", "--scenario", "plaza", "--until", "12:00"], ["12:00", "--steps"], 1),
        ("event in a world without", [*simulate, "--scenario", "followers", "--event", "1 rain"], ["rain", "followers"], 1),
        ("time that is none", ["run", "--until", "noon"], ["noon"], 1),
        ("event without a time", [*simulate, "--event", "leave"], ["leave", "TIME WHAT"], 1),
        ("event of nobody", [*simulate, "--event", "100 leave Nobody"], ["Nobody", "Ada"], 1),
        ("event that is none", [*simulate, "--event", "100 dance"], ["dance", "arrive NAME"], 1),
        ("event after the end", [*simulate, "--event", "200 leave Ada"], ["200"], 1),
        ("no such file of events", [*simulate, "--events", folder / "none.txt"], ["none.txt"], 1),
        ("a folder of events", [*simulate, "--events", folder], [str(folder)], 1),
        ("a picture of priority", ["replay", trace, "--interactive", "A", "--plot", folder / "x.svg"], ["--plot excludes --interactive"], 2),
        ("hours that a trace does not have", ["trace", "cut", good_trace, "--hours", "6-7", "-o", folder / "cut.jsonl"], ["12:00 to 13:00"], 1),
        ("a folder as compressed form", ["trace", "import", folder / "packed", "-o", folder / "packed.jsonl"], ["master_movement.json"], 1),
        ("sweep into a file", ["sweep", "-o", no_trace, "--llm", "fake"], ["--out", "text.jsonl"], 1),
        ("sweep that names a run twice", ["sweep", "--seeds", "1,1", "-o", folder / "twice"], ["seed1", "twice"], 1),
        ("event for a run that is done", ["journal", "inject", unchanged, "leave Ada"], ["whole.journal", "done"], 1),
        ("fork at no step", ["journal", "fork", unchanged, "--at", "x", "-o", folder / "fork"], ["time x"], 1),
        ("fork beyond the end", ["journal", "fork", unchanged, "--at", "23:00", "-o", folder / "fork"], ["0 to 20"], 1),
        ("prompt longer than the context", ["generate", "-p", "word " * 20000], ["context"], 1),
        ("answer longer than the context", [*generate, "-n", "100000"], ["100000"], 1),
        ("KV budget too small", [*generate, "--kv-budget", "1kb"], ["1024"], 1),
        ("not a file of KV pages", [*generate, "--load-cache", garbage], ["garbage.journal"], 1),
        ("no such file of KV pages", [*generate, "--load-cache", folder / "none.kv"], ["none.kv"], 1),
        ("no such folder for KV pages", [*generate, "-n", "1", "--save-cache", folder / "none" / "a.kv"], ["a.kv"], 1),
        ("no such folder to spill to", [*generate, "--spill", folder / "none"], ["none"], 1),
        ("unknown eviction", [*generate, "--eviction", "mru"], ["mru", "lru"], 2),
        ("spilling without a prefix cache", [*generate, "--spill", folder, "--no-prefix-cache"], ["--spill"], 1),
        ("wrong schema", [*generate, "--schema", schema], ["$ref"], 1),
        ("schema that is not JSON", [*generate, "--schema", no_json], ["schema"], 1),
        ("length that is none", ["eval", "ruler", "--lengths", "1k,4x"], ["4x"], 1),
        ("length beyond the context", ["eval", "ruler", "--lengths", "8k"], ["8192", "1024"], 1),
        ("length too short for the task", ["eval", "ruler", "--lengths", "100"], ["multikey"], 1),
        ("unknown task", ["eval", "ruler", "--tasks", "needle"], ["needle", "multikey"], 1),
        ("unknown part to be exact", ["eval", "ruler", "--exact", "all"], ["all", "prompt"], 1),
        ("windows beyond the context", ["eval", "ppl", "--context", "4096"], ["4096", "1024"], 1),
        ("windows that leave gaps", ["eval", "kl", "--context", "128", "--stride", "129"], ["129", "128"], 1),
        ("text that is too short", ["eval", "ppl", "--text", good_tokens], ["65 tokens"], 1),
        ("tokens that are none", ["logits", "-m", data / "town" / "model.gguf", "--tokens", tokens, "-o", folder / "o"], ["tokens.txt", "byte 4"], 1),
        ("token outside the vocabulary", ["logits", "-m", data / "town" / "model.gguf", "--tokens", high_token, "-o", folder / "o"], ["99999999"], 1),
        ("full disk for logits", ["logits", "-m", data / "town" / "model.gguf", "--tokens", good_tokens, "-o", "/dev/full"], ["/dev/full"], 1),
        ("journal of another version", ["resume", old, "--llm", "fake"], ["old.journal", "9999"], 1),
        ("foreign database", ["resume", foreign, "--llm", "fake"], ["foreign.journal"], 1),
        ("garbage as journal", ["resume", garbage, "--llm", "fake"], ["garbage.journal"], 1),
        ("no such journal", ["resume", folder / "none.journal"], ["none.journal"], 1),
        ("journal that exists", [*good, "--journal", unchanged], ["whole.journal"], 1),
        ("injected event that is none", ["journal", "inject", unchanged, "dance"], ["dance", "arrive NAME"], 1),
        ("interview of nobody", ["interview", unchanged, "--agent", "Nobody", "--at", "5"], ["Nobody"], 1),
        ("interview of the future", ["interview", unchanged, "--agent", "Ada", "--at", "999999"], ["999999"], 1),
        ("server that hangs", [*simulate, "--llm", hang, "--call-attempts", "1"], ["127.0.0.1"], 1),
        ("no server", [*simulate, "--llm", nobody, "--call-attempts", "2"], ["127.0.0.1"], 1),
        ("benchmark of a model: no second codec", ["bench", "engine", "--prompt", "64", "--decode", "2", "--kv", "f16,nosuch"], ["nosuch", "rot4"], 1),
        ("benchmark of throughput: no second codec", ["bench", "throughput", "--prompt", "64", "--answer", "2", "--kv", "f16,nosuch"], ["nosuch", "rot4"], 1),
        ("benchmark of throughput: no codec", ["bench", "throughput", "--kv", ""], ["--kv names no codec"], 1),
    ]
    failures = []

    def check(name, done, words, code):
        error = done.stderr.decode(errors="replace").strip()
        problems = [f"lacks '{word}'" for word in words if word not in error]
        if done.returncode != code:
            problems.append(f"exit code {done.returncode}, not {code}")
        if code == 1 and len(error.splitlines()) != 1:
            problems.append(f"{len(error.splitlines())} lines, not one")
        print(f"{'ok' if not problems else 'FAILED':6} {name}: {error[:200]}")
        if problems:
            failures.append(f"{name}: {', '.join(problems)}: {error}")

    for name, arguments, words, code in cases:
        try:
            check(name, run(arguments), words, code)
        except subprocess.TimeoutExpired:
            failures.append(f"{name}: still running after {TIMEOUT_S} s")

    check("SIMD target", run(["--version"], THRONG_FORCE_TARGET="AVX9"), ["THRONG_FORCE_TARGET is AVX9", "has"], 1)

    print("\n".join(failures), file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
