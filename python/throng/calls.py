"""Questions to the language model, and what becomes of those that fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Sequence

from . import _native
from ._native import Error
from .model import Completion


class Memory(NamedTuple):
    """A memory that a prompt holds, for ``Call.memories``; a tuple of two or three does as well.

    >>> Memory(12, "Ben has betrayed me").number is None
    True
    """

    step: int
    text: str
    number: int | None = None


Memory.step.__doc__ = "The step in which it was made."
Memory.text.__doc__ = "What is remembered."
Memory.number.__doc__ = "Its number among the agent's memories, if they have any."


@dataclass(frozen=True)
class Call:
    """A question to the language model.

    ``yield`` it in ``World.proceed`` or ``World.resolve`` to get the answer, a ``Completion``. Yield a list to ask
    several at once; the answers come as a list. The ``yield`` raises a ``CallError`` if a call failed and the run goes
    on without it. A call that a step makes and drops without yielding it is an error.

    - ``prompt``, ``system``: what is asked, and the system message before it
    - ``choices``: the answer is exactly one of these
    - ``json_schema``: a dict or JSON text; the answer conforms to it, and its ``json()`` is the data
    - ``max_tokens``: the longest answer; ``stop``: texts before which it ends
    - ``temperature``, ``top_k``, ``top_p``, ``min_p``, ``repetition_penalty``: how its tokens are drawn; a temperature
      of 0 takes the most likely ones
    - ``function``: a word for what the call does, used in statistics and journals
    - ``agent``: who asks; needed only in ``World.resolve``
    - ``memories``: those of the agent that are in the prompt, as ``Memory`` or ``(step, text)``; the journal's view
      ``memories`` then tells what led to the answer. Nothing else depends on them.

    >>> Call("Where to?", choices=["home", "work"], max_tokens=8).choices
    ['home', 'work']
    """

    prompt: str
    choices: Sequence[str] = ()
    json_schema: Any = None
    max_tokens: int = 128
    temperature: float = 0.0
    system: str = ""
    stop: Sequence[str] = ()
    function: str = "ask"
    agent: int | None = None
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    memories: Sequence[tuple[int, str] | Memory] = ()

    def __post_init__(self) -> None:
        _native.note_call(self, self.prompt)


class CallError(Error):
    """A call failed: raised at its ``yield``, in runs that go on without the answer.

    Catch it to do the usual thing instead. If nobody does, the agent does nothing in this step: ``World.resolve`` is
    called without it, and the chronicle gets an event of kind "fallback" with the message. If it leaves
    ``World.resolve``, nothing that this call of it wrote counts.

    - ``code``: "bad answer" if the model answered, but not as it must
    - ``answers``: one per call that was yielded, in order, None for those that failed
    - ``errors``: why, one text per call, empty for those that have an answer
    - ``agent``, ``function``: whose call failed first, and the call's ``function``

    Example::

        def proceed(self, view, agent):
            try:
                answer = yield throng.Call("Where to?", choices=["home", "work"])
            except throng.CallError:
                answer = "home"
            return throng.Intent(status="going " + answer)
    """

    answers: list[Completion | None]
    errors: list[str]

    def __init__(self, message: str, *, code: str = "bad answer", answers: Sequence[Completion | None] = (),
                 errors: Sequence[str] = (), agent: int | None = None, function: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.answers = list(answers)
        self.errors = list(errors)
        self.agent = agent
        self.function = function
