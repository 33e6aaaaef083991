"""What the examples share: one command line, and what becomes of a run: a table and a plot.

An example has a world that is made from a number of agents, `table(result)`, which returns a `throng.Frame`, and
`plot(axes, frame)`. `main` does the rest.
"""

import argparse
import collections
import functools
import json
import pathlib
import sys

import throng

MODES = ("ooo", "speculative", "lockstep", "single")


def main(name, doc, make_world, table, plot, *, agents, steps, takes_people=False):
    """`make_world(agents)` makes the world; `agents` and `steps` are the defaults of the flags. With `takes_people`, it also
    makes one of the people of a scenario, `make_world(agents, people)`."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--llm", default="fake", help="what answers: fake, local (the model in this process), latency "
                        "(a model of a server, in virtual time), http://HOST:PORT?model=NAME (default: %(default)s)")
    parser.add_argument("--agents", type=int, default=agents, help="default: %(default)s")
    parser.add_argument("--steps", type=int, default=steps, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--mode", choices=MODES, default="ooo", help="order of execution (default: %(default)s)")
    parser.add_argument("--workers", type=lambda text: int(text) if text.isdigit() else text, default=0, metavar="N|URL",
                        help="processes that do the agents' steps, or redis://HOST:PORT/NAME of python3 -m throng.worker "
                        "(default: %(default)s: this one does)")
    parser.add_argument("--out", type=pathlib.Path, metavar="FOLDER", help=f"write {name}.csv and {name}.png there")
    parser.add_argument("--journal", metavar="FILE", help="record the run there, and go on if it has a beginning of it")
    parser.add_argument("--attempts", type=int, default=9, help="how often to ask a server that is away or failing "
                        "(default: %(default)s)")
    parser.add_argument("--verify", action="store_true", help="check that every order of execution comes to the same")
    parser.add_argument("--compare", action="store_true", help="time each mode on a model of a server")
    if takes_people:
        parser.add_argument("--people", type=pathlib.Path, metavar="FILE",
                            help="personas.json of a scenario, such as of throng import; --agents is then of no use")
    flags = parser.parse_args()
    if takes_people and flags.people:
        people = json.loads(flags.people.read_text(encoding="utf-8"))
        flags.agents, make_world = len(people), functools.partial(make_world, people=people)
    try:
        if flags.verify:
            report = throng.verify(lambda: make_world(flags.agents), flags.llm, steps=flags.steps, seed=flags.seed)
            print(report)
            return 0 if report else 1
        if flags.compare:
            compare(make_world, flags)
            return 0
        result = throng.run(make_world(flags.agents), flags.llm, mode=flags.mode, steps=flags.steps, seed=flags.seed,
                            journal=flags.journal, resume=True, call_attempts=flags.attempts, workers=flags.workers)
    except throng.Error as error:
        print(f"{name}: {error}", file=sys.stderr)
        if flags.journal:
            print(f"{name}: the same command goes on where it stopped", file=sys.stderr)
        return 1
    frame = table(result)
    print(frame)
    print(f"{result.calls} calls, {result.failed_calls} failed, {result.parallelism:.1f} in flight, "
          f"{result.wall_s:.1f} s, hash {result.hash}")
    if flags.out:
        write(flags.out, name, frame, plot)
    return 0


def compare(make_world, flags, llm="latency:mixed=1"):
    """Runs a world in each mode on a model of a server, one GPU with an 8B model, in virtual time. Returns the results
    by mode, which must come to the same."""
    results = {}
    for mode in ("lockstep", "ooo", "speculative"):
        result = throng.run(make_world(flags.agents), llm, mode=mode, steps=flags.steps, seed=flags.seed)
        results[mode] = result
        assert result.hash == results["lockstep"].hash
        print(f"{mode:<12} {result.backend_s:8.1f} s  {results['lockstep'].backend_s / result.backend_s:5.2f}x  "
              f"{result.calls:5} calls  {result.parallelism:6.2f} in flight  hash {result.hash}")
    return results


def counts(result):
    """A table of how many events of each kind there were in each step."""
    events = result.frame("events")
    kinds = sorted(set(events["kind"]))
    found = collections.Counter(zip(events["step"], events["kind"]))
    return throng.Frame.of(("step", *kinds), ((step, *(found[step, kind] for kind in kinds))
                                              for step in range(result.steps)))


def plot_counts(axes, frame):
    """A line over the steps for each column of `counts`."""
    for kind in list(frame)[1:]:
        axes.plot("step", kind, data=frame, label=kind)
    axes.set_xlabel("step")
    axes.legend()


def write(folder, name, frame, plot):
    """Writes the table, and the plot if matplotlib is there."""
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / f"{name}.csv")
    print(f"wrote {folder / name}.csv")
    try:
        from matplotlib import font_manager, rcParams
        from matplotlib.figure import Figure
    except ImportError:
        print("no plot: matplotlib is not installed (Debian: python3-matplotlib)")
        return
    # Names in other scripts, where a font has them.
    fonts = {font.name for font in font_manager.fontManager.ttflist}
    rcParams["font.family"] = ["DejaVu Sans", *sorted(name for name in fonts if "CJK" in name)[:1]]
    if frame.num_rows > 0:
        figure = Figure(figsize=(8, 5), layout="tight")
        plot(figure.add_subplot(), frame)
        figure.savefig(folder / f"{name}.png")
        print(f"wrote {folder / name}.png")
