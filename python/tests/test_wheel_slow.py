"""The package as users install it: a wheel, in a fresh virtual environment, without a network.

    python3 python/tests/test_wheel_slow.py BUILD_FOLDER
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import venv

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = sys.argv.pop(1)

WORLD = """
import pickle, throng
class One(throng.World):
    def agents(self):
        return [throng.Agent("Ann", (0, 0), mind={"steps": 0})]
    def proceed(self, view, agent):
        answer = yield throng.Call("Stay?", choices=["yes", "no"])
        return throng.Intent(mind={"steps": agent.mind["steps"] + 1})
result = throng.run(One(), throng.Model(threads=1), steps=3)
print(throng.__file__, result.calls, pickle.loads(pickle.dumps(result)).agents[0].mind["steps"])
"""


class WheelTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.root = pathlib.Path(cls.folder.name)
        venv.create(cls.root / "venv", with_pip=True)
        cls.bin = cls.root / "venv/bin"
        cls.environment = {name: value for name, value in os.environ.items()
                           if name not in ("PYTHONPATH", "THRONG_DATA")}
        cls.environment["PIP_NO_INDEX"] = "1"  # no network
        cls.run_in_venv("pip", "wheel", str(ROOT), "--config-settings", f"build-dir={BUILD}", "-w", str(cls.root),
                        "--no-deps")
        cls.run_in_venv("pip", "install", str(next(cls.root.glob("throng-*.whl"))))
        cls.site = next(cls.root.glob("venv/lib/python3*/site-packages/throng"))

    @classmethod
    def run_in_venv(cls, program, *arguments, code=0):
        done = subprocess.run([cls.bin / program, *arguments], capture_output=True, text=True, env=cls.environment,
                              cwd=cls.root, timeout=600)
        assert done.returncode == code, f"{program} {arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def test_worlds_run(self):
        found, calls, steps = self.run_in_venv("python", "-c", WORLD).split()
        self.assertEqual(pathlib.Path(found).parent, self.site)
        self.assertEqual((calls, steps), ("3", "3"))

    def test_the_program_runs(self):
        self.assertIn("throng 0.", self.run_in_venv("throng", "--version"))
        text = self.run_in_venv("throng", "run", "--agents", "3", "--steps", "20", "--llm", "fake", "--no-journal")
        self.assertIn("3 agents, 20 steps", text)
        self.assertIn("throng: ", self.run_in_venv("throng", "run", "--nonsense", code=2))

    def test_both_read_the_data_of_the_package(self):
        model = self.site / "share/throng/town/model.gguf"
        kept = model.read_bytes()
        try:
            model.write_bytes(b"no model")
            self.assertIn(str(model), self.run_in_venv("python", "-c", "import throng; throng.Model()", code=1))
            self.assertIn(str(model), self.run_in_venv("throng", "generate", "-p", "x", code=1))
        finally:
            model.write_bytes(kept)

    def test_it_holds_stubs_and_says_what_it_is(self):
        for name in ("py.typed", "_native.pyi"):
            self.assertTrue((self.site / name).exists(), name)
        shown = self.run_in_venv("pip", "show", "-f", "throng")
        self.assertIn("License: Apache-2.0", shown)
        self.assertIn("throng/share/throng/town/map.json", shown)
        self.run_in_venv("pip", "check")

    def test_a_source_distribution_holds_what_a_build_reads(self):
        code = ("import sys; sys.path.insert(0, 'python/packaging'); import throng_build; "
                f"print(throng_build.build_sdist({str(self.root)!r}))")
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        listed = subprocess.run(["tar", "tzf", self.root / done.stdout.strip()], capture_output=True, text=True,
                                check=True)
        for name in ("pyproject.toml", "CMakeLists.txt", "python/packaging/throng_build.py", "src/cli/main.cc",
                     "town/model.gguf", "PKG-INFO"):
            self.assertRegex(listed.stdout, rf"(?m)^throng-[\d.]+/{name}$")


if __name__ == "__main__":
    unittest.main()
