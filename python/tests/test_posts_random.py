"""Random worlds of people who post, like, follow and write to each other, walk, sleep, are born and leave: the same hash in
every order, with workers, and from snapshots."""

import functools
import os
import random
import tempfile
import unittest

import throng
from throng import Agent, Intent, PostId

STEPS = 12
SLOW = "fake:latency=1,spread=0.9"


class Random(throng.World):
    """People whose rules, space and habits depend on a number."""

    def __init__(self, number):
        dice = random.Random(number)
        self.number = number
        self.here, self.free = dice.randint(3, 9), dice.randint(0, 4)
        self.post_latency, self.post_kept = dice.randint(1, 4), dice.randint(1, 6)
        self.horizon = dice.choice([0, dice.randint(1, 9)])
        self.perception_radius, self.max_velocity = dice.choice([(0, 0), (2, 1)])
        self.width, self.height = dice.randint(6, 24), 3
        self.naps = dice.random() < 0.4
        self.habits = [dice.random() * 0.6 for _ in range(8)]

    def parameters(self):
        return self.number

    def agents(self):
        dice = random.Random(self.number + 1)
        size = self.here + self.free
        return [Agent(f"p{i}", (dice.randrange(self.width), dice.randrange(self.height)), mind=0, present=i < self.here,
                      follows=dice.sample([other for other in range(size) if other != i], dice.randint(0, min(3, size - 1))))
                for i in range(size)]

    def read(self, view, agent):
        dice = view.random
        ranking = dice.choice([None, lambda post: len(post.text) % 3, lambda post: -post.id.by / 2])
        if self.horizon and dice.random() < 0.5:
            ranking = view.likes
        feed = view.feed(dice.randint(0, 4), ranking)
        read = [feed, view.posts(agent), [view.posts(whom) for whom in agent.follows if dice.random() < 0.3]]
        if self.horizon:
            read += [[view.likes(post) for post in feed], view.likes(PostId(dice.randrange(3), view.step // 2, 0))]
            read += [view.messages(), view.announced()]
        if dice.random() < 0.5:
            read.append(view.neighbours())
        return feed, read

    def proceed(self, view, agent):
        feed, read = self.read(view, agent)
        dice = view.random
        answer = str((yield throng.Call(f"{agent.name}: {read}", max_tokens=dice.randint(1, 20)))) if dice.random() < 0.7 else ""
        intent = {"mind": digest(f"{agent.mind} {read} {answer}"), "status": str(dice.randrange(3))}
        others = [other for other in range(self.here + self.free) if other != agent.id]
        does = [dice.random() < habit for habit in self.habits]
        if does[0]:
            intent["posts"] = [f"{agent.name} {answer[:8]} {n}" for n in range(dice.randint(1, 2))]
        if does[1]:
            intent["follow"] = dice.choices(others, k=2)  # perhaps the same one twice
        if does[2]:
            intent["unfollow"] = list(agent.follows)[:1]
        if self.horizon and does[3]:
            intent["likes"] = feed[:2]
        if self.horizon and does[4]:
            intent["messages"] = [(dice.choice(others), answer[:8])]
        if self.horizon and does[5]:
            intent["announce"] = [agent.name]
        if self.naps and does[6]:
            intent.update(sleep_until=view.step + dice.randint(1, 5), alert=dice.random() < 0.5)
        if self.max_velocity:
            intent["pos"] = (min(max(agent.pos.x + dice.randint(-1, 1), 0), self.width - 1), agent.pos.y)
        return [Intent(**intent)]

    def resolve(self, step, members, commit):
        awake = [agent for agent in members if agent.intent is not None]
        if len(awake) > 1 and commit.random.random() < 0.5:
            said = yield throng.Call(f"{len(awake)} at {step}", agent=awake[0].id, max_tokens=5)
            commit.post(awake[0], said)
        super().resolve(step, awake, commit)
        for agent in awake:
            child = self.here + agent.id
            if agent.id < self.free and step == 3 + agent.id and self.number % 3 < 2:
                commit.birth(child, agent.pos, mind=1, follows=[agent, 0][:1 + (agent.id > 0)])
            elif commit.random.random() < self.habits[7] / 10:
                commit.remove(agent)

    def intervene(self, change, what):
        whom, other = map(int, what.split())
        if change.is_present(whom) and whom != other:
            change.follow(whom, other)
            for followed in change.agent(whom).follows[:1]:
                change.unfollow(whom, followed)


def digest(text):
    value = 0
    for letter in text.encode():
        value = (value * 31 + letter) % (1 << 61)
    return value


def events_of(number):
    dice = random.Random(number + 2)
    return sorted((dice.randint(1, STEPS - 1), f"{dice.randint(0, 2)} {dice.randint(0, 2)}") for _ in range(number % 3))


def run(number, mode, latency, **more):
    return throng.run(Random(number), f"fake:latency={latency},spread=0.9", steps=STEPS, mode=mode,
                      events=events_of(number), **more)


class RandomTest(unittest.TestCase):
    def test_every_order_leaves_the_same_hash(self):
        spread = squashed = confirmed = births = 0
        kinds = set()
        for number in range(14):
            with self.subTest(number=number):
                for coupling in ("paper", "versioned"):  # each has clusters of its own
                    lockstep = run(number, "lockstep", 1, coupling=coupling)
                    kinds |= {event.kind for event in lockstep.events}
                    for mode in ("single", "ooo", "speculative"):
                        other = run(number, mode, 0.02, coupling=coupling)
                        self.assertEqual(other.step_hashes, lockstep.step_hashes, (mode, coupling))
                        self.assertEqual((other.agents, other.events), (lockstep.agents, lockstep.events))
                        spread, births = max(spread, other.max_spread), births + other.births
                        squashed, confirmed = squashed + other.squashed_steps, confirmed + other.confirmed_steps
        self.assertEqual(kinds, {"post", "like", "message", "follow", "unfollow", "announce"})
        self.assertTrue(spread > 3 and births > 10 and squashed > 20 and confirmed > 20, (spread, births, squashed, confirmed))

    def test_delayed_and_reordered_answers_too(self):
        for number in (14, 15, 16):
            report = throng.verify(functools.partial(Random, number), SLOW, steps=STEPS, shuffled=2, processes=0,
                                   events=events_of(number))
            self.assertTrue(report, report.difference)

    def test_workers_do(self):
        for number in (1, 4, 13, 22):
            with self.subTest(number=number):
                shared = run(number, "speculative" if number % 2 else "ooo", 1, workers=1 + number % 2)
                self.assertEqual(shared.step_hashes, run(number, "lockstep", 1).step_hashes)

    def test_forks_that_begin_with_a_snapshot_do(self):
        for number in range(20, 26):
            with self.subTest(number=number), tempfile.TemporaryDirectory() as folder:
                first, fork = os.path.join(folder, "first.journal"), os.path.join(folder, "fork.journal")
                whole = run(number, "ooo", 1, journal=first, snapshot_every=2)
                throng.fork(first, at=7, out=fork)
                again = run(number, "speculative", 1, journal=fork, resume=True)
                self.assertEqual((again.step_hashes, again.agents), (whole.step_hashes, whole.agents))


if __name__ == "__main__":
    unittest.main()
