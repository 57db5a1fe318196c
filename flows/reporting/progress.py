"""What a stage reports while it runs. Whoever starts a flow chooses how it is shown."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Literal, Protocol

EVERY_SECONDS = 20.0
"""Most seconds without a line while a stage runs."""


Ending = Literal["done", "failed", "stopped"]
"""How a stage ends; stopped: from outside, by a person or a signal."""


class Reporter(Protocol):
    """Called for every stage, in this order: `stage_started`, then `progressed` and `batch_done` for each batch, then
    `stage_ended`."""

    def stage_started(self, stage: str, round: int, batches: int) -> None: ...

    def progressed(self, done: int, total: int, parts: str, batches: int) -> None:
        """`done` of `total` parts of the batches that run, so many at once, are finished. `parts`: what they are, such
        as episodes."""
        ...

    def batch_done(self, cached: bool) -> None: ...

    def log(self, line: str) -> None:
        """A line about the stage."""
        ...

    def spent_so_far(self, spent: str) -> None:
        """What the run's rollouts have cost so far, in words."""
        ...

    def stage_ended(self, how: Ending) -> None: ...


class Silent:
    """Shows nothing."""

    def stage_started(self, stage: str, round: int, batches: int) -> None: ...

    def progressed(self, done: int, total: int, parts: str, batches: int) -> None: ...

    def batch_done(self, cached: bool) -> None: ...

    def log(self, line: str) -> None: ...

    def spent_so_far(self, spent: str) -> None: ...

    def stage_ended(self, how: Ending) -> None: ...


class LineReporter:
    """Plain lines: when a stage starts and ends, and every EVERY_SECONDS between, also while nothing is finished."""

    def __init__(self, say: Callable[[str], None], every_seconds: float = EVERY_SECONDS) -> None:
        """`say` is called from two threads."""
        self._write, self._every = say, every_seconds
        self._title = self._spent = self._parts = ""
        self._done = self._cached = self._batches = 0
        self._within, self._running = (0, 0), 1
        self._began = self._said = time.monotonic()
        self._stop: threading.Event | None = None

    def stage_started(self, stage: str, round: int, batches: int) -> None:
        self._title, self._batches, self._spent = title_of(stage, round), batches, ""
        self._done = self._cached = 0
        self._within = (0, 0)
        self._began = time.monotonic()
        self._say(in_batches(batches))
        self._start_ticking()

    def progressed(self, done: int, total: int, parts: str, batches: int) -> None:
        self._within, self._parts, self._running = (done, total), parts, batches

    def batch_done(self, cached: bool) -> None:
        self._done += 1
        self._cached += cached
        self._within = (0, 0)

    def log(self, line: str) -> None:
        self._say(line)

    def spent_so_far(self, spent: str) -> None:
        self._spent = spent

    def stage_ended(self, how: Ending) -> None:
        self._stop_ticking()
        if not self._title:  # it failed before it began: the error says why
            return
        seconds = time.monotonic() - self._began
        if how == "done":
            self._say(f"done after {seconds:.1f} s, {self._cached} of {self._done} batches from the cache")
        else:
            finished = f"{self._done} of {in_batches(self._batches)}"
            self._say(f"{how} after {seconds:.1f} s, {finished} finished ({self._cached} from the cache)")
        self._title = ""

    @property
    def fraction(self) -> float:
        """The finished share of the stage's batches, 0 to 1."""
        done, total = self._within
        return (self._done + self._running * done / max(total, 1)) / max(self._batches, 1)

    def tick(self) -> None:
        """Called every second while a stage runs: says how far it is where nothing was said for a while."""
        if time.monotonic() - self._said > self._every:
            self._say(self._status())

    def _status(self) -> str:
        done, total = self._within
        following = "the next" if self._running == 1 else f"the next {self._running}"
        parts = f", {done:,} of {total:,} {self._parts} of {following}" if total else ""
        minutes = (time.monotonic() - self._began) / 60
        spent = f"; {self._spent}" if self._spent else ""
        return f"{self._done}/{self._batches} batches{parts}, after {minutes:.1f} min{spent}"

    def _say(self, line: str) -> None:
        self._said = time.monotonic()
        self._write(f"{self._title}: {line}" if self._title else line)

    def _start_ticking(self) -> None:
        self._stop_ticking()
        stop = self._stop = threading.Event()

        def tick() -> None:
            while not stop.wait(min(1.0, self._every)):
                self.tick()

        # in a copy of the context: Prefect's settings are part of it, and without them its client starts a server
        threading.Thread(target=copy_context().run, args=(tick,), name="progress", daemon=True).start()

    def _stop_ticking(self) -> None:
        if self._stop:
            self._stop.set()
        self._stop = None


def in_batches(n: int) -> str:
    """1 batch, 2 batches."""
    return f"{n:,} batch" if n == 1 else f"{n:,} batches"


def title_of(stage: str, round: int) -> str:
    """A stage as it is called in progress lines."""
    return f"{stage} (round {round})" if round > 1 else stage


_REPORTER: ContextVar[Reporter | None] = ContextVar("reporter", default=None)


def current() -> Reporter:
    """The reporter that was chosen, else the log of the flow run, which the UI shows."""
    from flows.reporting.run_log import LogReporter

    return _REPORTER.get() or LogReporter()


@contextmanager
def reporting(reporter: Reporter) -> Iterator[None]:
    """Show the progress of all flows called inside."""
    token = _REPORTER.set(reporter)
    try:
        yield
    finally:
        _REPORTER.reset(token)
