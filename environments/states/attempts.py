"""What fails outside of this process is tried again, and counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from threading import Lock
from typing import TypeVar

from environments.base import EpisodeFault, Task
from environments.states.calling import TRANSIENT

T = TypeVar("T")
WAITS = (0.5, 2.0)
"""Seconds before the second and the third attempt."""


class Failures:
    """How often a world failed: calls that were tried again, and episodes that were lost. Used by several threads.

    `unfinished`: tasks that lost an episode to a failed connection. Another attempt may finish them, so what there is
    of them must not be taken for a result. `in_a_row`: episodes lost since the last one that was not."""

    def __init__(self) -> None:
        self.retried = self.lost = self.in_a_row = 0
        self.unfinished: set[str] = set()
        self._again = False
        self._last = ""
        self._lock = Lock()

    def begin(self, tasks: Collection[str]) -> None:
        """These tasks are played from their beginning: what an earlier attempt lost of them no longer counts."""
        with self._lock:
            self.unfinished.difference_update(tasks)

    def unfinished_of(self, tasks: Collection[str]) -> set[str]:
        """Which of these tasks are unfinished."""
        with self._lock:
            return self.unfinished.intersection(tasks)

    def retry(self, what: str) -> None:
        """Count a call that is tried again."""
        with self._lock:
            self.retried += 1
            self._last = self._last or what

    def lose(self, task: Task, fault: EpisodeFault) -> None:
        """Count an episode that cannot be continued."""
        with self._lock:
            self.lost += 1
            self._last = str(fault)
            if is_transient(fault):
                self.unfinished.add(task.task_id)
                self._again = True

    def told(self) -> list[str]:
        """What to say at the end of the work; nothing if nothing failed."""
        lines = []
        if self.retried:
            times = "once" if self.retried == 1 else f"{self.retried:,} times"
            lines.append(f"the world's environments failed {times}, and were asked again")
        if self.lost:
            episodes = "1 episode" if self.lost == 1 else f"{self.lost:,} episodes"
            again = ", and the same command plays what was lost again" if self._again else ""
            lines.append(
                f"{episodes} could not be continued and end where they stood (environment_fault){again}"
            )
        return [f"{'; '.join(lines)}; for example {self._last}"] if lines else []


def is_transient(fault: EpisodeFault) -> bool:
    """Whether a connection failed. A world that answers otherwise than before fails in every attempt."""
    return isinstance(fault.__cause__, TRANSIENT)


def attempted(task: Task, work: Callable[[], T], failures: Failures, action: str | None = None) -> T:
    """The result of work that is tried again after a transient failure. Raises EpisodeFault after the last one."""
    where = f"task {task.task_id}" + ("" if action is None else f", action {action!r}")
    for wait in (*WAITS, None):
        try:
            return work()
        except TRANSIENT as error:
            said = f"{where}: {type(error).__name__}: {error}"
            if wait is None:
                raise EpisodeFault(f"{said} ({len(WAITS) + 1} attempts)") from error
            failures.retry(said)
            time.sleep(wait)
    raise AssertionError("the last attempt returns or raises")
