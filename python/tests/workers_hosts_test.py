"""Three hosts, as network namespaces, whose lines to Redis take 5 ms each way: Redis, a run, and workers that lose their network
for a while. Needs root and iproute2.

usage: workers_hosts_test.py
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time

import redis_rig

NAMES = {"redis": f"thr{os.getpid()}r", "run": f"thr{os.getpid()}c", "worker": f"thr{os.getpid()}w"}
SLOW_LINE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "slow_line.py")
SLOW_PORT = 6380  # of Redis by the slow line
SKIPPED = "skipped: redis-server or iproute2 is not installed, or network namespaces are not allowed here"


def ip(*arguments):
    return subprocess.run(["ip", *arguments], capture_output=True, text=True)


def inside(host, command, **named):
    return subprocess.Popen(["ip", "netns", "exec", NAMES[host], *command], stdin=subprocess.DEVNULL, **named)


def connect(host, number):
    """A line between this host and that of Redis."""
    ours, theirs = f"v{os.getpid()}{number}a", f"v{os.getpid()}{number}b"
    for command in (f"link add {ours} netns {NAMES[host]} type veth peer name {theirs} netns {NAMES['redis']}",
                    f"-n {NAMES[host]} addr add 10.77.{number}.2/24 dev {ours}",
                    f"-n {NAMES['redis']} addr add 10.77.{number}.1/24 dev {theirs}",
                    f"-n {NAMES[host]} link set {ours} up", f"-n {NAMES['redis']} link set {theirs} up"):
        done = ip(*command.split())
        if done.returncode != 0:
            raise SystemExit(f"ip {command}: {done.stderr}")
    return ours


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("nothing happens for 60 s")
        time.sleep(0.05)


def check():
    """Returns the hash with all three hosts."""
    line = connect("worker", 2)
    connect("run", 1)
    processes = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            processes.append(inside("redis", ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--dir", folder],
                                    stdout=subprocess.DEVNULL))
            # Not by netem, which not every kernel has.
            processes.append(inside("redis", [sys.executable, SLOW_LINE, str(SLOW_PORT), "6379", "5"]))
            where = {number: f"redis://10.77.{number}.1:{SLOW_PORT}/hosts?lost_after=1&away=60" for number in (1, 2)}
            for _ in range(2):
                processes.append(inside("worker", [sys.executable, "-m", "throng.worker", where[2]]))
            run = inside("run", [sys.executable, redis_rig.SCRIPT, where[1], "10", "", "ooo", "0.02"],
                         stdout=subprocess.PIPE, text=True)
            processes.append(run)

            def num_results():
                shown = subprocess.run(["ip", "netns", "exec", NAMES["redis"], "redis-cli", "INFO", "commandstats"],
                                       capture_output=True, text=True).stdout
                return sum(int(line.split("calls=")[1].split(",")[0]) for line in shown.splitlines() if "xadd" in line)

            wait_for(lambda: num_results() > 60)
            ip("-n", NAMES["worker"], "link", "set", line, "down")
            time.sleep(3)
            ip("-n", NAMES["worker"], "link", "set", line, "up")
            return run.communicate()[0]
        finally:
            for process in processes:
                process.kill()
                process.wait()


def main():
    if not redis_rig.has_redis() or not shutil.which("ip") or ip("netns", "add", NAMES["redis"]).returncode != 0:
        print(SKIPPED)
        return 77
    try:
        for host in ("run", "worker"):
            ip("netns", "add", NAMES[host])
        ip("-n", NAMES["redis"], "link", "set", "lo", "up")
        printed = check()
    finally:
        for name in NAMES.values():
            ip("netns", "del", name)
    expected, _ = redis_rig.start_run(0, 10).communicate()
    print(f"three hosts, 5 ms apart, and a partition of 3 s: {printed.strip()}; alone: {expected.strip()}")
    return 0 if printed == expected else 1


if __name__ == "__main__":
    sys.exit(main())
