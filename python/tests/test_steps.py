"""What a world's methods yield, return and raise: calls that fail or are forgotten, texts, and forks."""

import multiprocessing
import os
import subprocess
import sys
import unittest

import support
import throng
from support import Line

HALF = "x\ud83d"  # the first half of a surrogate pair


class Pair(throng.World):
    """Two agents, one cell apart."""

    def agents(self):
        return [throng.Agent("Ann", (0, 0)), throng.Agent("Ben", (1, 0))]


def run(steps=1, llm="fake", base=Pair, **methods):
    return throng.run(type("Tried", (base,), methods)(), llm, steps=steps, mode="single")


class ForgottenCallTest(unittest.TestCase):
    KEPT = throng.Call("kept for later")

    def assert_error(self, pattern, **methods):
        with self.assertRaisesRegex(throng.Error, pattern):
            run(**methods)

    def test_a_call_without_yield_is_an_error(self):
        def statement(self, view, agent):
            throng.Call("Where to?")
            yield throng.Call("fine")

        def assigned(self, view, agent):
            answer = throng.Call("Where to?", choices=["home", "work"])
            return throng.Intent(status="home" if answer == "home" else "work")

        for proceed in (statement, assigned):
            self.assert_error("agent 0 .Ann., step 0: a throng.Call was made but never yielded, so nobody asked "
                              "'Where to.'; write `answer = yield throng.Call", proceed=proceed)

        def resolve(self, step, members, commit):
            if step == 1:
                throng.Call("Ben?", agent=1)
            yield throng.Call("fine", agent=0)

        with self.assertRaisesRegex(throng.Error, "agent 1 .Ben., step 1: a throng.Call was made but never yielded"):
            run(steps=2, proceed=lambda self, view, agent: None, resolve=resolve)

    def test_a_returned_call_is_an_error(self):
        for wrap in (lambda call: call, lambda call: [call]):
            self.assert_error("step 0: proceed of agent 0 .Ann. returned a throng.Call, so nobody asked 'Where to.'; "
                              "write `answer = yield throng.Call", proceed=lambda *_: wrap(throng.Call("Where to?")))

    def test_a_resolve_of_ones_own_may_ask_what_proceed_returns(self):
        def proceed(self, view, agent):
            return [throng.Call(f"{agent.name}?", agent=agent.id)]

        def resolve(self, step, members, commit):
            for agent in members:
                commit.set_status(agent, (yield agent.intent)[0])

        self.assertEqual(run(proceed=proceed, resolve=resolve).calls, 2)

    def test_a_coroutine_is_an_error(self):
        async def proceed(self, view, agent):
            return None

        self.assert_error("it is an `async def`", proceed=proceed)

    def test_intervene_cannot_ask(self):
        def intervene(self, change, what):
            yield throng.Call("x")

        world = type("Tried", (Pair,), {"proceed": lambda *_: None, "intervene": intervene})()
        with self.assertRaisesRegex(throng.Error, "what intervene returned is <generator"):
            throng.run(world, "fake", steps=2, events=[(1, "rain")])

    def test_calls_that_are_asked_later_or_elsewhere_are_fine(self):
        kept = []

        def proceed(self, view, agent):
            calls = [throng.Call(f"question {i}") for i in range(3)]
            first = yield calls.pop()
            rest = yield calls
            again = throng.Call(first + "".join(rest))
            kept.append(throng.Call("for another step"))
            return throng.Intent(status=(yield again) + (yield ForgottenCallTest.KEPT) + (yield again))

        self.assertEqual(run(proceed=proceed).calls, 12)

    def test_a_step_that_raises_does_not_speak_of_calls(self):
        def proceed(self, view, agent):
            throng.Call("x")
            raise KeyError("mine")

        with self.assertRaisesRegex(KeyError, "mine"):
            run(proceed=proceed)


class MistakesTest(unittest.TestCase):
    """What a first world gets wrong, and what is said of it."""

    def refuse(self, pattern, intent=None, call=None):
        def proceed(self, view, agent):
            if call is not None:
                yield call
            return intent

        with self.assertRaisesRegex(throng.Error, r"agent 0 \(Ann\).*step 0: .*" + pattern):
            run(proceed=proceed)

    def test_intents_in_another_form(self):
        for write in ([((0, 0), "x")], "x", None):
            self.refuse(r"Intent.write of agent 0 \(Ann\) is .*, allowed is a dict of texts by position", throng.Intent(write=write))
        for events in ("walks", None, 3):
            self.refuse(r"Intent.events of agent 0 \(Ann\) is .*, allowed is a list", throng.Intent(events=events))
        for events in (("say", "hello"), [("say", "hello", "Ben")], [("say",)]):
            self.refuse(r"Intent.events of agent 0 \(Ann\) has .*, allowed is \(kind, text\)", throng.Intent(events=events))

    def test_calls_that_nothing_can_answer(self):
        for name, wrong, allowed in (("max_tokens", 0, "1 or more"), ("max_tokens", -1, "1 or more"), ("temperature", -1.0, "0 to 100"),
                                     ("temperature", float("nan"), "0 to 100"), ("top_k", -1, "0 .all. or more"),
                                     ("top_p", 2.0, "0 to 1"), ("min_p", -0.5, "0 to 1"),
                                     ("repetition_penalty", 0.0, "above 0 and at most 100")):
            self.refuse(f"{name} is .*, allowed is {allowed}", call=throng.Call("x", **{name: wrong}))

    def test_what_is_no_world(self):
        for wrong in (Pair, None, "Pair"):
            with self.assertRaisesRegex(throng.Error, r"world is .*, allowed is an object of a class that derives from throng.World"):
                throng.run(wrong, "fake", steps=1)


class FailedCallTest(unittest.TestCase):
    """The server answers "maybe" to every question of Ben, which is none of the choices. Ann is the first who asks, as
    a server that has answered nothing yet ends the run."""

    def setUp(self):
        server = support.Server(lambda prompt: "maybe" if prompt.startswith("Ben") else "yes")
        self.addCleanup(server.close)
        self.llm = server.llm

    def test_it_is_caught_at_the_yield(self):
        caught = []

        def proceed(self, view, agent):
            call = throng.Call(f"{agent.name}?", choices=["yes", "no"], function="greet")
            try:
                answer = yield call
            except throng.CallError as error:
                caught.append(error)
                answer = "no"
            later = yield throng.Call("Ann again?", choices=["yes", "no"])
            return throng.Intent(status=answer + later)

        result = run(llm=self.llm, proceed=proceed)
        self.assertEqual([agent.status for agent in result.agents], ["yesyes", "noyes"])
        self.assertEqual((result.failed_calls, result.events), (1, []))
        error, = caught
        self.assertIsInstance(error, throng.Error)
        self.assertRegex(str(error), "maybe")
        self.assertEqual((error.answers, error.agent, error.function), ([None], 1, "greet"))
        self.assertEqual(error.errors, [str(error)])

    def test_of_several_calls_the_answers_are_kept(self):
        caught = []

        def proceed(self, view, agent):
            names = ["Ann", "Ben", "Cid"] if agent.id == 0 else ["Ann"]
            try:
                yield [throng.Call(name + "?", choices=["yes", "no"]) for name in names]
            except throng.CallError as error:
                caught.append(error)

        run(llm=self.llm, proceed=proceed)
        error, = caught
        self.assertEqual(error.answers, ["yes", None, "yes"])
        self.assertEqual([bool(why) for why in error.errors], [False, True, False])

    def test_an_agent_that_does_not_catch_it_does_nothing(self):
        def proceed(self, view, agent):
            answer = yield throng.Call(f"{agent.name} at {view.step}?", choices=["yes", "no"], function="greet")
            return throng.Intent(status=f"{answer} {view.step}", events=[("greet", answer)])

        result = run(2, self.llm, proceed=proceed)
        self.assertEqual([agent.status for agent in result.agents], ["yes 1", ""])
        self.assertEqual([event[:3] for event in result.events],
                         [(0, 0, "greet"), (0, 1, "fallback"), (1, 0, "greet"), (1, 1, "fallback")])
        self.assertRegex(result.events[1].text, "^greet: .*maybe")

    def test_a_resolve_of_ones_own_need_not_know(self):
        def proceed(self, view, agent):
            answer = yield throng.Call(f"{'Ben' if view.step else agent.name}?", choices=["yes", "no"])
            return (answer, agent.pos)

        def resolve(self, step, members, commit):
            for agent in members:
                commit.set_status(agent, agent.intent[0])

        result = run(2, self.llm, proceed=proceed, resolve=resolve)
        self.assertEqual([agent.status for agent in result.agents], ["yes", ""])
        self.assertEqual([event[:3] for event in result.events],
                         [(0, 1, "fallback"), (1, 0, "fallback"), (1, 1, "fallback")])

    def test_a_resolve_that_does_not_catch_it_writes_nothing(self):
        def resolve(self, step, members, commit):
            commit.set_status(members[0], "talking")
            commit.event(members[0], "say", "hello")
            commit.write((0, 0), "footprints")
            yield throng.Call("Ben?", agent=1, choices=["yes", "no"])

        result = run(llm=self.llm, proceed=lambda *_: (yield throng.Call("Ann?")), resolve=resolve)
        self.assertEqual([agent.status for agent in result.agents], ["", ""])
        self.assertEqual(([event[:3] for event in result.events], result.cells), ([(0, 1, "fallback")], {}))

    def test_what_is_raised_from_it_ends_the_run(self):
        def proceed(self, view, agent):
            yield throng.Call("Ann?")
            try:
                yield throng.Call("Ben?", choices=["yes", "no"])
            except throng.CallError as error:
                raise RuntimeError("that was needed") from error

        with self.assertRaisesRegex(RuntimeError, "that was needed"):
            run(llm=self.llm, proceed=proceed)


class TextTest(unittest.TestCase):
    def test_half_of_a_surrogate_pair_is_refused_with_its_place(self):
        half = r"is 'x\\ud83d', whose character 1 is U\+D83D, half of a surrogate pair"
        at = r"agent 0 \(Ann\).*step 0.*"
        intents = {
            at + "Commit.set_status: status " + half: throng.Intent(status=HALF),
            at + "Commit.event: text " + half: throng.Intent(events=[("say", HALF)]),
            at + "Commit.write: text " + half: throng.Intent(write={(0, 0): HALF}),
            at + "the mind of agent 0 " + half: throng.Intent(mind=[{"a": HALF}]),
        }
        for pattern, intent in intents.items():
            with self.assertRaisesRegex(throng.Error, pattern):
                run(proceed=lambda self, view, agent: intent)
        for call in (throng.Call(HALF), throng.Call("x", system=HALF), throng.Call("x", choices=["a", HALF])):
            with self.assertRaisesRegex(throng.Error, at + "Call.(prompt|system|choices) " + half):
                run(proceed=lambda self, view, agent: (yield call))
        for agent, field in ((throng.Agent(HALF, (0, 0)), "Agent.name "),
                             (throng.Agent("x", (0, 0), HALF), "Agent.status "),
                             (throng.Agent("x", (0, 0), mind=HALF), "the mind of agent 0")):
            with self.assertRaisesRegex(throng.Error, field + ".*" + half):
                run(agents=lambda self: [agent])
        with self.assertRaisesRegex(throng.Error, "announcements.*" + half):
            run(announcements=lambda self: [(0, HALF)])
        with self.assertRaisesRegex(throng.Error, "the backend function returned " + half):
            run(llm=lambda call: HALF, proceed=lambda self, view, agent: (yield throng.Call("x")))

    def test_errors_hold_any_text(self):
        def proceed(self, view, agent):
            raise RuntimeError(HALF + "\U0001f600" * 100)

        with self.assertRaises(RuntimeError):
            run(proceed=proceed)
        with self.assertRaisesRegex(throng.Error, "what was yielded is .*, allowed is"):
            run(proceed=lambda self, view, agent: (yield "\U0001f600" * 100))

    def test_a_model_refuses_it_too(self):
        model = throng.Model(threads=1)
        with self.assertRaisesRegex(throng.Error, "half of a surrogate pair"):
            model.generate(HALF)
        with self.assertRaisesRegex(throng.Error, "half of a surrogate pair"):
            model.tokenize(HALF)


@unittest.skipUnless(hasattr(os, "fork"), "no forks here")
class ForkTest(unittest.TestCase):
    def in_a_fork(self, use):
        """What `use` raises in a forked process."""
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                use()
                text = "nothing"
            except BaseException as error:
                text = f"{type(error).__name__}: {error}"
            os.write(write, text.encode())
            os._exit(0)
        os.close(write)
        os.waitpid(child, 0)
        with os.fdopen(read) as pipe:
            return pipe.read()

    def test_a_model_is_refused_in_a_fork(self):
        model = throng.Model(threads=2)
        model.generate("a", max_tokens=2)

        def drop():
            nonlocal model
            del model  # its threads are not waited for

        for use in (lambda: model.generate("a"), lambda: model.tokenize("a"), lambda: repr(model), throng.Model,
                    lambda: throng.run(Line(), "fake", steps=1), lambda: throng.verify(Line, steps=1)):
            self.assertRegex(self.in_a_fork(use), '^Error: this process was forked .* "spawn"')
        self.assertEqual(self.in_a_fork(drop), "nothing")
        self.assertEqual(len(model.generate(["a", "b"], max_tokens=2)), 2)

    def test_without_models_and_runs_forks_are_fine(self):
        code = ("import multiprocessing, support, throng\n"
                "def run(seed): return throng.run(support.Line(), 'fake', steps=3, seed=seed).hash\n"
                "with multiprocessing.get_context('fork').Pool(2) as pool:\n"
                "    print(pool.map(run, [1, 2]) == [run(1), run(2)])\n")
        done = subprocess.run([sys.executable, "-c", code], cwd=os.path.dirname(os.path.abspath(__file__)),
                              capture_output=True, text=True, timeout=60, check=True)
        self.assertEqual(done.stdout, "True\n")

    def test_a_fork_in_a_step_does_not_go_on_with_the_run(self):
        def proceed(self, view, agent):
            if view.step == 0 and agent.id == 0:
                child = os.fork()
                if child:
                    found.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            yield throng.Call("x")

        found = []
        with support.captured_stderr() as text:
            result = run(2, proceed=proceed)
            said = text()
        self.assertEqual((found, result.calls), ([1], 4))
        self.assertRegex(said, "throng: this process was forked")

    def test_a_process_of_multiprocessing_in_a_step_may_do_other_things(self):
        def proceed(self, view, agent):
            context = multiprocessing.get_context("fork")
            queue = context.SimpleQueue()
            process = context.Process(target=lambda: queue.put(agent.name * 2))
            process.start()
            process.join()
            return throng.Intent(status=queue.get())

        self.assertEqual(run(proceed=proceed).agents[1].status, "BenBen")


class Board(throng.World):
    """Agents who come by write on a common cell, in the order of their ids."""

    width, height, perception_radius, max_velocity = 40, 1, 1, 1

    def agents(self):
        return [throng.Agent(f"a{i}", (5 * i, 0)) for i in range(6)]

    def proceed(self, view, agent):
        answer = yield throng.Call(f"{agent.name} reads {view.cell(agent.pos)}", choices=["left", "right"])
        return min(max(agent.pos.x + (1 if answer == "right" else -1), 0), 39)

    def resolve(self, step, members, commit):
        for agent in members:
            commit.move(agent, (agent.intent, 0))
        place = members[0].pos
        commit.write(place, commit.cell(place)[-20:] + members[0].name)
        commit.event(members[0], "wrote", commit.cell(place))


class CellTest(unittest.TestCase):
    def test_resolve_reads_what_was_written_before_the_step(self):
        report = throng.verify(Board, steps=25, shuffled=1, processes=0)
        self.assertTrue(report, report.difference)
        events = throng.run(Board(), "fake", steps=25).frame("events")
        self.assertEqual(events.where(step=0)["text"], [""] * 6)
        self.assertTrue(any(len(text) >= 6 for text in events["text"]))

    def test_what_nobody_sees_is_refused(self):
        def far(self, step, members, commit):
            commit.cell((3, 0))

        def outside(self, step, members, commit):
            commit.cell((-1, 0))

        def later(self, step, members, commit):
            kept.append(commit)
            kept[0].cell((0, 0))

        kept = []
        for resolve in (far, outside):
            with self.assertRaisesRegex(throng.Error, "reads cell .* within the radius of a member that is awake"):
                run(base=Board, resolve=resolve)
        with self.assertRaisesRegex(throng.Error, "only in the resolve"):
            run(base=Board, resolve=later, steps=2)


class JsonTest(unittest.TestCase):
    def test_answers_as_data(self):
        def proceed(self, view, agent):
            answer = yield throng.Call("Where?", json_schema={"type": "object", "required": ["x"], "properties": {
                "x": {"enum": [1, 2]}}})
            return throng.Intent(mind=answer.json())

        self.assertIn(run(proceed=proceed).agents[0].mind["x"], (1, 2))
        self.assertEqual(throng.Completion("[1, null]").json(), [1, None])
        with self.assertRaisesRegex(throng.Error, "the answer 'He says: .*' is not JSON: Expecting value: line 1"):
            throng.Completion("He says: {}").json()


if __name__ == "__main__":
    unittest.main()
