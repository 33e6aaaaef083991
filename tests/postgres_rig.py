"""A PostgreSQL server of their own for tests, on a socket in a folder; a process that can be killed."""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

# Where Debian has what only the server's owner calls.
PATH = os.pathsep.join([os.environ["PATH"], *map(str, Path("/usr/lib/postgresql").glob("*/bin"))])
USER = "throng"


def has_postgres():
    return all(shutil.which(name, path=PATH) for name in ("initdb", "postgres", "psql"))


class Postgres:
    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="pg")
        self.folder = Path(self._folder.name)
        # A server does not run as root.
        self.as_owner = []
        if os.getuid() == 0:
            self.as_owner = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
            shutil.chown(self.folder, "postgres", "postgres")
        self.folder.chmod(0o755)
        self._do("initdb", "-D", self.folder / "data", "-U", USER, "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self.start()
        self.sql("CREATE DATABASE runs", database="postgres")

    def _do(self, *command):
        done = subprocess.run([*self.as_owner, *command], capture_output=True, text=True, cwd="/",
                              env={**os.environ, "PATH": PATH})
        assert done.returncode == 0, f"{command[0]}: {done.stderr}"

    def start(self):
        end = time.monotonic() + 60
        while True:  # one that was killed may leave processes that have to notice
            self.process = subprocess.Popen(
                [*self.as_owner, "postgres", "-D", self.folder / "data", "-k", self.folder, "-h", ""], cwd="/",
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "PATH": PATH})
            while self.process.poll() is None:
                try:
                    self.sql("SELECT 1", database="postgres")
                    return
                except AssertionError:
                    time.sleep(0.05)
            assert time.monotonic() < end, "postgres ends at once"
            time.sleep(0.2)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.kill()
        self._folder.cleanup()

    def sql(self, query, database="runs"):
        done = subprocess.run(["psql", "-h", self.folder, "-U", USER, "-d", database, "-AtX", "-c", query],
                              capture_output=True, text=True, env={**os.environ, "PATH": PATH})
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def address(self, journal, *, user=USER, database="runs", folder=None):
        return f"postgres://{user}@/{database}?host={folder or self.folder}&journal={journal}"
