"""Disks that are full or read-only: one clear sentence, and the run can be resumed when there is room again. Without the
right to mount (user namespaces), only limits of the file size stand for a full disk, and the rest is skipped."""

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

THRONG = Path(sys.argv[1]).resolve()
RUN = ["run", "--llm", "fake", "--agents", "25", "--steps", "800", "--quiet", "--json"]


def throng(*arguments, limit_files=None):
    def prepare():
        if limit_files is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_files, limit_files))

    return subprocess.run([THRONG, *map(str, arguments)], capture_output=True, text=True, timeout=120, preexec_fn=prepare)


def hash_of(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["hash"]


def check_refused(name, done, *words):
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 1 and len(lines) == 1, f"{name}: exit code {done.returncode}, {done.stderr}"
    assert all(word in lines[0] for word in words), f"{name}: {lines[0]}"
    print(f"ok     {name}: {lines[0]}")


def go_on(journal):
    """What a user does when there is room again."""
    if journal.exists():
        return hash_of(throng("resume", journal, "--quiet", "--json"))
    return hash_of(throng(*RUN, "--journal", journal))


def file_limits(folder, expected):
    for limit in [0, 5_000, 40_000, 100_000, 300_000]:
        journal = folder / f"limit{limit}.journal"
        check_refused(f"{limit} bytes", throng(*RUN, "--journal", journal, limit_files=limit), journal.name)
        assert go_on(journal) == expected, f"{limit} bytes: it came out differently"


def mount(folder, *options):
    subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", folder], check=True)


def mounted(expected):
    """In a namespace of its own: file systems that are full, and read-only."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kilobytes in [4, 64, 300, 700]:
            mount(folder, "-o", f"size={kilobytes}k")
            journal = folder / "full.journal"
            check_refused(f"disk of {kilobytes} kB", throng(*RUN, "--journal", journal), "full.journal", "disk is full")
            if journal.exists():
                check_refused(f"disk of {kilobytes} kB, resumed", throng("resume", journal, "--quiet"), "full")
            mount(folder, "-o", "remount,size=64m")
            assert go_on(journal) == expected, f"disk of {kilobytes} kB: it came out differently"
            subprocess.run(["umount", folder], check=True)

        mount(folder, "-o", "size=64m")
        journal = folder / "stopped.journal"
        throng(*RUN, "--journal", journal, limit_files=300_000)
        mount(folder, "-o", "remount,ro")
        check_refused("read-only disk, new run", throng(*RUN, "--journal", folder / "new.journal"), "Read-only")
        check_refused("read-only disk, resumed", throng("resume", journal, "--quiet"), "stopped.journal", "Read-only")
        read = throng("journal", journal, "--json")
        assert read.returncode == 0 and json.loads(read.stdout)["answers"] > 0, read.stderr
        mount(folder, "-o", "remount,rw,size=64m")
        assert go_on(journal) == expected
        subprocess.run(["umount", folder], check=True)


def main():
    if len(sys.argv) > 2:
        mounted(sys.argv[2])
        return
    with tempfile.TemporaryDirectory() as name:
        expected = hash_of(throng(*RUN, "--no-journal"))
        file_limits(Path(name), expected)
    in_namespace = ["unshare", "--map-root-user", "--mount"]
    if subprocess.run([*in_namespace, "mount", "-t", "tmpfs", "tmpfs", "/tmp"], capture_output=True).returncode != 0:
        print("skipped: this system does not allow mounts in a user namespace")
        return
    done = subprocess.run([*in_namespace, sys.executable, os.path.abspath(__file__), THRONG, expected])
    assert done.returncode == 0


if __name__ == "__main__":
    main()
