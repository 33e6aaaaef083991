"""The program says where the embedded model is out of its depth, and its help asks that model what it can answer."""

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

THRONG = str(Path(sys.argv[1]).resolve())
WARNING = "warning: the embedded model knows the language of the built-in town and nothing else"


def throng(*arguments):
    done = subprocess.run([THRONG, *map(str, arguments)], capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return done


def warnings():
    tokens = ("-n", "2", "--temp", "0")
    assert throng("generate", "-p", "Hello", *tokens).stderr.count(WARNING) == 1
    assert WARNING not in throng("generate", "-m", Path(sys.argv[2]) / "town" / "model.gguf", "-p", "Hello", *tokens).stderr
    run = ("run", "--scenario", "plaza", "--steps", "3", "--no-journal", "--quiet")
    assert throng(*run).stderr.count(WARNING) == 1
    assert WARNING not in throng(*run, "--llm", "fake").stderr


def example_of_serve():
    """The embedded model answers the example in the help as the help says."""
    text = throng("serve", "--help").stdout
    answer = re.search(r"the embedded model, which answers (\w+):", text)[1]
    body = re.search(r"/v1/completions -d '(.*?)'", text, re.S)[1]
    with subprocess.Popen([THRONG, "serve", "--port", "0"], stderr=subprocess.PIPE, text=True) as server:
        try:
            said = ""
            while not (found := re.search(r"(http://\S+)/v1", said)):
                line = server.stderr.readline()
                assert line, said
                said += line
            assert said.count(WARNING) == 1
            request = urllib.request.Request(f"{found[1]}/v1/completions", body.encode(), {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=60) as reply:
                assert json.load(reply)["choices"][0]["text"].strip() == answer
        finally:
            server.terminate()


def main():
    warnings()
    example_of_serve()


if __name__ == "__main__":
    main()
