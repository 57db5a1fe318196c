"""What a stage reports while it runs. Whoever starts a flow chooses how it is shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Reporter(Protocol):
    """Called for every stage, in this order: `stage_started`, then `progressed` and `batch_done` for each batch, then
    `stage_ended`."""

    def stage_started(self, stage: str, round: int, batches: int) -> None: ...

    def progressed(self, done: int, total: int) -> None:
        """`done` of `total` parts (episodes, training steps) of the current batch are finished."""
        ...

    def batch_done(self, cached: bool) -> None: ...

    def log(self, line: str) -> None:
        """A line about the stage."""
        ...

    def spent_so_far(self, spent: str) -> None:
        """What the run's rollouts have cost so far, in words."""
        ...

    def stage_ended(self, failed: bool) -> None: ...


class Silent:
    """Shows nothing."""

    def stage_started(self, stage: str, round: int, batches: int) -> None: ...

    def progressed(self, done: int, total: int) -> None: ...

    def batch_done(self, cached: bool) -> None: ...

    def log(self, line: str) -> None: ...

    def spent_so_far(self, spent: str) -> None: ...

    def stage_ended(self, failed: bool) -> None: ...


class LogReporter:
    """Lines in the log of the flow run, which the UI shows."""

    def __init__(self) -> None:
        self._stage, self._batches, self._done, self._cached, self._spent = "stage", 0, 0, 0, ""

    def stage_started(self, stage: str, round: int, batches: int) -> None:
        self._stage, self._batches, self._done, self._cached, self._spent = stage, batches, 0, 0, ""
        self._say(f"{stage}: {batches} batches")

    def progressed(self, done: int, total: int) -> None:
        """A log line for each episode would drown the others."""

    def batch_done(self, cached: bool) -> None:
        self._done += 1
        self._cached += cached
        spent = f", {self._spent}" if self._spent else ""
        self._say(f"{self._stage}: batch {self._done}/{self._batches}{' (cached)' if cached else ''}{spent}")

    def log(self, line: str) -> None:
        self._say(f"{self._stage}: {line}")

    def spent_so_far(self, spent: str) -> None:
        self._spent = spent

    def stage_ended(self, failed: bool) -> None:
        self._say(f"{self._stage}: {'failed' if failed else f'done, {self._cached} batches from the cache'}")

    def _say(self, line: str) -> None:
        from prefect.exceptions import MissingContextError
        from prefect.logging import get_run_logger

        try:
            get_run_logger().info(line)
        except MissingContextError:  # outside a flow run there is no log to write to
            return


_REPORTER: ContextVar[Reporter | None] = ContextVar("reporter", default=None)


def current() -> Reporter:
    return _REPORTER.get() or LogReporter()


@contextmanager
def reporting(reporter: Reporter) -> Iterator[None]:
    """Show the progress of all flows called inside."""
    token = _REPORTER.set(reporter)
    try:
        yield
    finally:
        _REPORTER.reset(token)
