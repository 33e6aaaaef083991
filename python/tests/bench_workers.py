"""Measures workers: how a CPU-heavy `proceed` scales over processes, and how many steps a run can feed.

usage: bench_workers.py [processes ...]
"""

import sys
import tempfile
import time

import redis_rig
import throng


class Busy(throng.World):
    """Agents far from each other who compute for a while, and ask nothing."""

    width, height = 4000, 10

    def __init__(self, agents, rounds):
        self.num_agents = agents
        self.rounds = rounds

    def agents(self):
        return [throng.Agent(f"a{i}", (20 * i, 5), mind=0) for i in range(self.num_agents)]

    def proceed(self, view, agent):
        total = agent.mind
        for i in range(self.rounds):
            total = (total * 31 + i) % 1_000_003
        return throng.Intent(mind=total)


def measure(name, agents, rounds, steps, workers):
    """Prints steps per second, without the time that the processes take to start."""
    began = []
    cpu = time.process_time()
    end = throng.run(Busy(agents, rounds), "fake", steps=steps, workers=workers,
                     reporters=throng.Reporters(model={"time": lambda state: began.append(time.monotonic()) or 0}))
    seconds = began[-1] - began[0]
    done = end.agent_steps * (len(began) - 1) / len(began)
    print(f"{name:<28} {done / seconds:9.0f} agent-steps/s  {1e6 * (time.process_time() - cpu) / end.agent_steps:6.0f} us of "
          f"the run's processor per step  hash {end.hash[:8]}", flush=True)
    return done / seconds


def main():
    counts = [int(count) for count in sys.argv[1:]] or [1, 2]
    print("a step of about 5 ms:")
    alone = measure("in the run", 60, 60_000, 30, 0)
    for count in counts:
        rate = measure(f"{count} processes", 60, 60_000, 30, count)
        print(f"{'':<28} {rate / alone / count:9.2f} of linear")
    print("a step of no time:")
    for name, workers in (("in the run", 0), *((f"{count} processes", count) for count in counts)):
        measure(name, 200, 1, 60, workers)
    if redis_rig.has_redis():
        with tempfile.TemporaryDirectory() as folder:
            redis = redis_rig.Redis(folder)
            address = redis.address("bench", lost_after=10)
            for count in counts:
                crew = [redis_rig.start_worker(address, __file__) for _ in range(count)]
                measure(f"{count} workers through Redis", 200, 1, 100, address)
                for worker in crew:
                    worker.wait()
            redis.kill()


if __name__ == "__main__":
    main()
