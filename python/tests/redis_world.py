"""The run of the tests with Redis: address (or 0), steps, journal, mode, seconds of sleep in each step."""

import sys
import time
import warnings

import throng


class Walkers(throng.World):
    width, height = 90, 3
    perception_radius = 2
    post_latency, post_kept, horizon = 3, 6, 8

    def __init__(self, sleep):
        self.sleep = sleep

    def parameters(self):
        return None  # how long it takes changes nothing

    def agents(self):
        return [throng.Agent(f"a{i}", (2 + 7 * i, 1), mind=(), follows={(i + 1) % 12, 5 * i % 12} - {i}) for i in range(12)]

    def proceed(self, view, agent):
        near = ",".join(f"{other.name} {other.status}" for other in view.neighbours())
        feed = view.feed(3, view.likes)
        near += " ".join(f"{post.name} {post.text} {view.likes(post)}" for post in feed) + str(view.messages())
        time.sleep(self.sleep)
        answer = yield throng.Call(f"{agent.name} sees {near} {view.cell(agent.pos)}", choices=["left", "right"])
        time.sleep(self.sleep)
        word = yield throng.Call(f"{agent.name} goes {answer}", max_tokens=4)
        x = min(max(agent.pos.x + (1 if answer == "right" else -1), 0), self.width - 1)
        return throng.Intent(pos=(x, 1), mind=(*agent.mind[-5:], word, view.random.random()), status=answer,
                             write={agent.pos: word}, events=[("say", word)], posts=[word], likes=feed[:1],
                             messages=[(int(view.random.random() * 12), word)], follow=[(agent.id + view.step % 11 + 1) % 12],
                             unfollow=agent.follows[:1])


if __name__ == "__main__":
    workers, steps, journal, mode, sleep = sys.argv[1:]
    warnings.simplefilter("always")
    result = throng.run(Walkers(float(sleep)), "fake:latency=0.1,spread=0.9", steps=int(steps), mode=mode,
                        workers=int(workers) if workers.isdigit() else workers, journal=journal or None, resume=True)
    print(result.hash)
