"""throng.verify: what other orders and other processes bring to light, and what it says about it."""

import datetime
import functools
import os
import subprocess
import sys
import tempfile
import unittest

import hidden_worlds
import support
import throng

WHERE = "differ first at step 3, agent 1 (Ben), prompt of call 0 (think), line 2: "
FOLDER = os.path.dirname(os.path.abspath(__file__))


class HiddenTest(unittest.TestCase):
    def verify(self, factory, **more):
        return throng.verify(factory, steps=5, shuffled=1, **more)

    def check(self, factory, runs, shown, cause):
        report = self.verify(factory)
        self.assertFalse(report)
        self.assertIn(f"{runs} {WHERE}", report.difference)
        self.assertRegex(report.difference, shown)
        self.assertIn(cause, report.cause)
        self.assertEqual(report.left_out, "")
        self.assertTrue(str(report).endswith(f"{report.difference}\nprobably: {report.cause}"))

    def check_there(self, factory, shown, cause):
        self.check(factory, "the first run and another process", shown, cause)

    def test_a_clean_world_is_equal(self):
        report = self.verify(hidden_worlds.Clean)
        self.assertEqual((report.difference, report.cause, report.left_out), ("", "", ""))
        self.assertEqual(len({run.hash for run in report.runs.values()}), 1)
        self.assertEqual(list(report.runs)[-3:], ["another process", "another process 2", "another process 3"])
        self.assertEqual(report.runs["another process"].calls, 10)

    def test_the_order_of_a_set(self):
        self.check_there(hidden_worlds.OfSet, r'name\d name\d.*" and ".*name\d', "PYTHONHASHSEED")

    def test_the_clock(self):
        self.check(hidden_worlds.OfClock, "single and lockstep", r'"You know: 1\d+\.\d+" and "', "the clock alone")

    def test_the_date(self):
        self.check_there(hidden_worlds.OfDate, r'"You know: 20\d\d-\d\d-\d\d" and "', "the clock alone")

    def test_the_year(self):
        self.check_there(hidden_worlds.OfYear, r'"You know: 20\d\d, a \w+day" and "', "the clock alone")

    def test_the_time_zone(self):
        self.check_there(hidden_worlds.OfZone, r'"You know: \d+" and "', "the environment alone")

    def test_the_random_module(self):
        self.check(hidden_worlds.OfChance, "single and lockstep", r'"You know: 0\.\d+" and "', "view.random")

    def test_addresses(self):
        self.check_there(hidden_worlds.OfClassAddress, r'"You know: \d+" and "', "an address")
        report = self.verify(hidden_worlds.OfAddress)
        self.assertIn(WHERE, report.difference)
        self.assertIn("an address", report.cause)

    def test_the_environment(self):
        self.check_there(hidden_worlds.OfUser, r'and "You know: throng-verify-1"$', "the environment alone")

    def test_uuids(self):
        self.check(hidden_worlds.OfUuid, "single and lockstep", r'"You know: [0-9a-f-]{36}" and "', "uuid")

    def test_what_is_kept_on_self_or_a_class(self):
        report = self.verify(hidden_worlds.OfSelf)
        self.assertIn(WHERE, report.difference)
        self.assertRegex(report.difference, r'"You know: \d+" and "You know: \d+"')
        self.assertIn("on self", report.cause)
        hidden_worlds.OfClass.runs = 0
        self.check(hidden_worlds.OfClass, "single and lockstep", '"You know: 1" and "You know: 2"', "on a class")

    def test_globals_that_only_this_process_changed(self):
        self.addCleanup(setattr, hidden_worlds, "SETTING", hidden_worlds.SETTING)
        hidden_worlds.SETTING = "as this test has it"
        self.check_there(hidden_worlds.OfGlobal, '"You know: as this test has it" and "You know: as the module has it"',
                         "outside of the factory")

    def test_another_start(self):
        report = self.verify(hidden_worlds.OfStart)
        self.assertIn("the first run and another process differ before step 0, agent 0 (Ann), mind: ",
                      report.difference)
        self.assertRegex(report.difference, r"name\d', 'name\d")
        self.assertIn("PYTHONHASHSEED", report.cause)

    def test_a_world_that_fails_there(self):
        os.environ["THRONG_TEST_YEAR"] = str(datetime.date.today().year)
        self.addCleanup(os.environ.pop, "THRONG_TEST_YEAR")
        report = self.verify(hidden_worlds.OfFailure)
        self.assertIn("another process ends early: agent 1 (Ben), step 3: RuntimeError: it is ", report.difference)
        self.assertIn("the clock alone", report.cause)

    def test_answers_that_differ_are_the_backends_fault(self):
        numbers = iter(range(1000))
        report = self.verify(hidden_worlds.Hidden, llm=lambda call: str(next(numbers)))
        self.assertIn("single and lockstep differ first at step 0, agent 0 (Ann), answer to call 0 (think): "
                      '"0" and "10"; the question is the same', report.difference)
        self.assertEqual(report.cause, "")

    def test_a_server_is_asked_once_and_the_prompts_that_differ_are_named(self):
        asked = []
        server = support.Server(lambda prompt: asked.append(prompt) or "fine")
        self.addCleanup(server.close)
        self.assertTrue(self.verify(hidden_worlds.Clean, llm=server.llm))
        self.assertEqual(len(asked), 10)
        report = self.verify(hidden_worlds.OfClock, llm=server.llm)
        self.assertIn("single and lockstep " + WHERE, report.difference)
        report = self.verify(hidden_worlds.OfSet, llm=server.llm)
        self.assertIn("another process " + WHERE, report.difference)

    def test_no_other_process(self):
        report = self.verify(hidden_worlds.OfSet, processes=0)
        self.assertTrue(report)
        self.assertEqual(report.left_out, "processes=0")
        with self.assertRaisesRegex(throng.Error, "verify: processes=-1"):
            self.verify(hidden_worlds.OfSet, processes=-1)


class FactoryTest(unittest.TestCase):
    """Which factories another process can use."""

    def check(self, factory):
        report = throng.verify(factory, steps=4, shuffled=0, processes=1)
        self.assertEqual((report.left_out, report.difference), ("", ""))
        self.assertIn("another process", report.runs)

    def test_what_can_be_made_there(self):
        secret = "a secret"
        self.check(lambda: hidden_worlds.make(secret))
        self.check(lambda secret="usual": support.Line(3))
        self.check(functools.partial(hidden_worlds.make, "something"))
        self.check(Factory(3).make)

    def check_left_out(self, factory, pattern):
        report = throng.verify(factory, steps=4, shuffled=0)
        self.assertRegex(report.left_out, pattern)
        self.assertTrue(report)
        self.assertNotIn("another process", report.runs)
        self.assertIn("not run in another process", str(report))

    def test_what_cannot_is_said(self):
        class Local(hidden_worlds.Hidden):
            pass

        self.check_left_out(Local, "Local.* cannot be made there .*; pass a class or function of a module")
        self.check_left_out(lambda: Local(), "cannot be made there")
        hidden_worlds.later = lambda: hidden_worlds.Hidden()
        hidden_worlds.later.__module__ = "no_such_module"
        self.check_left_out(hidden_worlds.later, "cannot be loaded there: ModuleNotFoundError: .*no_such_module")
        hidden_worlds.only_here = hidden_worlds.Hidden
        self.addCleanup(delattr, hidden_worlds, "only_here")
        self.addCleanup(delattr, hidden_worlds, "later")
        self.check_left_out(use_only_here, "the factory fails there: AttributeError: .*only_here")


def use_only_here():
    return hidden_worlds.only_here()


class Factory:
    def __init__(self, size):
        self.size = size

    def make(self):
        return support.Line(self.size)


SCRIPT = """
import sys
import throng
from hidden_worlds import OfSet

print("begin")
class Mine(OfSet):
    pass
{before}
report = throng.verify({factory}, steps=4, shuffled=0)
print(report)
"""


class ScriptTest(unittest.TestCase):
    def run_python(self, *arguments, **more):
        environment = dict(os.environ, PYTHONHASHSEED="0", PYTHONPATH=os.pathsep.join([FOLDER, *sys.path]))
        done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True,
                              timeout=120, **more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def run_script(self, before="", factory="Mine"):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "script.py")
            with open(path, "w", encoding="utf-8") as file:
                file.write(SCRIPT.format(before=before, factory=factory))
            return self.run_python(path)

    def test_a_class_of_a_script_without_guard(self):
        for factory in ("Mine", "lambda: Mine()"):
            text = self.run_script(factory=factory)
            self.assertIn("another process differ first at step 3", text)
            self.assertIn("PYTHONHASHSEED", text)
            self.assertEqual(text.count("begin"), 1)

    def test_what_a_script_does_before_is_not_done_there(self):
        self.assertIn("another process differ first",
                      self.run_script(before="throng.run(Mine(), 'fake', steps=1, journal=sys.argv[0] + '.journal')"))

    def test_a_script_that_runs_a_world_before_it_defines_the_factory(self):
        text = self.run_script(before="throng.run(Mine(), 'fake', steps=1)\ndef make(): return Mine()", factory="make")
        self.assertIn("the script uses throng before it defines the factory", text)

    def test_a_module_that_is_run(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "some_module.py"), "w", encoding="utf-8") as file:
                file.write(SCRIPT.format(before="", factory="Mine"))
            self.assertIn("another process differ first", self.run_python("-m", "some_module", cwd=folder))

    def test_an_interactive_session(self):
        text = self.run_python("-c", SCRIPT.format(before="", factory="Mine"))
        self.assertIn("not run in another process", text)
        self.assertIn("defined in an interactive session; put the world into a module", text)
        self.assertIn("equal in all runs", text)


if __name__ == "__main__":
    unittest.main()
