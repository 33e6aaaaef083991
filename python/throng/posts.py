"""What agents write for others far away: posts and messages. ``throng.World`` says how."""

from __future__ import annotations

from typing import NamedTuple


class PostId(NamedTuple):
    """Names a post, also in a mind or in the text of another post.

    >>> PostId(3, 12, 0).step
    12
    """

    by: int
    step: int
    number: int


PostId.by.__doc__ = "The id of its author."
PostId.step.__doc__ = "The step in which it was made."
PostId.number.__doc__ = "Its place among its author's posts of that step, from 0 on."


class Post(NamedTuple):
    """A post, as ``View.feed`` and ``View.posts`` show it.

    >>> Post(PostId(3, 12, 0), "Ann", "Good morning.").id.by
    3
    """

    id: PostId
    name: str
    text: str


Post.id.__doc__ = "Which one it is, as a ``PostId``: its author, step and number."
Post.name.__doc__ = "The name of its author."
Post.text.__doc__ = "What it says."


class Message(NamedTuple):
    """A message, as ``View.messages`` shows it.

    >>> Message(3, "Ann", "Are you there?").by
    3
    """

    by: int
    name: str
    text: str


Message.by.__doc__ = "The id of its sender."
Message.name.__doc__ = "The name of its sender."
Message.text.__doc__ = "What it says."
