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
from .plain import FrozenDict, thaw
from .runs import Event, RunResult, run
from .space import Network, Plane, Pos
from .verify import VerifyReport, verify
from .world import Agent, Call, CallError, Intent, Neighbour, World

__all__ = ["Agent", "Call", "CallError", "Change", "Commit", "Completion", "Error", "Event", "FrozenDict", "Intent",
           "Model", "Neighbour", "Network", "Plane", "Pos", "RunResult", "VerifyReport", "View", "World", "run", "thaw",
           "verify"]
