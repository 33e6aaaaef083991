"""Worlds that depend on more than their state, for test_verify: one thing each."""

import datetime
import os
import random
import time
import uuid

import throng

NAMES = {f"name{i}" for i in range(9)}
SETTING = "as the module has it"


class Hidden(throng.World):
    """Two agents out of each other's sight; in step 3 the second one asks what it must not know."""

    width = 40
    perception_radius = 2

    def agents(self):
        return [throng.Agent("Ann", (0, 0)), throng.Agent("Ben", (30, 0))]

    def proceed(self, view, agent):
        secret = self.secret() if (view.step, agent.id) == (3, 1) else "none"
        yield throng.Call(f"You are {agent.name}.\nYou know: {secret}\nWhat now?", function="think", max_tokens=4)

    def secret(self):
        return "nothing"


class Thing:
    pass


class OfSet(Hidden):
    def secret(self):
        return " ".join(NAMES)


class OfClock(Hidden):
    def secret(self):
        return time.time()


class OfDate(Hidden):
    def secret(self):
        return datetime.date.today().isoformat()


class OfYear(Hidden):
    def secret(self):
        return f"{datetime.datetime.now():%Y}, a {time.strftime('%A')}"


class OfZone(Hidden):
    def secret(self):
        return datetime.datetime.fromtimestamp(0).hour


class OfChance(Hidden):
    def secret(self):
        return random.random()


class OfAddress(Hidden):
    def secret(self):
        return Thing.__new__(Thing)


class OfClassAddress(Hidden):
    def secret(self):
        return id(Thing)


class OfUser(Hidden):
    def secret(self):
        return os.environ.get("USER")


class OfUuid(Hidden):
    def secret(self):
        return uuid.uuid4()


class OfSelf(Hidden):
    steps = 0

    def proceed(self, view, agent):
        self.steps += 1
        yield from super().proceed(view, agent)

    def secret(self):
        return self.steps


class OfClass(Hidden):
    runs = 0

    def agents(self):
        OfClass.runs += 1
        return super().agents()

    def secret(self):
        return self.runs


class OfGlobal(Hidden):
    def secret(self):
        return SETTING


class OfStart(Hidden):
    def agents(self):
        return [throng.Agent(name, (0, 0), mind=[sorted(NAMES) == list(NAMES), list(NAMES)]) for name in ("Ann", "Ben")]


class OfFailure(Hidden):
    def secret(self):
        year = time.strftime("%Y")
        if year != os.environ["THRONG_TEST_YEAR"]:
            raise RuntimeError(f"it is {year}")


class Clean(Hidden):
    """Dates, sorted sets and random numbers that are the seed's."""

    def secret(self):
        date = datetime.datetime(2024, 2, 29, 12) + datetime.timedelta(days=1)
        assert isinstance(date, datetime.datetime) and isinstance(date, datetime.date)
        assert datetime.datetime.fromisoformat("2024-03-01T12:00:00") == date
        return sorted(NAMES), repr(date), random.Random(7).random()


def make(secret):
    world = Hidden()
    world.secret = lambda: secret
    return world

