"""What the people of the town say over a day with the embedded model: they speak the town's language, say what they know, answer
what was said, and pass news on. And the program says where this model is out of its depth."""

import json
import re
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

THRONG = str(Path(sys.argv[1]).resolve())
sys.path.insert(0, str(Path(sys.argv[2]) / "train"))
from judge import judge, knowers, read_minds, shares  # noqa: E402

NEWS = "the gala is at the pub at 22:00."
WARNING = "warning: the embedded model knows the language of the built-in town and nothing else"


def throng(*arguments):
    done = subprocess.run([THRONG, *map(str, arguments)], capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return done


def talk_of_a_day(folder):
    journal = folder / "day.journal"
    done = throng("run", "--until", "21:00", "--event", f"09:00 tell Ada: {NEWS}", "--journal", journal, "--quiet", "--json")
    assert WARNING not in done.stderr
    minds = read_minds(journal, THRONG)
    spoken = judge(minds)
    found = shares(spoken)
    heard = knowers(minds, NEWS)
    print(found, len(heard), "have heard the news")
    for line in [line for line in spoken if line.flaw or line.untrue][:20]:
        print(f"{line.speaker} to {line.listener}: {line.text} [{line.flaw or line.untrue}]")
    assert found["utterances"] >= 500, found
    assert found["language"] >= 0.97, found
    assert found["true"] >= 0.90, found
    assert found["fits"] >= 0.95, found
    # Of one seed. With other kernels, and so other roundings, it is another day.
    assert len(heard) >= 5, heard


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
    with tempfile.TemporaryDirectory(prefix="throng_talk_") as folder:
        warnings()
        example_of_serve()
        talk_of_a_day(Path(folder))


if __name__ == "__main__":
    main()
