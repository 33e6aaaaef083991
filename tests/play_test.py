"""Plays an agent of a live run with `throng play`, in another process: the run waits for its answers, goes on with them after
it was killed, and a run that is repeated asks nobody."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from viewer_page import serving

STEPS = 6


def child(journal):
    import throng

    class Village(throng.World):
        def agents(self):
            return [throng.Agent("Ada", (0, 0), mind=()), throng.Agent("Ben", (40, 0), mind=())]

        def proceed(self, view, agent):
            if agent.name == "Ben":
                answer = str((yield throng.Call("Where to?", choices=["home"])))
            else:
                answer = yield throng.Ask(f"Where to in step {view.step}?", choices=["home", "work"])
            return throng.Intent(mind=(*agent.mind, answer))

    result = throng.run(Village(), "fake:latency=1", steps=STEPS, journal=journal, resume=True)
    print(json.dumps([result.agents[0].mind, result.effects, result.max_spread]))


def start(journal):
    return subprocess.Popen([sys.executable, __file__, "--child", journal], stdout=subprocess.PIPE, text=True)


def play(throng, journal, name, lines):
    return subprocess.run([throng, "play", journal, "--agent", name], input="".join(line + "\n" for line in lines),
                          capture_output=True, text=True, timeout=120)


def check_page(throng, journal):
    """The viewer's server takes answers as play does, and nobody's twice."""
    with serving(throng, journal) as url:
        def ask(path, body=None):
            request = urllib.request.Request(f"{url}/api/{path}", json.dumps(body).encode() if body else None)
            try:
                with urllib.request.urlopen(request) as reply:
                    return reply.status, json.load(reply)
            except urllib.error.HTTPError as error:
                return error.code, json.load(error)

        answered = {"agent": 0, "step": 2, "call": 0, "answer": "work"}  # by play, a moment ago
        status, reply = ask("answer", answered)
        assert status == 409 and "somebody else has answered it" in reply["error"], (status, reply)
        assert ask("run")[1]["questions"] == [], ask("run")
        run = start(journal)
        try:
            deadline = time.monotonic() + 60
            while not (questions := ask("run")[1]["questions"]):
                assert time.monotonic() < deadline, "Ada is not asked"
                time.sleep(0.05)
            (step, agent, call, question, choices, asked), = questions
            assert (step, agent, question, choices) == (3, 0, "Where to in step 3?", ["home", "work"]) and asked, questions
            answer = {"agent": agent, "step": step, "call": call}
            assert ask("answer", {**answer, "answer": "pub"})[0] == 400
            assert ask("answer", {**answer, "answer": "work"})[0] == 200
            assert ask("answer", {**answer, "answer": "home"})[0] == 409
        finally:
            run.send_signal(signal.SIGKILL)
            run.communicate()


def main():
    if sys.argv[1] == "--child":
        return child(sys.argv[2])
    throng = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        journal = os.path.join(folder, "a.journal")
        run = start(journal)
        while not os.path.exists(journal):
            time.sleep(0.05)
        time.sleep(1)  # until its manifest is there
        nobody = play(throng, journal, "Cid", [])
        assert nobody.returncode == 1 and "nobody of this name, allowed: Ada, Ben, or a number" in nobody.stderr, nobody.stderr
        first = play(throng, journal, "Ada", ["pub", "work", "home"])  # ends with its input
        assert first.returncode == 0, first.stderr
        assert "step 0: Where to in step 0?\n  (home / work)\n" in first.stdout, first.stdout
        assert '"pub" is no answer, allowed: home, work' in first.stdout, first.stdout
        time.sleep(0.5)
        assert run.poll() is None, "it has not waited"
        run.send_signal(signal.SIGKILL)
        run.communicate()
        again = play(throng, journal, "Ada", ["home"])  # while nobody runs it
        check_page(throng, journal)
        assert "step 2" in again.stdout and "step 1" not in again.stdout, again.stdout
        run = start(journal)
        rest = play(throng, journal, "0", ["work"] * 10)  # more than it needs, so that it ends with the run
        assert rest.stdout.endswith("the run is done\n"), rest.stdout
        minds, effects, spread = json.loads(run.communicate(timeout=120)[0])
        assert minds == ["work", "home", "home", "work", "work", "work"] and effects == STEPS, (minds, effects)
        assert spread > 1, "Ben has waited for Ada, whom he cannot see"
        repeated = json.loads(start(journal).communicate(timeout=60)[0])
        assert repeated[:2] == [minds, effects], repeated


if __name__ == "__main__":
    main()
