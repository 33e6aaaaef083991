"""Runs async functions as backends."""

from __future__ import annotations

import asyncio
import inspect
import queue
import threading
from typing import Any, Awaitable, Callable

from .calls import Call


def is_async(function: Any) -> bool:
    """Whether calling it makes a coroutine."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))


class EventLoop:
    """An event loop in a thread of its own, on which an async function answers all calls at once."""

    def __init__(self, function: Callable[[Call], Awaitable[str]]) -> None:
        self._function = function
        self._ended: queue.SimpleQueue = queue.SimpleQueue()
        self._tasks: dict[int, asyncio.Task] = {}  # this and the next are used on the loop's thread alone
        self._cancelled: set[int] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="throng backend", daemon=True)
        self._thread.start()

    def submit(self, id: int, call: Call) -> None:
        self._loop.call_soon_threadsafe(self._start, id, call)

    def cancel(self, id: int) -> None:
        self._loop.call_soon_threadsafe(self._cancel, id)

    def wait(self, seconds: float | None) -> list[tuple[int, str | None, BaseException | None]]:
        """Waits for the first call that ends; returns (id, answer, exception) of all that have. Of a cancelled call
        both are None."""
        try:
            ended = [self._ended.get(timeout=seconds)]
        except queue.Empty:
            return []
        while not self._ended.empty():
            ended.append(self._ended.get())
        return ended

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            for task in self._tasks.values():
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*self._tasks.values(), return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()

    def _start(self, id: int, call: Call) -> None:
        task = self._loop.create_task(self._answer(call))
        self._tasks[id] = task
        task.add_done_callback(lambda task: self._end(id, task))

    def _cancel(self, id: int) -> None:
        if id in self._tasks:
            self._cancelled.add(id)
            self._tasks[id].cancel()

    async def _answer(self, call: Call) -> tuple[Any, BaseException | None]:
        try:
            answer = await self._function(call)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # of any kind: the run's thread raises it
            return None, error
        if answer is None:
            return None, TypeError("the backend function returned None, allowed is a str or a throng.Completion")
        return answer, None

    def _end(self, id: int, task: asyncio.Task) -> None:
        del self._tasks[id]
        if not task.cancelled():
            self._ended.put((id, *task.result()))
        elif id in self._cancelled:
            self._ended.put((id, None, None))
        else:
            self._ended.put((id, None, asyncio.CancelledError("the backend function cancelled itself")))
        self._cancelled.discard(id)
