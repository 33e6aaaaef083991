"""Throng runs societies of language-model agents: worlds in Python, out of order, on a compressed KV cache.

A model alone:

>>> import throng
>>> model = throng.Model(kv="flashq4", threads=2)
>>> answers = model.generate(["The park is", "The cafe is"], max_tokens=8)

A society of agents: derive a world from ``throng.World``, run it with ``throng.run``, and check with ``throng.verify``
that the order of execution changes nothing. ``help(throng.World)`` has an example; python/examples/ has longer ones.
"""

from ._native import Change, Commit, Error, View, __version__
from .model import Completion, Model
from .runs import Event, RunResult, VerifyReport, run, verify
from .space import Network, Plane, Pos
from .world import Agent, Call, Intent, Neighbour, World

__all__ = ["Agent", "Call", "Change", "Commit", "Completion", "Env", "Error", "Event", "Intent", "Model", "Neighbour",
           "Network", "Plane", "Pos", "RunResult", "VerifyReport", "View", "World", "run", "verify"]


def __getattr__(name):
    # Late, because it imports gymnasium and pettingzoo where they are installed.
    if name == "Env":
        from .env import Env
        return Env
    raise AttributeError(f"module 'throng' has no attribute {name!r}")
