"""Progress of the stages: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TimeElapsedColumn

from cli.terminal.console import PlainColumn, SafeConsole, say
from flows.progress import Reporter

PLAIN_EVERY = 20.0
"""Minimum seconds between two plain lines of a stage."""


def make_reporter(console: SafeConsole) -> BarReporter | PlainReporter:
    return BarReporter(console) if console.is_terminal else PlainReporter(console)


class BarReporter(Reporter):
    """One bar per stage, which also moves within a batch."""

    def __init__(self, console: SafeConsole) -> None:
        self._console = console
        self._progress = Progress(
            PlainColumn("{task.description:<22}"),
            BarColumn(),
            MofNCompleteColumn(),
            PlainColumn("batches {task.fields[note]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._task: TaskID | None = None
        self._done = self._cached = 0
        self._spent = ""

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def stage_started(self, stage: str, round: int, batches: int) -> None:
        self._done = self._cached = 0
        self._spent = ""
        self._task = self._progress.add_task(_title(stage, round), total=batches, note="")

    def progressed(self, done: int, total: int) -> None:
        if self._task is not None:
            note = f"({done}/{total} in this one)" if total > 1 and done < total else ""
            note = f"{note} {self._spent}".strip()
            self._progress.update(self._task, completed=self._done + done / max(total, 1), note=note)

    def batch_done(self, cached: bool) -> None:
        self._done += 1
        self._cached += cached
        if self._task is not None:
            note = f"({self._cached} cached)" if self._cached else ""
            note = f"{note} {self._spent}".strip()
            self._progress.update(self._task, completed=self._done, note=note)

    def log(self, line: str) -> None:
        say(self._console, line)

    def spent_so_far(self, spent: str) -> None:
        self._spent = spent

    def stage_ended(self, failed: bool) -> None:
        if self._task is not None:
            self._progress.stop_task(self._task)
            if failed:
                self._progress.update(self._task, note="failed")
        self._task = None


class PlainReporter(Reporter):
    """A line when a stage starts and ends, and every PLAIN_EVERY seconds between."""

    def __init__(self, console: SafeConsole) -> None:
        self._console = console
        self._title = self._spent = ""
        self._done = self._cached = self._batches = 0
        self._began = self._said = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to restore."""

    def stage_started(self, stage: str, round: int, batches: int) -> None:
        self._title, self._batches, self._spent = _title(stage, round), batches, ""
        self._done = self._cached = 0
        self._began = self._said = time.monotonic()
        self._say(f"{batches} batches")

    def progressed(self, done: int, total: int) -> None:
        if time.monotonic() - self._said > PLAIN_EVERY:
            spent = f"; {self._spent}" if self._spent else ""
            self._say(f"{self._done}/{self._batches} batches, {done}/{total} in the next{spent}")

    def batch_done(self, cached: bool) -> None:
        self._done += 1
        self._cached += cached
        if time.monotonic() - self._said > PLAIN_EVERY:
            self._say(f"{self._done}/{self._batches} batches")

    def log(self, line: str) -> None:
        self._say(line)

    def spent_so_far(self, spent: str) -> None:
        self._spent = spent

    def stage_ended(self, failed: bool) -> None:
        if not self._title:  # it failed before it began: the error says why
            return
        seconds = time.monotonic() - self._began
        how = "failed" if failed else "done"
        self._say(f"{how} after {seconds:.1f} s, {self._cached} of {self._done} batches from the cache")
        self._title = ""

    def _say(self, line: str) -> None:
        self._said = time.monotonic()
        title = f"{self._title}: " if self._title else ""
        say(self._console, f"{title}{line}")


def _title(stage: str, round: int) -> str:
    return f"{stage} (round {round})" if round > 1 else stage
