"""Classrooms: pupils who hear whispering decide whether to join in, and teachers whether to wait until it is quiet.

    PYTHONPATH=build/release/python python3 python/examples/classroom.py --out results
"""

import collections
import sys

import common
import throng

COLUMNS, ROWS = 6, 5
PUPILS = COLUMNS * ROWS
FRONT = 2  # rows that see the teacher
ROOM = COLUMNS + 4  # cells from one classroom to the next: nobody hears through the wall


class Classroom(throng.World):
    height, perception_radius, max_velocity = ROWS + 1, 1, 0

    def __init__(self, people):
        self.rooms = max(1, people // (PUPILS + 1))
        self.width = self.rooms * ROOM

    def agents(self):
        for room in range(self.rooms):
            # The teacher, at the front, hears the whole room; only the first two rows look up from their desks.
            yield throng.Agent(f"teacher {room}", (room * ROOM + COLUMNS // 2, 0), status="teaches", perception_radius=ROWS)
            for seat in range(PUPILS):
                pos = (room * ROOM + seat % COLUMNS, 1 + seat // COLUMNS)
                status = "whispers" if seat >= PUPILS - 2 else "listens"  # it begins in the back
                yield throng.Agent(f"pupil {room}-{seat}", pos, status=status, perception_radius=3 if pos[1] <= FRONT else 1)

    def proceed(self, view, agent):
        if agent.name.startswith("teacher"):
            noise = sum(other.status == "whispers" for other in view.neighbours())
            if noise == 0:
                return throng.Intent(status="teaches")
            answer = yield throng.Call(
                f"You teach a class of {PUPILS}; {noise} whisper. Do you go on, or wait until it is quiet?",
                choices=["go on", "wait"], temperature=1.0, function="teach")
            return throng.Intent(status="waits" if answer == "wait" else "teaches")
        near = [other for other in view.neighbours() if abs(other.pos.x - agent.pos.x) <= 1 and
                abs(other.pos.y - agent.pos.y) <= 1]
        whispering = sum(other.status == "whispers" for other in near)
        waits = any(other.status == "waits" for other in view.neighbours())
        status = "listens" if waits else agent.status  # under the teacher's eyes
        if whispering > 0 and not waits:
            answer = yield throng.Call(
                f"You sit in row {agent.pos.y} of {ROWS}. {whispering} pupils beside you whisper. What do you do?",
                choices=["listens", "whispers"], temperature=1.0, function="sit")
            status = str(answer)
        elif status == "whispers":
            status = "listens"  # nobody to whisper with
        return throng.Intent(status=status, events=[(status, str(agent.pos.y))])


def table(result):
    """The share of each row's pupils who whisper, by step."""
    events = result.frame("events")
    found = collections.Counter(zip(events["step"], events["kind"], events["text"]))
    rows = [str(row) for row in range(1, ROWS + 1)]

    def share(step, row):
        whispers, listens = found[step, "whispers", row], found[step, "listens", row]
        return round(whispers / max(1, whispers + listens), 3)

    return throng.Frame.of(("step", *(f"row {row}" for row in rows)),
                           ((step, *(share(step, row) for row in rows)) for step in range(result.steps)))


def plot(axes, frame):
    for row in list(frame)[1:]:
        axes.plot("step", row, data=frame, label=row)
    axes.set_xlabel("step")
    axes.set_ylabel("share of pupils who whisper")
    axes.legend()


if __name__ == "__main__":
    sys.exit(common.main("classroom", __doc__, Classroom, table, plot, agents=124, steps=30))
