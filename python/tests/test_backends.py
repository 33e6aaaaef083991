"""Functions as backends, plain and async; failures, limits, and other options of throng.run."""

import asyncio
import http.server
import os
import tempfile
import threading
import time
import traceback
import unittest
import warnings

import throng
from support import Line


def yes(call):
    return call.choices[(len(call.prompt) + call.agent) % len(call.choices)]


async def yes_later(call):
    await asyncio.sleep(0.001 * (len(call.prompt) % 5))
    return yes(call)


class AsyncTest(unittest.TestCase):
    def test_it_answers_as_the_plain_function(self):
        plain = throng.run(Line(), yes, steps=10)
        for mode in ("single", "lockstep", "ooo", "speculative"):
            self.assertEqual(throng.run(Line(), yes_later, mode=mode, steps=10).hash, plain.hash)
        self.assertTrue(throng.verify(Line, yes_later, steps=5))

    def test_calls_are_answered_at_once(self):
        running = most = 0

        async def answer(call):
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.05)
            running -= 1
            return yes(call)

        began = time.monotonic()
        result = throng.run(Line(20, 3), answer, steps=2)
        self.assertGreater(most, 5)
        self.assertLess(time.monotonic() - began, 0.05 * result.calls / 2)
        self.assertGreater(result.parallelism, 2)

    def test_threads_answer_blocking_functions_at_once(self):
        names = set()

        def block(call):
            names.add(threading.current_thread().name)
            time.sleep(0.02)
            return yes(call)

        async def answer(call):
            return await asyncio.to_thread(block, call)

        self.assertEqual(throng.run(Line(20, 3), answer, steps=2).hash, throng.run(Line(20, 3), yes, steps=2).hash)
        self.assertGreater(len(names), 1)

    def test_callable_objects(self):
        class Server:
            async def __call__(self, call):
                return yes(call)

        self.assertEqual(throng.run(Line(), Server(), steps=3).hash, throng.run(Line(), yes, steps=3).hash)

    def test_exceptions_stop_the_run_with_their_traceback(self):
        async def answer(call):
            {}["missing key"]

        text = ""
        try:
            throng.run(Line(), answer, steps=9)
        except KeyError:
            text = traceback.format_exc()
        self.assertIn('{}["missing key"]', text)
        for wrong in (SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()):
            async def stop(call):
                raise wrong

            with self.assertRaises(type(wrong)):
                throng.run(Line(), stop, steps=9)

    def test_tasks_end_with_the_run(self):
        cancelled = []

        async def answer(call):
            try:
                if call.agent == 0:
                    await asyncio.sleep(0.05)
                    raise RuntimeError("enough")
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.append(call.agent)
                raise

        class Asking(Line):
            def proceed(self, view, agent):
                yield throng.Call("x")

        before = threading.active_count()
        with self.assertRaisesRegex(RuntimeError, "enough"):
            throng.run(Asking(), answer, steps=1)
        self.assertEqual(sorted(cancelled), [1, 2, 3, 4, 5])
        self.assertEqual(threading.active_count(), before)

    def test_a_time_limit_cancels_the_task(self):
        slow = set()

        async def answer(call):
            if call.agent == 1 and call.prompt not in slow:
                slow.add(call.prompt)
                await asyncio.sleep(60)
            return yes(call)

        result = throng.run(Line(), answer, steps=6, call_timeout=0.2)
        self.assertEqual(result.hash, throng.run(Line(), yes, steps=6).hash)
        self.assertGreater(len(slow), 0)


class AnswersTest(unittest.TestCase):
    def test_completions_carry_their_tokens(self):
        def answer(call):
            return throng.Completion(yes(call), prompt_tokens=100, cached_prompt_tokens=60, output_tokens=7)

        result = throng.run(Line(), answer, steps=5)
        self.assertEqual((result.prompt_tokens, result.cached_prompt_tokens, result.output_tokens),
                         (100 * result.calls, 60 * result.calls, 7 * result.calls))
        self.assertEqual(result.hash, throng.run(Line(), yes, steps=5).hash)

    def test_answers_are_fitted_to_the_choices(self):
        self.assertEqual(throng.run(Line(), lambda call: " LEFT. ", steps=4).hash,
                         throng.run(Line(), lambda call: "left", steps=4).hash)

    def test_schemas_are_checked(self):
        class Asking(Line):
            def proceed(self, view, agent):
                answer = yield throng.Call("How many?", json_schema={"type": "integer"})
                return throng.Intent(status=answer)

        self.assertEqual(throng.run(Asking(), lambda call: " 3 ", steps=1).agents[0].status, "3")
        with self.assertRaisesRegex(throng.Error, "the answer .three. is not allowed"):
            throng.run(Asking(), lambda call: "three", steps=1, fallback="never")

    def test_a_wrong_answer_is_told_when_asked_again(self):
        prompts = []

        def answer(call):
            prompts.append(call.prompt)
            return "left" if "You answered: neither\nThat answer is not allowed" in call.prompt else "neither"

        result = throng.run(Line(), answer, steps=4)
        self.assertEqual(result.hash, throng.run(Line(), lambda call: "left", steps=4).hash)
        self.assertEqual(len(prompts), 2 * result.calls)
        self.assertEqual(set(result.frame("calls")["attempts"]), {2})

    def test_what_is_no_text_is_refused(self):
        async def nothing(call):
            pass

        with self.assertRaisesRegex(throng.Error, "what the backend function returned is 7, allowed is a str"):
            throng.run(Line(), lambda call: 7, steps=5)
        with self.assertRaisesRegex(TypeError, "returned None"):
            throng.run(Line(), nothing, steps=5)


class FailuresTest(unittest.TestCase):
    def flaky(self, error, times):
        """Fails the first so many attempts of each call."""
        attempts = {}

        def answer(call):
            key = (call.agent, call.prompt)
            attempts[key] = attempts.get(key, 0) + 1
            if attempts[key] <= times:
                raise error
            return "left"

        return answer

    def test_a_connection_that_fails_is_tried_again(self):
        class Once(Line):
            def proceed(self, view, agent):
                answer = yield throng.Call(f"step {view.step}", choices=["left"])
                return throng.Intent(status=answer)

        expected = throng.run(Once(), lambda call: "left", steps=1)
        for error in (ConnectionError("refused"), TimeoutError("slow"), OSError("no route")):
            result = throng.run(Once(), self.flaky(error, 1), steps=1)
            self.assertEqual((result.hash, set(result.frame("calls")["attempts"])), (expected.hash, {2}))
        with self.assertRaisesRegex(throng.Error, "ConnectionError: refused") as raised:
            throng.run(Once(), self.flaky(ConnectionError("refused"), 2), steps=1, call_attempts=2)
        self.assertEqual(raised.exception.code, "unavailable")

    def test_agents_fall_back_with_a_warning(self):
        class Once(Line):
            def proceed(self, view, agent):
                yield throng.Call("x", choices=["left"])

        def answer(call):
            raise ConnectionError("refused")

        with self.assertWarnsRegex(RuntimeWarning, "ConnectionError: refused.*goes on without an answer") as warned:
            result = throng.run(Once(), answer, steps=2, fallback="any", call_attempts=1)
        self.assertEqual(len(warned.warnings), 1)
        self.assertEqual(result.failed_calls, 12)
        self.assertEqual(set(result.frame("calls")["finish"]), {"failed"})
        self.assertIn("ConnectionError: refused", result.frame("calls")["text"][0])
        with self.assertWarnsRegex(RuntimeWarning, "the answer .neither. is not allowed"):
            result = throng.run(Once(), lambda call: "neither" if call.agent else "left", steps=1)
        self.assertEqual(result.failed_calls, 5)

    def test_a_long_pause_is_told(self):
        class Busy(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.send_response(503)
                self.send_header("Retry-After", "60")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments):
                pass

        class One(Line):
            def proceed(self, view, agent):
                yield throng.Call("x")

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Busy) as server, warnings.catch_warnings():
            threading.Thread(target=server.serve_forever, daemon=True).start()
            warnings.simplefilter("error")  # the warning ends the run, which would wait otherwise
            with self.assertRaisesRegex(RuntimeWarning, "asked again in 6"):
                throng.run(One(1), f"http://127.0.0.1:{server.server_port}?model=m", steps=1)
            server.shutdown()


class LimitsTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = os.path.join(self.folder.name, "a.journal")

    def test_a_budget_stops_the_run_and_a_higher_one_goes_on(self):
        whole = throng.run(Line(), "fake", steps=20)
        with self.assertRaisesRegex(throng.Stopped, "token") as raised:
            throng.run(Line(), "fake", steps=20, journal=self.path, max_tokens_total=200)
        self.assertIsInstance(raised.exception, throng.Error)
        self.assertEqual(raised.exception.code, "exhausted")
        result = throng.run(Line(), "fake", steps=20, journal=self.path, resume=True, max_tokens_total=10**9)
        self.assertEqual(result.hash, whole.hash)
        self.assertGreater(result.replayed_calls, 0)
        self.assertEqual(result.tokens_used, whole.tokens_used)

    def test_costs(self):
        result = throng.run(Line(), "fake", steps=5, price=(1, 2), max_cost=100)
        self.assertAlmostEqual(result.cost, (result.prompt_tokens + 2 * result.output_tokens) / 1e6)
        with self.assertRaises(throng.Stopped):
            throng.run(Line(), "fake", steps=5, price=(1000, 2000), max_cost=0.01)
        with self.assertRaisesRegex(throng.Error, "max-cost|max_cost"):
            throng.run(Line(), "fake", steps=5, max_cost=1)
        self.assertIsNone(throng.run(Line(), "fake", steps=5).cost)

    def test_an_interactive_agent(self):
        result = throng.run(Line(), "latency", steps=8, interactive="a2", target_ms=500)
        mine = sum(agent == 2 for agent in result.frame("calls")["agent"])
        self.assertEqual(len(result.interactive_s), mine)
        self.assertEqual(result.hash, throng.run(Line(), "latency", steps=8).hash)
        with self.assertRaisesRegex(throng.Error, "nobody of this name"):
            throng.run(Line(), "fake", steps=1, interactive="nobody")

    def test_backends_by_function(self):
        class Asking(Line):
            def proceed(self, view, agent):
                here = yield throng.Call("x", choices=["left", "right"], function="walk")
                there = yield throng.Call("x", max_tokens=4, function="talk")
                return throng.Intent(status=f"{here} {there}")

        result = throng.run(Asking(), "fake", steps=2, model_for={"walk": lambda call: "right"})
        self.assertTrue(all(agent.status.startswith("right ") for agent in result.agents))
        model = throng.Model(threads=1)
        both = throng.run(Asking(), model, steps=1, model_for={"talk": model, "walk": "fake"})
        self.assertEqual(both.calls, 12)

    def test_real_time(self):
        began = time.monotonic()
        throng.run(Line(1), "fake:latency=0.1", steps=5, real_time=True)
        took = time.monotonic() - began
        began = time.monotonic()
        throng.run(Line(1), "fake:latency=0.1", steps=5)
        self.assertGreater(took, 0.09)
        self.assertLess(time.monotonic() - began, took)

    def test_settings_are_checked_by_name(self):
        for settings, pattern in (({"steps": "ten"}, "steps is 'ten', allowed is a whole number"),
                                  ({"call_timeout": "soon"}, "call_timeout is 'soon'"),
                                  ({"call_attempts": 0}, "call_attempts=0"), ({"mode": 3}, "mode is 3"),
                                  ({"fallback": "sometimes"}, "fallback .sometimes."),
                                  ({"seed": -1}, "seed is -1"), ({"model_for": {1: "fake"}}, "model_for"),
                                  ({"events": [7]}, "events is")):
            with self.assertRaisesRegex(throng.Error, pattern):
                throng.run(Line(), "fake", **{"steps": 1, **settings})


class JournalsTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.first, self.second = (os.path.join(self.folder.name, name) for name in ("a.journal", "b.journal"))
        self.original = throng.run(Line(), "fake", steps=12, journal=self.first)

    def resume(self, llm="fake", **more):
        return throng.run(Line(), llm, steps=12, journal=self.second, resume=True, **more)

    def test_an_unchanged_fork_ends_alike(self):
        throng.fork(self.first, 5, self.second)
        result = self.resume()
        self.assertEqual(result.hash, self.original.hash)
        self.assertGreater(result.replayed_calls, 0)
        self.assertLess(result.replayed_calls, result.calls)

    def test_another_seed_changes_the_future_alone(self):
        throng.fork(self.first, 5, self.second, seed=7)
        for mode in ("ooo", "lockstep"):
            result = self.resume(mode=mode)
            self.assertEqual(result.step_hashes[:5], self.original.step_hashes[:5])
            self.assertNotEqual(result.step_hashes[5:], self.original.step_hashes[5:])
        self.assertEqual(self.resume(seed=1).hash, result.hash)
        with self.assertRaisesRegex(throng.Error, "seed"):
            self.resume(seed=2)

    def test_another_backend_goes_on(self):
        throng.fork(self.first, 5, self.second, llm=yes)
        result = self.resume(yes)
        self.assertEqual(result.step_hashes[:5], self.original.step_hashes[:5])
        self.assertNotEqual(result.hash, self.original.hash)
        with self.assertRaisesRegex(throng.Error, "cannot be forked at step 99"):
            throng.fork(self.first, 99, self.second + ".journal")

    def test_agents_of_any_moment(self):
        path = os.path.join(self.folder.name, "c.journal")
        throng.run(Line(), "fake", steps=4, journal=path)
        self.assertEqual(throng.agents_at(Line(), self.first, 4), throng.agents_at(Line(), path))
        self.assertEqual(throng.agents_at(Line(), self.first), self.original.agents)
        self.assertEqual(throng.agents_at(Line(), self.first, 0)[2].mind, ())
        with self.assertRaisesRegex(throng.Error, "no step 13, allowed: 0 to 12"):
            throng.agents_at(Line(), self.first, 13)
        with self.assertRaisesRegex(throng.Error, "another world"):
            throng.agents_at(Line(3), self.first)

    def test_interviews(self):
        agent = throng.agents_at(Line(), self.first, 6)[1]
        prompts = []

        def answer(call):
            prompts.append(call)
            return "nobody"

        self.assertEqual(throng.interview(agent, "Whom did you see?", answer), "nobody")
        self.assertIn(repr(list(agent.mind)), prompts[0].prompt)
        self.assertIn("You are a1.", prompts[0].prompt)
        chosen = throng.interview(agent, "Left?", "fake",
                                  prompt=lambda agent, question: throng.Call(question, choices=["yes", "no"]))
        self.assertIn(chosen, ("yes", "no"))

    def test_injections(self):
        class Weather(Line):
            def intervene(self, change, what):
                change.write((40, 1), f"{what}, step {change.step}")

        path = os.path.join(self.folder.name, "d.journal")
        with self.assertRaises(throng.Stopped):
            throng.run(Weather(), "fake", steps=20, journal=path, max_tokens_total=200)
        throng.inject(path, "rain", at=15)
        for _ in range(2):
            result = throng.run(Weather(), "fake", steps=20, journal=path, resume=True)
            self.assertEqual((result.interventions, result.cells[40, 1]), (1, "rain, step 15"))
        with self.assertRaisesRegex(throng.Error, "the run is done"):
            throng.inject(path, "snow")
        with self.assertRaisesRegex(throng.Error, "at=-1"):
            throng.inject(path, "snow", at=-1)

    def test_injections_from_the_run_itself(self):
        """A world that asks nobody keeps its journal locked, and its own code cannot wait for itself."""
        path = os.path.join(self.folder.name, "e.journal")

        class Weather(throng.World):
            horizon = 1

            def agents(self):
                return [throng.Agent(f"a{i}", (9 * i, 0), mind=()) for i in range(5)]

            def proceed(self, view, agent):
                if view.step == 5 and agent.id == 0 and not seconds:
                    begin = time.monotonic()
                    throng.inject(path, "rain")
                    threads.append(threading.Thread(target=lambda: throng.inject(path, "snow", at=500)))
                    threads[0].start()
                    seconds.append(time.monotonic() - begin)
                time.sleep(0.0003)
                return throng.Intent(mind=(*agent.mind[-3:], view.step))

            def intervene(self, change, what):
                happened.append((what, change.step))

        threads, seconds, happened = [], [], []
        result = throng.run(Weather(), "fake", steps=600, journal=path)
        threads[0].join()
        self.assertLess(seconds[0], 2)
        self.assertEqual([what for what, _ in happened], ["rain", "snow"])
        self.assertEqual((result.interventions, happened[1][1]), (2, 500))
        again = throng.run(Weather(), "fake", steps=600, journal=path, resume=True)
        self.assertEqual((again.hash, again.interventions), (result.hash, 2))

    def test_an_injection_into_a_run_that_fails_is_kept(self):
        path = os.path.join(self.folder.name, "f.journal")

        class Failing(Line):
            fails = True

            def proceed(self, view, agent):
                if self.fails:
                    throng.inject(path, "rain", at=3)
                    raise RuntimeError("enough")

            def intervene(self, change, what):
                change.write((0, 1), what)

        with self.assertRaisesRegex(RuntimeError, "enough"):
            throng.run(Failing(1), "fake", steps=5, journal=path)
        Failing.fails = False
        self.assertEqual(throng.run(Failing(1), "fake", steps=5, journal=path, resume=True).cells, {(0, 1): "rain"})


if __name__ == "__main__":
    unittest.main()
