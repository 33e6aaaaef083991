"""Networks that change in Python worlds: posts, likes, messages, whom people follow, feeds and their rankings."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

import redis_rig
import throng
from throng import Agent, Intent, PostId

SLOW = "fake:latency=1,spread=0.9"
MODES = ("single", "lockstep", "ooo", "speculative")


class People(throng.World):
    """Twelve people, two free ids: each does something by chance, and remembers a digest of all that it reads."""

    width, height, perception_radius, max_velocity = 20, 1, 0, 0
    post_latency, post_kept, horizon = 2, 5, 4

    def __init__(self, die_in=-1):
        self.die_in = die_in  # the process that begins this step kills itself

    def parameters(self):
        return None

    def agents(self):
        people = [Agent(f"p{i}", (i, 0), mind={"read": 0}, follows={(i + 1) % 12, (5 * i + 2) % 12} - {i})
                  for i in range(12)]
        return people + [Agent(f"p{i}", (0, 0), present=False) for i in (12, 13)]

    def proceed(self, view, agent):
        if view.step == self.die_in:
            os.kill(os.getpid(), signal.SIGKILL)
        ranking = (None, view.likes, lambda post: view.likes(post) / 2 - len(post.text) % 3)[agent.id % 3]
        feed = view.feed(4, ranking)
        read = [(post, view.likes(post)) for post in feed]
        read += [(post, view.likes(post.id)) for post in view.posts(agent)]
        read += [view.posts(whom) for whom in sorted(agent.follows)[:1]]
        read += [view.likes(PostId(3, view.step // 2, 0)), view.messages(), view.announced()[-2:]]
        answer = yield throng.Call(f"{agent.name}: {read}", choices=["a", "b", "c", "d"])
        digest = hash_of(f"{agent.mind['read']} {read} {answer}")
        dice = view.random
        whom = dice.choice([other for other in range(14) if other != agent.id])
        more = {"posts": [f"{agent.name} {answer} {n}" for n in range(dice.randrange(3))],
                "likes": [post for post in feed if dice.random() < 0.6],
                "messages": [(whom, f"hello {answer}")] if dice.random() < 0.3 else [],
                "follow": [whom] if dice.random() < 0.3 else [],
                "unfollow": list(agent.follows)[:1] if dice.random() < 0.2 else [],
                "announce": [f"news of {agent.name}"] if dice.random() < 0.05 else []}
        return throng.Intent(mind={**agent.mind, "read": digest}, **more)

    def resolve(self, step, members, commit):
        super().resolve(step, members, commit)
        for agent in members:
            if step == 6 and agent.id == 4:
                commit.birth(12, agent.pos, mind={"read": 0}, follows=[4, 5])
            if step == 9 and agent.id == 5:
                commit.remove(agent)

    def intervene(self, change, what):
        if what == "arrive":
            change.add(13, (13, 0), mind={"read": 1}, follows=(1, 2))
        elif what == "follow":
            change.follow(1, 13)
            for whom in change.agent(2).follows[:1]:
                change.unfollow(2, whom)
            change.set_mind(3, {"read": 5})


EVENTS = [(7, "arrive"), (11, "follow")]


def hash_of(text):
    value = 0
    for letter in text.encode():
        value = (value * 31 + letter) % (1 << 61)
    return value


class Scripted(throng.World):
    """Three people, of whom the first two follow the next: `does(agent, step, view)` returns an Intent, or None."""

    width, height, perception_radius, max_velocity = 3, 1, 0, 0
    post_latency, post_kept, horizon = 2, 3, 4

    def __init__(self, does, **attributes):
        self.does = does
        vars(self).update(attributes)

    def parameters(self):
        return None

    def agents(self):
        return [Agent("Ann", (0, 0), follows=(1, 2)), Agent("Ben", (1, 0), follows=[2]), Agent("Cleo", (2, 0))]

    def proceed(self, view, agent):
        return self.does(agent, view.step, view)


def run_scripted(does, steps=14, **attributes):
    return throng.run(Scripted(does, **attributes), "fake", steps=steps)


class Ranked(Scripted):
    """Ann ranks what Cleo has posted, in a way that is none."""

    RANKINGS = {"text": lambda post: "high", "nothing": lambda post: None, "nan": lambda post: float("nan"),
                "huge": lambda post: 10 ** 400, "name": "likes", "raises": lambda post: 1 / 0}

    def __init__(self, kind):
        self.kind = kind

    def proceed(self, view, agent):
        if agent.name == "Ann":
            view.feed(3, self.RANKINGS[self.kind])
        return Intent(posts=["a"] if agent.name == "Cleo" else [])


class Counted(Scripted):
    """Cleo posts, Ben likes that in each step from 3 on, and Ann ranks it by a `score`, which gets the view and the post."""

    def __init__(self, score):
        super().__init__(None, post_kept=30, horizon=3)
        self.score = score

    def proceed(self, view, agent):
        yield throng.Call(f"{agent.name} {view.step}", max_tokens=30 if agent.name == "Ben" else 4)
        if agent.name == "Ann":
            return Intent(status="".join(post.text for post in view.feed(1, lambda post: self.score(view, post))))
        if agent.name == "Ben":
            return Intent(likes=[PostId(2, 0, 0)] if view.step >= 3 else [])
        return Intent(posts=["a", "b"] if view.step == 0 else [])


class ModesTest(unittest.TestCase):
    def test_every_order_leaves_the_same_hash(self):
        report = throng.verify(People, SLOW, steps=16, shuffled=2, events=EVENTS)
        self.assertTrue(report, report.difference)
        result = throng.run(People(), SLOW, steps=16, events=EVENTS)
        kinds = {event.kind for event in result.events}
        self.assertEqual(kinds, {"post", "like", "message", "follow", "unfollow", "announce"})
        self.assertGreater(result.max_spread, 1)

    def test_workers_leave_the_same_hash(self):
        alone = throng.run(People(), SLOW, steps=14, events=EVENTS)
        for mode in ("lockstep", "speculative"):
            shared = throng.run(People(), SLOW, steps=14, events=EVENTS, mode=mode, workers=2)
            self.assertEqual((shared.hash, shared.agents, shared.events), (alone.hash, alone.agents, alone.events))

    def test_what_a_ranking_raises_on_a_guess_costs_only_the_guess(self):
        raised = []

        def score(view, post):
            likes = view.likes(post)
            if post.text == "a" and likes < view.step - 5:  # guesses do not know the likes of the last steps
                raised.append(view.step)
                raise ValueError("too few")
            return likes

        hashes = {throng.run(Counted(score), SLOW, steps=20, mode=mode).hash for mode in ("lockstep", "speculative")}
        self.assertEqual(len(hashes), 1)
        self.assertGreater(len(raised), 0)

    def test_verify_finds_a_ranking_that_is_not_pure(self):
        calls = []

        def score(view, post):
            calls.append(post)
            return len(calls) // 7 % 2 if post.text == "a" else 0.5

        self.assertFalse(throng.verify(lambda: Counted(score), SLOW, steps=12, shuffled=1))

    def test_an_env_shows_feeds(self):
        class Seen(Ranked):
            def proceed(self, view, agent):
                return Intent(posts=[f"{agent.name} {view.step}"])

            def observe(self, view, agent):
                return [post.text for post in view.feed(2)]

        env = throng.Env(Seen(""), "fake")
        env.reset()
        for _ in range(3):
            observations = env.step({})[0]
        self.assertEqual(observations, {"Ann": ["Ben 1", "Cleo 1"], "Ben": ["Cleo 1", "Cleo 0"], "Cleo": []})

    @unittest.skipUnless(redis_rig.has_redis(), "redis-server is not installed")
    def test_so_do_workers_by_way_of_redis(self):
        with tempfile.TemporaryDirectory() as folder:
            redis = redis_rig.Redis(folder)
            self.addCleanup(redis.kill)
            address = redis.address("posts", lost_after=30)
            worker = redis_rig.start_worker(address)
            self.addCleanup(worker.wait)
            self.addCleanup(worker.kill)
            shared = throng.run(People(), SLOW, steps=8, workers=address)
            self.assertEqual(shared.hash, throng.run(People(), SLOW, steps=8).hash)

    def test_a_killed_run_goes_on_from_its_start_and_from_a_snapshot(self):
        whole = throng.run(People(), SLOW, steps=16, events=EVENTS)
        replayed = {}
        for mode, more in (("ooo", {}), ("speculative", {"from_start": True}), ("lockstep", {"workers": 1})):
            with self.subTest(mode), tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "people.journal")
                killed = subprocess.run([sys.executable, os.path.abspath(__file__), path], check=False)
                self.assertEqual(killed.returncode, -signal.SIGKILL)
                resumed = throng.run(People(), SLOW, steps=16, mode=mode, journal=path, resume=True, **more)
                self.assertEqual((resumed.hash, resumed.agents), (whole.hash, whole.agents))
                self.assertEqual(resumed.events, whole.events)
                replayed[mode] = resumed.replayed_calls
        self.assertLess(replayed["ooo"], replayed["speculative"] / 2)

    def test_a_fork_begins_with_what_could_be_read(self):
        with tempfile.TemporaryDirectory() as folder:
            first, fork = os.path.join(folder, "first.journal"), os.path.join(folder, "fork.journal")
            whole = throng.run(People(), SLOW, steps=14, journal=first, snapshot_every=4)
            with contextlib.closing(sqlite3.connect(first)) as database:  # viewers lay people out by whom they read
                drawn = json.loads(database.execute("SELECT value FROM manifest WHERE key = 'map'").fetchone()[0])
            self.assertEqual(drawn["reads"], [sorted({(i + 1) % 12, (5 * i + 2) % 12} - {i}) for i in range(12)] + [[], []])
            throng.fork(first, at=9, out=fork)
            again = throng.run(People(), SLOW, steps=14, journal=fork, resume=True)
            self.assertEqual(again.hash, whole.hash)
            self.assertLess(again.replayed_calls, whole.calls / 2)  # it began with the snapshot of step 8


class EffectsTest(unittest.TestCase):
    def notes(self, does, read, **attributes):
        """What `read(agent, view)` returns that is not empty, by agent and step."""
        noted = {}

        def both(agent, step, view):
            seen = read(agent, view)
            if seen:
                noted[agent.name, step] = seen
            return does(agent, step)

        run_scripted(both, **attributes)
        return noted

    def test_when_posts_are_read(self):
        def does(agent, step):
            if agent.name == "Ben" and step == 1:
                return Intent(posts=["a"])
            if agent.name == "Cleo" and step == 2:
                return Intent(posts=["b", "c"])
            if agent.name == "Ann" and step == 3:
                return Intent(unfollow=[1])
            return None

        noted = self.notes(does, lambda agent, view: " ".join(post.name + post.text for post in view.feed(9)))
        self.assertEqual(noted, {("Ann", 3): "Bena", ("Ann", 4): "Cleoc Cleob", ("Ann", 5): "Cleoc Cleob",
                                 ("Ann", 6): "Cleoc Cleob", ("Ben", 4): "Cleoc Cleob", ("Ben", 5): "Cleoc Cleob",
                                 ("Ben", 6): "Cleoc Cleob"})

    def test_when_likes_count_and_messages_and_announcements_arrive(self):
        def does(agent, step):
            if agent.name == "Cleo" and step == 0:
                return Intent(posts=["old"])
            if agent.name == "Cleo" and step == 1:
                return Intent(posts=["new"], messages=[(0, "hi")], announce=["spring"])
            if agent.name == "Ben" and step == 3:
                return Intent(likes=[PostId(2, 0, 0)], messages=[(agent, "to myself")])
            return None

        def read(agent, view):
            by_likes = "".join(post.text[0] for post in view.feed(2, view.likes))
            return (by_likes, view.likes(PostId(2, 0, 0)), [tuple(message) for message in view.messages()],
                    view.announced())

        noted = self.notes(does, read, steps=9, post_kept=9)
        self.assertEqual(noted["Ann", 4], ("no", 0, [], []))
        self.assertEqual(noted["Ann", 5], ("no", 0, [(2, "Cleo", "hi")], [(5, "spring")]))
        self.assertEqual(noted["Ann", 6], ("no", 0, [], [(5, "spring")]))
        self.assertEqual(noted["Ann", 7], ("on", 1, [], [(5, "spring")]))
        self.assertEqual(noted["Ben", 7], ("on", 1, [(1, "Ben", "to myself")], [(5, "spring")]))

    def test_a_ranking_may_return_any_numbers(self):
        scores = {"a": -1.5, "b": 3, "c": -0.0, "d": 0, "e": float("-inf"), "f": 2.5, "g": True, "h": 10 ** 30, "i": -2}

        def does(agent, step):
            return Intent(posts=list(scores)) if agent.name == "Cleo" and step == 0 else None

        noted = self.notes(does, lambda agent, view: "".join(
            post.text for post in view.feed(8, lambda post: scores[post.text])), steps=3)
        self.assertEqual(noted["Ann", 2], "hbfgdcai")  # equal ones: the later of a step first

    def test_follows_are_kept_with_another_mind(self):
        def does(agent, step, view):
            if agent.name == "Ann":
                return Intent(mind=step, follow=[2, 1]) if step else Intent(mind=step, unfollow=[2])
            return None

        result = run_scripted(does, steps=1)
        self.assertEqual((result.agents[0].follows, result.agents[0].mind), ((1,), 0))
        result = run_scripted(does, steps=3)
        self.assertEqual((result.agents[0].follows, result.agents[2].follows), ((1, 2), ()))
        self.assertEqual([event.text for event in result.events], ["Cleo", "Cleo"])  # what changes nothing is no event
        self.assertNotEqual(run_scripted(lambda *_: None, steps=1).hash,
                            run_scripted(lambda agent, *_: Intent(unfollow=agent.follows[:1]), steps=1).hash)

    def test_a_message_wakes_an_alert_sleeper(self):
        woken = []

        def does(agent, step, view):
            if agent.name == "Ann" and step == 2:
                return Intent(messages=[(1, "wake up"), (2, "wake up")])
            if agent.name != "Ann":
                woken.append((agent.name, step))
                return Intent(sleep_until=10, alert=agent.name == "Ben")
            return None

        run_scripted(does, steps=9)
        self.assertEqual(sorted(woken), [("Ben", 0), ("Ben", 6), ("Cleo", 0)])


class RefusalsTest(unittest.TestCase):
    def refuse(self, words, intent=None, read=None, **attributes):
        def does(agent, step, view):
            if agent.name != "Ann" or step != 3:
                return None
            return read(view) if read else intent

        with self.assertRaisesRegex(throng.Error, words):
            run_scripted(does, **attributes)

    def test_what_breaks_a_rule_ends_the_run_with_a_sentence(self):
        self.refuse(r"agent 0 \(Ann\), step 3: .*Commit.follow: there is no agent 3; the world has ids from 0 to 2", Intent(follow=[3]))
        self.refuse("Commit.follow: agent 0 itself; allowed are others", Intent(follow=[0]))
        self.refuse("Commit.unfollow: there is no agent 7", Intent(unfollow=[7]))
        self.refuse("agent is 'Ben', allowed is an agent, or its id", Intent(follow=["Ben"]))
        self.refuse("Commit.post: text is 5, allowed is a str", Intent(posts=[5]))
        self.refuse("Commit.post: text is .* half of a surrogate pair", Intent(posts=["\ud800"]))
        self.refuse(r"agent 0 \(Ann\) posts a text of 65537 bytes, allowed are 65536", Intent(posts=["x" * 65537]))
        self.refuse("sends a message of 65538 bytes", Intent(messages=[(1, "é" * 32769)]))
        self.refuse("Commit.send: text is None, allowed is a str", Intent(messages=[(1, None)]))
        self.refuse("sends a message to agent 3, but the world has ids from 0 to 2", Intent(messages=[(3, "hi")]))
        self.refuse("Commit.like: post is 'a post', allowed is a throng.Post, or its id", Intent(likes=["a post"]))
        self.refuse("likes post 0 of agent 1 in step 2, but nobody can have read", Intent(likes=[PostId(1, 2, 0)]))
        for name, value in (("posts", "hello"), ("posts", None), ("likes", PostId(1, 0, 0)), ("likes", throng.Post(1, "", "")),
                            ("follow", 0), ("unfollow", Agent("Ben", (1, 0))), ("announce", "hello"), ("messages", "hello")):
            self.refuse(rf"Intent.{name} of agent 0 \(Ann\) is .*, allowed is a list", Intent(**{name: value}))
        self.refuse(r"Intent.messages of agent 0 \(Ann\) has 1, allowed is \(to, text\)", Intent(messages=(1, "hi")))
        self.refuse("likes post 0 of agent 9", Intent(likes=[PostId(9, 0, 0)]))

    def test_worlds_without_posts_or_a_horizon_say_so(self):
        self.refuse("likes a post, but the world has no horizon", Intent(likes=[PostId(1, 0, 0)]), horizon=0)
        self.refuse("View.likes: there are no likes and messages, as World.horizon is 0",
                    read=lambda view: view.likes(PostId(1, 0, 0)), horizon=0)
        self.refuse("View.messages: there are no", read=lambda view: view.messages(), horizon=0)
        with self.assertRaisesRegex(throng.Error, r"agent 0 \(Ann\): follows: there are no posts to follow, as World.post_latency is 0"):
            run_scripted(lambda *_: None, post_latency=0)
        with mock.patch.object(Scripted, "agents", lambda self: [Agent("Ann", (0, 0)), Agent("Ben", (1, 0))]):
            self.refuse("View.feed: there are no posts", read=lambda view: view.feed(3), post_latency=0)
            self.refuse("posts something, but the world has no posts", Intent(posts=["a"]), post_latency=0)
            self.refuse("Commit.follow: there are no posts to follow", Intent(follow=[1]), post_latency=0)
        self.refuse("posts of latency -1", post_latency=-1)
        self.refuse("World.post_kept is 'long', allowed is a number of steps", post_kept="long")
        self.refuse("posts of latency 2, kept for 0 steps", post_kept=0)
        self.refuse("posts of latency 2, kept for 2147483647 steps; allowed are 0 to 268435456, and 1 to 268435456",
                    post_kept=2 ** 31 - 1)
        self.refuse("horizon 268435457; allowed is 0 to 268435456", horizon=2 ** 28 + 1)
        self.assertEqual(run_scripted(lambda *_: Intent(posts=["a"]), steps=4, post_kept=2 ** 28, horizon=2 ** 28).step_hashes[3],
                         run_scripted(lambda *_: Intent(posts=["a"]), steps=4).step_hashes[3])

    def test_whom_agents_follow_at_first_is_checked(self):
        for follows, words in (((5,), r"agent 1 \(Ben\): follows: there is no agent 5; the world has ids from 0 to 1"),
                               ([1], r"agent 1 \(Ben\): follows: agent 1 itself"),
                               ("Ann", r"agent 1 \(Ben\): follows is 'Ann', allowed is a list of agents or their ids"),
                               (3, r"agent 1 \(Ben\): follows is 3, allowed is a list"),
                               ([None], "agent is None, allowed is an agent, or its id")):
            people = [Agent("Ann", (0, 0)), Agent("Ben", (1, 0), follows=follows)]
            with mock.patch.object(Scripted, "agents", lambda self: people), self.assertRaisesRegex(throng.Error, words):
                run_scripted(lambda *_: None)

    def test_rankings_that_are_none_are_refused_by_workers_too(self):
        for kind, words in (("text", "the score of post 0 of agent 2 in step 0 is 'high', allowed is a number"),
                            ("nothing", "is None, allowed is a number"), ("nan", "is nan, allowed is a number"),
                            ("huge", "allowed is a number"), ("name", "View.feed: score is 'likes', allowed is a function")):
            for workers in (0, 1):
                with self.subTest(kind, workers=workers), self.assertRaisesRegex(throng.Error, words):
                    throng.run(Ranked(kind), "fake", steps=5, workers=workers)
        for workers in (0, 1):
            with self.assertRaises(ZeroDivisionError):
                throng.run(Ranked("raises"), "fake", steps=5, workers=workers)
        self.refuse("View.feed: most is -1, allowed is a whole number, 0 or more", read=lambda view: view.feed(-1))

    def test_only_those_who_are_followed_are_read(self):
        self.refuse("reads posts of agent 2, whom it does not follow",
                    read=lambda view: view.posts(2), agents=lambda: [Agent(name, (i, 0)) for i, name in enumerate(("Ann", "B", "C"))])


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1].endswith(".journal"):
        throng.run(People(die_in=12), SLOW, steps=16, events=EVENTS, journal=sys.argv[1], snapshot_every=4)
    unittest.main()
