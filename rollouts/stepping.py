"""Plays the policy's turns in the world: at once, or in threads where the world's environments wait for something
outside of Python. Then no episode waits for another one's environment, and no server of a policy is idle because of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from queue import Empty, SimpleQueue
from typing import Protocol

from models.turn_queue import LockstepTurnQueue, TurnQueue

Work = Callable[[], None]
MOST_THREADS = 64


class Stepper(Protocol):
    def submit(self, index: int, work: Work) -> None:
        """Start an episode's step."""
        ...

    def done(self) -> Iterator[int]:
        """The episodes whose steps are done. Raises what a step has raised."""
        ...

    def close(self) -> None:
        """Wait for the steps that are being played."""
        ...


def stepper_of(blocking: bool, most: int, queue: TurnQueue) -> Stepper:
    """How to play steps. `most`: running episodes at a time."""
    return InThreads(most, queue) if blocking and most > 1 else AtOnce()


class AtOnce:
    def __init__(self) -> None:
        self._done: list[int] = []

    def submit(self, index: int, work: Work) -> None:
        work()
        self._done.append(index)

    def done(self) -> Iterator[int]:
        done, self._done = self._done, []
        return iter(done)

    def close(self) -> None:
        pass


class InThreads:
    """`queue` is woken when a step is done. One that answers in lockstep gets all episodes together."""

    def __init__(self, most: int, queue: TurnQueue) -> None:
        self._pool = ThreadPoolExecutor(min(most, MOST_THREADS), "environment")
        self._queue, self._lockstep = queue, isinstance(queue, LockstepTurnQueue)
        self._running: set[Future[int]] = set()
        self._done: SimpleQueue[Future[int]] = SimpleQueue()

    def submit(self, index: int, work: Work) -> None:
        def played() -> int:
            work()
            return index

        future = self._pool.submit(played)
        self._running.add(future)
        future.add_done_callback(self._finished)

    def _finished(self, future: Future[int]) -> None:
        self._done.put(future)
        self._queue.wake()

    def done(self) -> Iterator[int]:
        if self._lockstep:
            wait(self._running)
        while True:
            try:
                future = self._done.get_nowait()
            except Empty:
                if self._lockstep and self._running:
                    continue  # its callback is about to run
                return
            self._running.discard(future)
            yield future.result()

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
