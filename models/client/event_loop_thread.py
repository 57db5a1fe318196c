"""An event loop in its own thread, for synchronous code with many requests in flight."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future
from contextvars import Context, copy_context
from typing import Any, TypeVar

T = TypeVar("T")
_Work = tuple[Coroutine[Any, Any, Any], Future[Any], Context]


class EventLoopThread:
    """Runs coroutines in the background. Used from any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._submitted: deque[_Work] = deque()
        self._woken = False
        """Whether the loop has been told of what is in `_submitted`."""
        self._thread = threading.Thread(target=self._loop.run_forever, name="model-requests", daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine in the caller's context; returns its future, which may be cancelled. The loop is woken once
        for all that is submitted before it gets to run."""
        if self._loop.is_closed():
            work.close()
            raise RuntimeError("the thread of the requests has ended")
        future: Future[T] = Future()
        self._submitted.append((work, future, copy_context()))
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._start_submitted)
        return future

    def _start_submitted(self) -> None:
        self._woken = False  # before the last look: what is added after it wakes the loop again
        while self._submitted:
            self._start(*self._submitted.popleft())

    def _start(self, work: Coroutine[Any, Any, Any], future: Future[Any], context: Context) -> None:
        if future.cancelled():
            work.close()
            future.set_running_or_notify_cancel()
            return
        task = self._loop.create_task(work, context=context)
        task.add_done_callback(lambda _: _hand_over(task, future))
        future.add_done_callback(
            lambda _: self._loop.call_soon_threadsafe(task.cancel) if future.cancelled() else None
        )

    def cancel(self, futures: Iterable[Future[Any]]) -> None:
        """Cancel all in one step: one by one, queued requests would take the slots of the cancelled ones."""
        self.submit(_cancel(list(futures))).result()

    def close(self, cleanup: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Cancel what is still running, run `cleanup`, and end the thread."""
        if not self._loop.is_closed():
            self.submit(_cancel_others()).result()
            self.submit(cleanup()).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


def _hand_over(task: asyncio.Task[Any], future: Future[Any]) -> None:
    """Give a task's outcome to the future that stands for it in other threads."""
    if task.cancelled():
        future.cancel()
    error = None if task.cancelled() else task.exception()
    if not future.set_running_or_notify_cancel():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(task.result())


async def _cancel(futures: list[Future[Any]]) -> None:
    for future in futures:
        future.cancel()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
