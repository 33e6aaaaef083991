"""Tools, people and embeddings: what agents get from them, how often they are used, and what a run that was interrupted knows of them."""

import asyncio
import collections
import contextlib
import http.server
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import unittest

import throng

USES = collections.Counter()  # of the tool `record`, by its arguments
LOCK = threading.Lock()


@throng.tool(effect="pure")
def forecast(day, city="Rome"):
    return {"city": city, "rain": day % 2 == 1}


@throng.tool(effect="at-commit")
def record(agent, step):
    with LOCK:
        USES[agent, step] += 1
    return len(USES)


@throng.tool(effect="idempotent", name="wait")
async def slow(seconds):
    await asyncio.sleep(seconds)
    return f"waited {seconds}"


@throng.tool(effect="pure")
def flaky(step):
    """Fails now and then, by chance that nobody can repeat."""
    if os.urandom(1)[0] < 100:
        raise ValueError(f"no luck in step {step}: {os.urandom(4).hex()}")
    return os.urandom(4).hex()


class Users(throng.World):
    """Agents on a line, near enough to meet sometimes, who do what a function says."""

    width, height, perception_radius = 80, 1, 2
    tools = [forecast, record, slow, flaky, throng.CommandTool("sort", ["sort"], effect="pure"),
             throng.CommandTool("fail", ["sh", "-c", "echo broken >&2; exit 2"], timeout=10),
             throng.CommandTool("stuck", ["sleep", "60"], timeout=0.2),
             throng.CommandTool("hung", ["sleep", "60"], effect="pure", timeout=0.2)]

    def __init__(self, act, num_agents=1, gap=9):
        self.act, self.num_agents, self.gap = act, num_agents, gap

    def agents(self):
        return [throng.Agent(f"a{i}", (self.gap * i, 0), mind=()) for i in range(self.num_agents)]

    def proceed(self, view, agent):
        said = yield from self.act(view, agent)
        return throng.Intent(mind=(*agent.mind, said), pos=(min(79, max(0, agent.pos.x + view.random.choice((-1, 0, 1)))), 0))


def run(act, steps=1, agents=1, **options):
    world = Users(act, agents)
    return throng.run(world, options.pop("llm", "fake:latency=1"), steps=steps, **options)


def said(act, **options):
    """What the only agent has in mind after one step."""
    return throng.thaw(run(act, **options).agents[0].mind)[0]


@contextlib.contextmanager
def served(answer):
    """A server in a thread: ``answer`` gets path, headers and body, and returns status and body. Yields its address."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

        def do_POST(self):
            status, body = answer(self.path, self.headers, self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class ToolsTest(unittest.TestCase):
    def test_results_are_plain_data(self):
        def act(view, agent):
            one = yield throng.Tool("forecast", {"day": 3})
            answer, other, text = yield [throng.Call("Where to?", choices=["home"]), throng.Tool("forecast", {"day": 4, "city": "Ulm"}),
                                         throng.Tool("sort", {"b": [1, None]})]
            return [one, str(answer), other, text, (yield throng.Tool("wait", {"seconds": 0.01}))]
        self.assertEqual(said(act), [{"city": "Rome", "rain": True}, "home", {"city": "Ulm", "rain": False}, {"b": [1, None]},
                                     "waited 0.01"])

    def test_failures_are_errors_that_agents_may_catch(self):
        def act(view, agent):
            errors = []
            for name, arguments in (("fail", {}), ("stuck", {}), ("hung", {}), ("forecast", {"year": 3}), ("wait", {"seconds": "x"})):
                try:
                    yield throng.Tool(name, arguments)
                except throng.ToolError as error:
                    errors.append((error.function, error.code, str(error), error.agent))
            return errors
        errors = said(act)
        self.assertEqual(errors[:3], [["fail", "failed", "exit code 2: broken", 0], ["stuck", "unknown", "no answer within 0.2 s", 0],
                                      ["hung", "failed", "no answer within 0.2 s", 0]])
        self.assertIn("TypeError: forecast() got an unexpected keyword argument 'year'", errors[3][2])
        self.assertTrue(errors[4][2].startswith("TypeError"), errors[4])

    def test_what_has_worked_and_says_nothing_that_can_be_kept_is_unknown(self):
        nested = []
        for _ in range(300):
            nested = [nested]
        results = {"set": {1}, "deep": nested, "half": "\ud83d"}
        tools = [throng.tool(effect=effect, name=effect)(lambda of: results[of]) for effect in ("at-commit", "idempotent")]
        tools.append(throng.CommandTool("deep", [sys.executable, "-c", "print('[' * 5000 + ']' * 5000)"]))

        def act(view, agent):
            codes = []
            for tool, of in (*((tool, {"of": of}) for tool in tools[:2] for of in results), (tools[2], {})):
                try:
                    yield throng.Tool(tool.name, of)
                except throng.ToolError as error:
                    codes.append(error.code)
            return codes
        world = Users(act)
        world.tools = tools
        self.assertEqual(throng.run(world, "fake", steps=1).agents[0].mind[0], ("unknown",) * 3 + ("failed",) * 3 + ("unknown",))

    def test_an_error_that_nobody_catches_leaves_the_agent_without_a_deed(self):
        def act(view, agent):
            yield [throng.Tool("forecast", {"day": 1}), throng.Tool("fail")]
        result = run(act)
        self.assertEqual(result.agents[0].mind, ())
        self.assertEqual([(event.kind, event.text) for event in result.events], [("fallback", "fail: exit code 2: broken")])
        self.assertEqual((result.effects, result.failed_effects, result.unknown_effects, result.calls), (2, 1, 0, 0))

    def test_agents_go_on_while_others_wait(self):
        def act(view, agent):
            return (yield throng.Tool("wait", {"seconds": 0.3}))
        begin = time.monotonic()
        run(act, agents=8)
        self.assertLess(time.monotonic() - begin, 1.5)

    def test_mistakes_are_told(self):
        for tools, act, message in (
                (None, lambda view, agent: (yield throng.Tool("fax")), "step 0: tool \"fax\": there is none of this name, allowed: "),
                (None, lambda view, agent: (yield throng.Tool("sort", {"x": {1, 2}})), "Tool.arguments of sort: Object of type set is not JSON"),
                (None, lambda view, agent: (yield throng.Tool("sort", [1])), r"Tool.arguments is \[1\], allowed: a dict|Tool.arguments"),
                (None, lambda view, agent: (yield "sort"), "allowed.* a throng.Call, Tool, Ask or Embed, or a list of them"),
                ([print], None, "World.tools"), ([forecast, forecast], None, "tool \"forecast\": there are two of this name")):
            world = Users(act)
            if tools is not None:
                world.tools = tools
            with self.assertRaisesRegex(throng.Error, message):
                throng.run(world, "fake", steps=1)
        with self.assertRaisesRegex(throng.Error, "effect='rare': allowed: pure, idempotent, at-commit"):
            throng.tool(effect="rare")(print)
        with self.assertRaisesRegex(throng.Error, "timeout=0: allowed: seconds, more than 0"):
            throng.tool(timeout=0)(print)
        with self.assertRaisesRegex(throng.Error, "argv='sort': allowed: a list"):
            throng.CommandTool("sort", "sort")

    def test_one_that_is_made_and_not_yielded_was_forgotten(self):
        def act(view, agent):
            throng.Tool("forecast", {"day": 1})
            return (yield throng.Tool("forecast", {"day": 1}))
        with self.assertRaisesRegex(throng.Error, "a throng.Tool was made but never yielded, so nobody asked 'forecast'"):
            run(act)

    def test_in_resolve_too(self):
        class Resolving(Users):
            def proceed(self, view, agent):
                return None

            def resolve(self, step, members, commit):
                weather = yield throng.Tool("forecast", {"day": step}, agent=members[0].id)
                commit.set_mind(members[0], (weather["rain"],))
        self.assertEqual(throng.run(Resolving(None), "fake", steps=2).agents[0].mind, (True,))

    def test_a_budget_stops_the_run_and_is_counted_over_sessions(self):
        def act(view, agent):
            return (yield throng.Tool("record", {"agent": agent.id, "step": view.step}))
        USES.clear()
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.journal")
            for limit, steps in ((4, 4), (7, 7)):
                with self.assertRaisesRegex(throng.Stopped, f"budget: {limit} of {limit} uses of tools are used up"):
                    run(act, steps=10, journal=path, resume=True, max_tool_calls=limit)
                self.assertEqual(len(USES), steps)
            result = run(act, steps=10, journal=path, resume=True)
            self.assertEqual((result.effects, result.unknown_effects), (10, 0))
        self.assertEqual(set(USES.values()), {1})


def meet(view, agent):
    """Uses a flaky tool, asks a model if it met somebody, and records what it does."""
    try:
        luck = yield throng.Tool("flaky", {"step": view.step})
    except throng.ToolError as error:
        luck = str(error)
    answer = ""
    if view.neighbours():
        answer = yield throng.Call(f"{agent.name} had {luck}, and met {len(view.neighbours())}. Go on?", choices=["yes", "no"])
    number = 0
    if view.random.random() < 0.5:
        yield throng.Tool("record", {"agent": agent.id, "step": view.step})
        number = 1
    return (luck, str(answer), number)


class ExactnessTest(unittest.TestCase):
    def test_verify_uses_tools_once(self):
        USES.clear()
        report = throng.verify(lambda: Users(meet, 5, 3), steps=12, shuffled=2, processes=0)
        self.assertTrue(report, str(report))
        self.assertGreater(len(USES), 10)
        self.assertEqual(set(USES.values()), {1})
        self.assertGreater(report.runs["speculative"].effects, 60)

    def test_another_process_gets_what_the_first_was_told(self):
        report = throng.verify(make_users, steps=8, shuffled=1, processes=1)
        self.assertTrue(report, str(report))
        self.assertEqual(report.left_out, "")

    def test_a_journal_repeats_them_in_every_mode(self):
        for mode in ("ooo", "lockstep", "speculative"):
            with self.subTest(mode=mode), tempfile.TemporaryDirectory() as folder:
                USES.clear()
                path = os.path.join(folder, "a.journal")
                first = throng.run(Users(meet, 5, 3), "fake:latency=1,spread=0.9", steps=10, mode=mode, journal=path)
                uses = dict(USES)
                again = throng.run(Users(meet, 5, 3), "fake:latency=1,spread=0.9", steps=10, journal=path, resume=True)
                replay = throng.run(Users(meet, 5, 3), f"replay:{path}", steps=10)
                self.assertEqual((again.hash, replay.hash), (first.hash, first.hash))
                self.assertEqual(dict(USES), uses)
                minds = [agent.mind for agent in throng.agents_at(Users(meet, 5, 3), path, 10)]
                self.assertEqual(minds, [agent.mind for agent in first.agents])

    def test_a_fork_does_again_only_what_comes_after_it(self):
        with tempfile.TemporaryDirectory() as folder:
            USES.clear()
            path = os.path.join(folder, "a.journal")
            throng.run(make_users(), "fake:latency=1", steps=10, journal=path)
            throng.fork(path, 6, path + ".fork")
            throng.run(make_users(), "fake:latency=1", steps=10, journal=path + ".fork", resume=True)
            self.assertGreater(len(USES), 10)
            self.assertEqual([use for use, count in USES.items() if count != (2 if use[1] >= 6 else 1)], [])


class PeopleTest(unittest.TestCase):
    """People answer from a file here; tests/play_test.py has one at a terminal."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.answers = os.path.join(self.folder, "answers")
        with open(self.answers, "w", encoding="utf-8") as file:
            file.write('{"agent": "a0", "step": 2, "answer": "work"}\n{"answer": "home", "seconds": 0.05}\n')

    @staticmethod
    def ask(view, agent):
        return (yield throng.Ask("Where to?", choices=["home", "work"]))

    def test_answers_come_from_a_file_and_are_kept(self):
        path = os.path.join(self.folder, "a.journal")
        result = run(self.ask, steps=4, agents=2, answers=self.answers, journal=path)
        self.assertEqual([agent.mind for agent in result.agents], [("home", "home", "work", "home"), ("home",) * 4])
        self.assertEqual((result.calls, result.effects), (0, 8))
        self.assertEqual(run(self.ask, steps=4, agents=2, journal=path, resume=True).hash, result.hash)  # nobody is asked

    def test_who_is_silent_has_answered_the_default(self):
        def act(view, agent):
            return (yield throng.Ask("Where to?", timeout=0.05, default="nowhere"))
        self.assertEqual(said(act), "nowhere")

    def test_mistakes_are_told(self):
        with self.assertRaisesRegex(throng.Error, "the question \"Where to\\?\" waits for ever"):
            run(self.ask)
        with self.assertRaisesRegex(throng.Error, "default='pub': allowed: one of the choices"):
            throng.Ask("Where to?", choices=["home"], timeout=1, default="pub")
        with self.assertRaisesRegex(throng.Error, "timeout=0: allowed: seconds"):
            throng.Ask("Where to?", timeout=0)

    def test_verify_asks_them_once(self):
        def act(view, agent):
            where = yield throng.Ask(f"{len(view.neighbours())} near. Where to?", choices=["home", "work"])
            return (where, (yield from meet(view, agent)))
        USES.clear()
        report = throng.verify(lambda: Users(act, 4, 3), steps=8, shuffled=2, processes=0, answers=self.answers)
        self.assertTrue(report, str(report))
        self.assertEqual(set(USES.values()), {1})


class EmbeddingsTest(unittest.TestCase):
    @staticmethod
    def nearest(view, agent):
        query, *known = yield throng.Embed(["the concert", "a concert in the park", "bread"])
        products = [sum(a * b for a, b in zip(query, vector)) for vector in known]
        return (len(query), products.index(max(products)))

    def test_a_function_embeds_and_the_journal_keeps_it(self):
        asked = []

        def letters(texts):
            asked.append(list(texts))
            return [[text.count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts]
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.journal")
            first = run(self.nearest, steps=2, embed=letters, journal=path)
            self.assertEqual(first.agents[0].mind, ((26, 0), (26, 0)))
            self.assertEqual(asked, [["the concert", "a concert in the park", "bread"]] * 2)
            again = run(self.nearest, steps=2, journal=path, resume=True)
            self.assertEqual((again.hash, len(asked)), (first.hash, 2))

    def test_a_run_that_goes_on_takes_no_embeddings_of_another_length(self):
        def of_length(length):
            return lambda texts: [[1.0] * length for _ in texts]

        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.journal")
            run(self.nearest, steps=1, embed=of_length(2), journal=path)
            with self.assertRaisesRegex(throng.Error, "step 1, call 0 .embed.: an embedding has 3 numbers, but those in journal "
                                        ".*a.journal have 2, and only those of one model can be compared"):
                run(self.nearest, steps=2, embed=of_length(3), journal=path, resume=True)
            result = run(self.nearest, steps=2, embed=of_length(2), journal=path, resume=True)
            self.assertEqual(len(result.agents[0].mind), 2)

    def test_the_local_model_embeds_the_same_in_every_order(self):
        model = throng.Model(threads=1)
        mind = run(self.nearest, embed=model).agents[0].mind
        self.assertEqual(mind[0][0], len(model.embed(["a"])[0]))
        report = throng.verify(lambda: Users(self.nearest, 3, 3), steps=3, shuffled=1, processes=0, embed=model)
        self.assertTrue(report, str(report))

    def test_a_server_embeds(self):
        asked = []

        def answer(path, headers, body):
            asked.append((path, json.loads(body)))
            if len(asked) == 1:
                return 503, b"busy"
            data = [{"index": 1, "embedding": [0.0, 1.0]}, {"index": 0, "embedding": [0.5, 1.0]},
                    {"index": 2, "embedding": [2.0, 0.25]}]
            return 200, json.dumps({"data": data}).encode()
        with served(answer) as address:
            self.assertEqual(said(self.nearest, embed=f"{address}/v1?model=m"), [2, 1])
        self.assertEqual([path for path, _ in asked], ["/v1/embeddings"] * 2)
        self.assertEqual(asked[1][1]["model"], "m")

    def test_mistakes_are_told(self):
        with self.assertRaisesRegex(throng.Error, "nobody here makes embeddings; allowed: throng.run"):
            run(self.nearest)
        with self.assertRaisesRegex(throng.Error, "embed='localhost': allowed: a throng.Model, a function, or the address"):
            run(self.nearest, embed="localhost")
        with self.assertRaisesRegex(throng.Error, "embed=3: allowed"):
            run(self.nearest, embed=3)
        for wrong, message in (([[1.0]], "1 embeddings of 3 texts; allowed: one of each"),
                               ([[1.0, 2.0], [1.0], [1.0]], "an embedding has 1 numbers, but others have 2, and only"),
                               ([[1.0], [float("nan")], [1.0]], "an embedding has something that is no number")):
            with self.assertRaisesRegex(throng.Error, "call 0 .embed.: " + message):
                run(self.nearest, embed=lambda texts: wrong)
        with served(lambda *_: (200, b'{"data": null}')) as address:
            with self.assertRaisesRegex(throng.Error, "its reply is not a list `data` of embeddings, each with an `index`"):
                run(self.nearest, embed=address)

    def test_what_is_not_embedded_is_asked_for_again_by_a_run_that_goes_on(self):
        times = []

        def embed(texts):
            times.append(len(times))
            if len(times) == 2:
                raise ConnectionError("out of memory")
            return [[1.0, float(len(text))] for text in texts]
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.journal")
            with self.assertRaisesRegex(throng.Error, "step 1, call 0 .embed.: ConnectionError: out of memory") as raised:
                run(self.nearest, steps=3, embed=embed, journal=path)
            self.assertEqual(raised.exception.code, "unavailable")
            result = run(self.nearest, steps=3, embed=embed, journal=path, resume=True)
            self.assertEqual((len(times), len(result.agents[0].mind), result.events), (4, 3, []))
        times.clear()
        result = run(self.nearest, steps=3, embed=embed, fallback="any")
        self.assertEqual([(event.step, event.kind) for event in result.events], [(1, "fallback")])


class EndTest(unittest.TestCase):
    def test_a_program_may_end_while_a_tool_works(self):
        """Python ends the threads that come for its lock then, whatever they are in the middle of."""
        script = textwrap.dedent('''
            import time, throng

            @throng.tool(effect="pure", timeout=0.05)
            def sleepy(seconds):
                time.sleep(seconds)

            class User(throng.World):
                tools = [sleepy]

                def agents(self):
                    return [throng.Agent(str(i), (i, 0)) for i in range(40)]

                def proceed(self, view, agent):
                    try:
                        yield throng.Tool("sleepy", {"seconds": 0.06 + 0.005 * agent.id})
                    except throng.ToolError as error:
                        return throng.Intent(mind=error.code)

            class Slow:
                def __del__(self, sleep=time.sleep):
                    sleep(0.3)

            slow = Slow()
            print(throng.run(User(), "fake", steps=1).agents[0].mind)
        ''')
        programs = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                    for _ in range(6)]  # at once: when they compete, threads are ended in more places
        for program in programs:
            said, errors = program.communicate(timeout=120)
            self.assertEqual((program.returncode, said), (0, "failed\n"), errors)


def make_users():
    return Users(meet, 5, 3)


if __name__ == "__main__":
    unittest.main(verbosity=2)
