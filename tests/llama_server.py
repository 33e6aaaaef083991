"""llama.cpp's server for tests: $LLAMA_SERVER, or llama-server in the PATH. docs/servers.md says how to build it."""

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

MODEL = Path(__file__).resolve().parent.parent / "town" / "model.gguf"
PROGRAM = os.environ.get("LLAMA_SERVER") or shutil.which("llama-server")
SKIPPED = "SKIPPED: llama.cpp's server, as neither $LLAMA_SERVER nor the PATH has one (docs/servers.md)"

# What Throng makes of a model whose file has no template, such as the town's.
PLAIN = ('{%- for message in messages -%}{{ message.content }}{% if not loop.last %}{{ "\\n" }}{% endif %}'
         "{%- endfor -%}")


class LlamaServer:
    """A server with the town's model, on a port of its own that it keeps when it is started again."""

    def __init__(self, folder, *flags):
        template = folder / "plain.jinja"
        template.write_text(PLAIN)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        self.command = [PROGRAM, "-m", MODEL, "--port", str(port), "--chat-template-file", template, "--threads", "1",
                        "--ctx-size", "8192", "--parallel", "4", *flags]
        self.log = open(folder / "llama-server.log", "ab")
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log)
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{self.address}/health", timeout=5).close()
                return
            except (urllib.error.URLError, ConnectionError):  # it is not there yet, or loads its model
                assert self.process.poll() is None, Path(self.log.name).read_text(errors="replace")[-2000:]
                time.sleep(0.1)
        raise AssertionError("llama-server does not get ready")

    def stop(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        self.log.close()
