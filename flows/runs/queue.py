"""Who waits for a lock gets it in the order of coming: everybody who waits holds a ticket, and the oldest is next.

A ticket is a locked file, so that of a process that ends is void at once. The order is only fairness: what keeps two
processes apart is the lock itself. So a clock that was set back lets somebody in earlier, and nobody in twice.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


class WaitingQueue:
    """Those who wait for the lock `path`."""

    def __init__(self, path: Path) -> None:
        self._folder = path.with_suffix(".waiting")

    def is_empty(self) -> bool:
        return not any(_is_held(ticket) for ticket in self._tickets())

    @contextmanager
    def ticket(self) -> Iterator[Callable[[], bool]]:
        """Wait at the end of the queue. Gives a function that tells whether it is one's turn."""
        self._folder.mkdir(parents=True, exist_ok=True)
        mine = self._folder / f"{time.time_ns():020d}-{os.getpid()}"
        with FileLock(mine, thread_local=False):
            yield lambda: not any(_is_held(ticket) for ticket in self._tickets() if ticket.name < mine.name)
        mine.unlink(missing_ok=True)

    def _tickets(self) -> list[Path]:
        return sorted(self._folder.glob("*")) if self._folder.is_dir() else []


def _is_held(ticket: Path) -> bool:
    """Whether the process of a ticket still waits. A void ticket is removed."""
    if not ticket.exists():
        return False
    try:
        with FileLock(ticket).acquire(timeout=0):
            ticket.unlink(missing_ok=True)
            return False
    except Timeout:
        return True
