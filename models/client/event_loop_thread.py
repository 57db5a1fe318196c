"""An event loop in its own thread, for synchronous code with many requests in flight."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class EventLoopThread:
    """Runs coroutines in the background."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="model-requests", daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine; returns its future, which may be cancelled."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

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


async def _cancel(futures: list[Future[Any]]) -> None:
    for future in futures:
        future.cancel()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
