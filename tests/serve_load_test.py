"""Many streams at once on `throng serve`: none is lost, each is the text that the same request has alone, the server's
memory stays flat, and nobody waits for others' long answers.

  python3 tests/serve_load_test.py THRONG [--streams 64] [--seconds 20] [SERVE-ARGUMENTS...]

A longer load, on a model of one's own: --streams 256 --seconds 600 -m model.gguf

With --beside-llama-server, the same requests also go to llama.cpp's server (llama_server.py says where it is found), with the town's
model, in turns: its texts are its own, and of each time the median of the rounds is shown.
"""

import argparse
import asyncio
import json
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import llama_server

SHORT, LONG = 8, 160  # tokens
KINDS = 12  # different requests
MEMORY_GROWTH = 1.1  # of the peak of the second half to that of the first
ROUNDS = 3  # of each server, beside another
TOKENS_PER_STREAM = 256


def request(kind):
    """A request to /v1/completions; every third is long."""
    length = LONG if kind % 3 == 0 else SHORT
    prompt = f"- 09:10 Ben said: Finn likes {kind} teas.\nQuestion: Who likes tea?\nAnswer:\n"
    return {"prompt": prompt, "max_tokens": length, "seed": kind, "temperature": 1, "stream": True}


def is_long(kind):
    return request(kind)["max_tokens"] == LONG


class Client:
    """One connection, kept from one request to the next if the server does so: llama.cpp's closes it after each stream."""

    def __init__(self, port, keeps=True):
        self.port = port
        self.keeps = keeps
        self.reader = self.writer = None

    async def ask(self, kind):
        """The text of the answer, and the seconds until its first token and between each two pieces of its text."""
        begin = time.monotonic()
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        body = json.dumps(request(kind))
        self.writer.write(f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        head = await self.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        events, times = b"", []
        while True:
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            piece = (await self.reader.readexactly(size + 2))[:-2]
            events += piece
            if re.search(rb'"text": ?"[^"]', piece):
                times.append(time.monotonic())
            if size == 0:
                break
        if not self.keeps:
            self.close()
        times = times or [time.monotonic()]  # an answer without text
        events = [event for event in events.decode().split("\n\n") if not event.startswith(":")]  # comments: it lives
        assert events.pop() == "" and events.pop() == "data: [DONE]", events[-3:]
        chunks = [json.loads(event.removeprefix("data: ")) for event in events]
        assert chunks[-1]["choices"][0]["finish_reason"], chunks[-1]
        gaps = [after - before for before, after in zip(times, times[1:])]
        return "".join(chunk["choices"][0]["text"] for chunk in chunks), times[0] - begin, gaps

    def close(self):
        if self.writer:
            self.writer.close()
        self.writer = None


def memory(pid):
    """Bytes of the process that are in memory and not of a file."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"RssAnon:\s*(\d+) kB", status)[1]) * 1024


async def load(port, pid, streams, seconds, keeps=True):
    alone = Client(port, keeps)
    expected = [(await alone.ask(kind))[0] for kind in range(KINDS)]
    alone.close()
    waits, wrong, samples = Waits(), [], []
    begin = time.monotonic()

    async def stream(number):
        client, count = Client(port, keeps), number
        while time.monotonic() - begin < seconds:
            kind = count % KINDS
            count += 5
            text, first, gaps = await client.ask(kind)
            waits.first[is_long(kind)].append(first)
            waits.between[is_long(kind)] += gaps
            if text != expected[kind]:
                wrong.append((kind, text, expected[kind]))
        client.close()

    async def watch():
        while time.monotonic() - begin < seconds:
            await asyncio.sleep(0.2)
            samples.append(memory(pid))

    await asyncio.gather(watch(), *(stream(number) for number in range(streams)))
    return waits, wrong, samples


def percentile(values, part):
    return sorted(values)[min(int(len(values) * part), len(values) - 1)]


class Waits:
    """Seconds of long (True) and short answers until the first token, and between two pieces of text."""

    def __init__(self):
        self.first = {True: [], False: []}
        self.between = {True: [], False: []}

    def answers(self):
        return sum(map(len, self.first.values()))

    def figures(self, long):
        """The median and the 99th percentile until the first token, then of the times between."""
        return [percentile(times[long], part) for times in (self.first, self.between) for part in (0.5, 0.99)]


def show(rounds):
    """The medians of one or more rounds' figures."""
    for name, long in ("short", False), ("long", True):
        figures = [statistics.median(of_rounds) for of_rounds in zip(*(waits.figures(long) for waits in rounds))]
        print("{} answers: first token p50 {:.3f} s, p99 {:.3f} s; next p50 {:.4f} s, p99 {:.4f} s".format(name, *figures))


def load_throng(throng, flags, serve):
    command = [throng, "serve", "--port", "0", "--max-requests", str(flags.streams), *serve]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        port = int(re.search(r"http://[^/]*:(\d+)/", next(line for line in server.stderr if " at http" in line))[1])
        threading.Thread(target=server.stderr.read, daemon=True).start()
        result = asyncio.run(load(port, server.pid, flags.streams, flags.seconds))
    finally:
        server.terminate()
        code = server.wait()
    assert code == 0, code
    return result


def load_llama_server(flags):
    more = ["--threads", "2", "--ctx-size", str(TOKENS_PER_STREAM * flags.streams), "--parallel", str(flags.streams)]
    with tempfile.TemporaryDirectory() as folder, llama_server.LlamaServer(Path(folder), *more) as server:
        return asyncio.run(load(int(server.address.split(":")[-1]), server.process.pid, flags.streams, flags.seconds, keeps=False))


def compare(flags, serve):
    assert llama_server.PROGRAM, llama_server.SKIPPED
    servers = {"throng": lambda: load_throng(flags.throng, flags, serve), "llama-server": lambda: load_llama_server(flags)}
    rounds = {name: [] for name in servers}
    for _ in range(ROUNDS):
        for name, run in servers.items():
            rounds[name].append(run()[0])
    for name, of_server in rounds.items():
        answers = [waits.answers() for waits in of_server]
        print(f"{name}: {answers} answers to {flags.streams} streams, each time in {flags.seconds:g} s")
        show(of_server)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("throng")
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--beside-llama-server", action="store_true")
    flags, serve = parser.parse_known_args()
    if flags.beside_llama_server:
        compare(flags, serve)
        return
    waits, wrong, samples = load_throng(flags.throng, flags, serve)
    half = len(samples) // 2
    print(f"{flags.streams} streams for {flags.seconds:g} s: {waits.answers()} answers, {len(wrong)} wrong")
    show([waits])
    print(f"memory: {max(samples[:half]) >> 20} MiB at most in the first half, {max(samples[half:]) >> 20} in the second")
    assert not wrong, wrong[0]
    assert max(samples[half:]) < MEMORY_GROWTH * max(samples[:half])
    assert percentile(waits.first[False], 0.5) < 2 * percentile(waits.first[True], 0.5) + 0.1, "short answers wait for long ones"


if __name__ == "__main__":
    sys.exit(main())
