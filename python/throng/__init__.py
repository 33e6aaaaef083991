"""Throng runs societies of language-model agents: worlds in Python, out of order, on a compressed KV cache.

A model alone:

>>> import throng
>>> model = throng.Model(kv="flashq4", threads=2)
>>> answers = model.generate(["The park is", "The cafe is"], max_tokens=8)

A society of agents: derive a world from ``throng.World``, run it with ``throng.run``, and check with ``throng.verify``
that the order of execution changes nothing. ``help(throng.World)`` has an example; python/examples/ has longer ones.
"""

from typing import TYPE_CHECKING

from ._native import Change, Commit, Error, Stopped, View, __version__
from .calls import Call, CallError, Memory
from .data import Reporters, State
from .effects import Ask, CommandTool, Embed, FunctionTool, Tool, ToolError, tool
from .foresight import Expectation, Lookahead
from .frames import Frame
from .mcp import McpServer
from .model import Completion, Model
from .plain import FrozenDict, thaw
from .posts import Message, Post, PostId
from .runs import Event, RunResult, agents_at, fork, inject, interview, run
from .space import Network, Plane, Pos
from .sweep import SweepResult, SweptRun, sweep
from .verify import VerifyReport, verify
from .world import Agent, Intent, Neighbour, World

__all__ = ["Agent", "Ask", "Call", "CallError", "Change", "CommandTool", "Commit", "Completion", "Embed", "Env",
           "Error", "Event", "Expectation", "Frame", "FrozenDict", "FunctionTool", "Intent", "Lookahead", "McpServer",
           "Memory", "Message", "Model", "Neighbour", "Network", "Plane", "Pos", "Post", "PostId", "Reporters",
           "RunResult", "State", "Stopped", "SweepResult", "SweptRun", "Tool", "ToolError", "VerifyReport", "View",
           "World", "agents_at", "fork", "inject", "interview", "run", "sweep", "thaw", "tool", "verify"]


if TYPE_CHECKING:
    from .env import Env
else:
    def __getattr__(name):
        # Late, because it imports gymnasium and pettingzoo where they are installed.
        if name == "Env":
            from .env import Env
            return Env
        raise AttributeError(f"module 'throng' has no attribute {name!r}")
