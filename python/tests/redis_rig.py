"""A Redis of their own for tests, and workers and runs beside it; each is a process that can be killed."""

import os
import shutil
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPT = os.path.join(HERE, "redis_world.py")


def has_redis():
    return shutil.which("redis-server") is not None and shutil.which("redis-cli") is not None


class Redis:
    """A server that keeps an append-only file in a folder."""

    def __init__(self, folder):
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--dir", self.folder, "--appendonly", "yes",
             "--save", "", "--daemonize", "no"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while self.ask("PING") != "PONG":
            if self.process.poll() is not None:
                raise RuntimeError("redis-server ends at once")
            time.sleep(0.05)

    def ask(self, *command):
        return subprocess.run(["redis-cli", "-p", str(self.port), *command], capture_output=True, text=True,
                              errors="replace").stdout.strip()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def address(self, name, lost_after=1.0):
        return f"redis://127.0.0.1:{self.port}/{name}?lost_after={lost_after}&away=60"


def start_worker(address, script=None, **named):
    command = [sys.executable, "-m", "throng.worker", address, *([script] if script else [])]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, **named)


def start_run(address, steps, *, journal="", mode="ooo", sleep=0.0, script=SCRIPT):
    """Prints the hash in the end."""
    return subprocess.Popen([sys.executable, script, str(address), str(steps), journal, mode, str(sleep)],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
