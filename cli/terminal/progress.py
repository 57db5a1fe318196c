"""Progress of the stages: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from functools import partial
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TimeElapsedColumn

from cli.terminal.console import PlainColumn, SafeConsole, make_console, say
from flows.reporting.progress import Ending, LineReporter, Reporter, title_of


def counting_bar(what: str) -> Progress:
    """A bar on stderr that counts `what`, such as "rows", and leaves nothing behind; silent without a terminal."""
    return Progress(
        PlainColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        PlainColumn(what),
        TimeElapsedColumn(),
        console=make_console(sys.stderr),
        transient=True,
        disable=not sys.stderr.isatty(),
    )


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
        self._task = self._progress.add_task(title_of(stage, round), total=batches, note="")

    def progressed(self, done: int, total: int, parts: str, batches: int) -> None:
        if self._task is not None:
            which = "this one" if batches == 1 else f"these {batches}"
            note = f"({done}/{total} {parts} of {which})" if total > 1 and done < total else ""
            note = f"{note} {self._spent}".strip()
            completed = self._done + batches * done / max(total, 1)
            self._progress.update(self._task, completed=completed, note=note)

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

    def stage_ended(self, how: Ending) -> None:
        if self._task is not None:
            self._progress.stop_task(self._task)
            if how != "done":
                self._progress.update(self._task, note=how)
        self._task = None


class PlainReporter(LineReporter):
    """Plain lines on the console."""

    def __init__(self, console: SafeConsole) -> None:
        super().__init__(partial(say, console))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to restore."""
