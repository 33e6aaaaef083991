"""Worlds in Python whose population changes."""

import unittest

import support
import throng

EVENTS = [(3, "arrive"), (5, "tell"), (6, "write"), (9, "leave"), (9, "announce")]


class Mice(throng.World):
    """Each of four mice has two children in time, and dies at the age of 12."""

    width, height, perception_radius, horizon = 60, 4, 2, 5

    def agents(self):
        mice = [throng.Agent(f"mouse {i}", (14 * i + 1, 1), mind={"age": 0, "parent": i, "heard": ()}) for i in range(4)]
        return mice + [throng.Agent(f"mouse {i}", (0, 0), present=False) for i in range(4, 13)]

    def announcements(self):
        return [(2, "spring")]

    def proceed(self, view, agent):
        answer = yield throng.Call(f"{agent.name} sees {len(view.neighbours())} {view.cell(agent.pos)}", choices=["left", "right"])
        heard = agent.mind["heard"]
        heard += tuple(text for _, text in view.announced(len(heard)))
        step = 1 if answer == "right" else -1
        return throng.Intent(pos=(min(max(agent.pos.x + step, 0), 59), 1), mind={**agent.mind, "heard": heard})

    def resolve(self, step, members, commit):
        for mouse in members:
            age = mouse.mind["age"]
            commit.move(mouse, mouse.intent.pos)
            commit.set_mind(mouse, {**mouse.intent.mind, "age": age + 1})
            if mouse.id < 4 and age in (3, 7):
                child = {"age": 0, "parent": mouse.id, "heard": mouse.intent.mind["heard"]}
                commit.birth(4 + 2 * mouse.id + (age == 7), mouse.pos, "small", child)
            if age == 12:
                commit.announce(mouse, f"{mouse.name} died")
                commit.remove(mouse)

    def intervene(self, change, what):
        if what == "arrive" and not change.is_present(12):
            change.add(12, (30, 1), "new", {"age": 2, "parent": None, "heard": ("spring",)})
        elif what == "tell":
            change.set_mind(12, {**change.agent(12).mind, "age": 3})
        elif what == "write":
            change.write((30, 1), change.cell((30, 1)) + "cheese")
        elif what == "leave":
            change.remove(0)
        elif what == "announce":
            change.announce("a cat")


class Heirless(Mice):
    def resolve(self, step, members, commit):
        commit.birth(members[0].id, members[0].pos)


class DynamicTest(unittest.TestCase):
    def test_every_mode_is_equal(self):
        report = throng.verify(Mice, steps=25, events=EVENTS)
        self.assertTrue(report.equal, report.difference)

    def test_who_comes_and_goes(self):
        result = throng.run(Mice(), "fake:latency=1,spread=0.9", steps=18, events=EVENTS)
        present = [mouse.id for mouse in result.agents if mouse.present]
        self.assertEqual(present, [5, 7, 9, 11])  # the younger children
        deaths = [event for event in result.events if event.kind == "announce"]
        self.assertEqual({event.text for event in deaths if event.agent in (1, 2, 3)},
                         {"mouse 1 died", "mouse 2 died", "mouse 3 died"})
        self.assertEqual(result.agents[7].mind["heard"][:2], ("spring", "a cat"))
        self.assertEqual(result.cells[(30, 1)], "cheese")

    def test_what_cannot_be_is_refused(self):
        with self.assertRaisesRegex(throng.Error, "has been somebody's before"):
            throng.run(Heirless(), "fake", steps=3)
        with self.assertRaisesRegex(NotImplementedError, "needs a method intervene"):
            throng.run(support.Line(), "fake", steps=3, events=[(1, "x")])
        with self.assertRaisesRegex(throng.Error, "agent 50 is not there"):
            class Wrong(Mice):
                def intervene(self, change, what):
                    change.remove(50)
            throng.run(Wrong(), "fake", steps=3, events=[(1, "x")])


if __name__ == "__main__":
    unittest.main()
