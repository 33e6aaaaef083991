"""Workers by way of Redis: the same result as without, whatever becomes of the workers, the run and Redis."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import redis_rig
import throng


def alone(steps):
    run = redis_rig.start_run(0, steps)
    printed, _ = run.communicate()
    return printed


@unittest.skipUnless(redis_rig.has_redis(), "redis-server is not installed")
class RedisTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.redis = redis_rig.Redis(self.folder)
        self.addCleanup(lambda: self.redis.kill())

    def start(self, process):
        def end():
            process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        self.addCleanup(end)
        return process

    def start_worker(self, *arguments, **named):
        return self.start(redis_rig.start_worker(*arguments, **named))

    def start_run(self, *arguments, **named):
        return self.start(redis_rig.start_run(*arguments, **named))

    def wait_for(self, condition, what):
        end = time.monotonic() + 120
        while not condition():
            self.assertLess(time.monotonic(), end, what)
            time.sleep(0.02)

    def num_results(self, name):
        keys = self.redis.ask("KEYS", f"throng:{name}:*:results").split()
        found = [self.redis.ask("XINFO", "STREAM", key) for key in keys]
        lines = found[0].split() if found and found[0] else []
        return int(lines[lines.index("entries-added") + 1]) if "entries-added" in lines else 0

    def test_two_workers_come_to_the_same_and_leave_nothing_behind(self):
        address = self.redis.address("same")
        workers = [self.start_worker(address) for _ in range(2)]
        run = self.start_run(address, 6, mode="speculative")
        printed, errors = run.communicate()
        self.assertEqual(printed, alone(6), errors)
        # One that comes too late waits for another run.
        self.wait_for(lambda: any(worker.poll() == 0 for worker in workers), "no worker ends with its run")
        # What the run would have said to a worker that joins at this moment expires.
        left = [key for key in self.redis.ask("KEYS", "*").split() if not key.endswith(":ended") and ":to:" not in key]
        self.assertEqual(left, [])

    def test_what_a_killed_worker_had_is_claimed_by_another(self):
        address = self.redis.address("claim")
        first = self.start_worker(address)
        run = self.start_run(address, 8, sleep=0.02)
        self.wait_for(lambda: self.num_results("claim") > 10, "the worker does nothing")
        first.kill()
        self.start_worker(address)
        printed, errors = run.communicate()
        self.assertEqual(printed, alone(8), errors)

    def test_workers_that_were_silent_go_on(self):
        """All of them at once, so that nobody claims what the others have; they come back one after the other."""
        address = self.redis.address("silent", lost_after=0.5)
        workers = [self.start_worker(address) for _ in range(2)]
        run = self.start_run(address, 8, sleep=0.02)
        for results in (20, 60, 100):
            self.wait_for(lambda: self.num_results("silent") > results, "the workers do nothing")
            for worker in workers:
                worker.send_signal(signal.SIGSTOP)
            time.sleep(1)
            for worker in workers:
                worker.send_signal(signal.SIGCONT)
                time.sleep(0.1)
        printed, errors = run.communicate(timeout=120)
        self.assertEqual(printed, alone(8), errors)

    def test_redis_is_waited_for_and_loses_nothing_that_matters(self):
        address = self.redis.address("restart")
        self.start_worker(address, stderr=subprocess.DEVNULL)
        run = self.start_run(address, 8, sleep=0.02)
        self.wait_for(lambda: self.num_results("restart") > 10, "the worker does nothing")
        self.redis.kill()
        time.sleep(0.5)
        self.redis.start()
        printed, errors = run.communicate()
        self.assertEqual(printed, alone(8), errors)
        self.assertIn("is away", errors)

    def test_a_killed_run_is_resumed(self):
        address = self.redis.address("resume")
        worker = self.start_worker(address, stderr=subprocess.DEVNULL)
        journal = os.path.join(self.folder, "run.journal")
        run = self.start_run(address, 8, journal=journal, sleep=0.02)
        self.wait_for(lambda: self.num_results("resume") > 30, "the worker does nothing")
        run.kill()
        printed, errors = self.start_run(address, 8, journal=journal, sleep=0.02).communicate()
        self.assertEqual(printed, alone(8), errors)
        self.assertEqual(worker.wait(), 0)

    def test_a_worker_with_other_files_is_refused_by_name(self):
        address = self.redis.address("files")
        other = os.path.join(self.folder, "redis_world.py")
        shutil.copy(redis_rig.SCRIPT, other)
        with open(other, "a") as file:
            file.write("# another\n")
        self.start_run(address, 6)
        worker = self.start_worker(address, other, stderr=subprocess.PIPE, text=True)
        _, errors = worker.communicate()
        self.assertEqual(worker.returncode, 1)
        self.assertIn("redis_world.py is not the file that the run has", errors)

    def test_processes_end_with_the_one_that_started_them(self):
        started = self.start(subprocess.Popen([sys.executable, "-m", "throng.worker", self.redis.address("nobody"), "--processes", "2"],
                                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
        children = f"/proc/{started.pid}/task/{started.pid}/children"

        def count():
            with open(children) as file:
                return len(file.read().split())
        self.wait_for(lambda: count() == 2, "no workers are started")
        started.terminate()
        self.assertEqual(started.communicate(timeout=60)[0], b"")  # all have closed it
        self.assertEqual(started.returncode, 143)

    def test_so_is_one_with_another_module_of_the_users(self):
        address = self.redis.address("modules")
        scripts = []
        for name in ("run", "worker"):
            os.mkdir(os.path.join(self.folder, name))
            scripts.append(os.path.join(self.folder, name, "town.py"))
            with open(redis_rig.SCRIPT) as source, open(scripts[-1], "w") as script:
                script.write("import habits\n" + source.read())
            with open(os.path.join(self.folder, name, "habits.py"), "w") as module:
                module.write(f"OF = {name!r}\n")
        self.start_run(address, 6, script=scripts[0])
        worker = self.start_worker(address, scripts[1], stderr=subprocess.PIPE, text=True)
        _, errors = worker.communicate()
        self.assertEqual(worker.returncode, 1)
        self.assertIn("module habits is not the file that the run has", errors)

    def test_a_redis_that_stays_away_stops_the_run(self):
        self.redis.kill()
        address = self.redis.address("away").replace("away=60", "away=0.5")
        printed, errors = self.start_run(address, 6).communicate()
        self.assertEqual(printed, "")
        self.assertIn("has been away for 0.5 s", errors)


class AddressTest(unittest.TestCase):
    def test_wrong_addresses_are_refused(self):
        for wrong in ("redis://", "redis://host", "redis://host/", "redis://host:x/run", "redis://host:0/run",
                      "redis://host/run?lost=3", "redis://host/run?away=-1", "redis://host/a/b"):
            with self.assertRaisesRegex(throng.Error, r"allowed: redis://\[USER:PASSWORD@\]HOST\[:PORT\]/NAME"):
                throng._native.Seat(wrong, "worker", print)

    def test_the_help_has_examples(self):
        shown = subprocess.run([sys.executable, "-m", "throng.worker", "--help"], capture_output=True, text=True)
        self.assertIn("--processes 8", shown.stdout)


if __name__ == "__main__":
    unittest.main()
