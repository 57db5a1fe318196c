"""An event loop in a thread of its own, for synchronous code with many requests on their way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Background:
    """Runs coroutines beside the caller."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="model-requests", daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine; its future, which may be cancelled."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def cancel(self, futures: Iterable[Future[Any]]) -> None:
        """Cancel all in one step: one after the other, those that wait would take the places of those that go."""
        self.submit(_cancel(list(futures))).result()

    def close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """End what is still running, and then do `last`."""
        if not self._loop.is_closed():
            self.submit(_cancel_others()).result()
            self.submit(last()).result()
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
