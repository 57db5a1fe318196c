"""Progress of a comparison: one line for each arm and seed that is running."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager

from rich.progress import BarColumn, Progress, TaskID, TimeElapsedColumn

from cli.compare.worker import Event
from cli.terminal.console import PlainColumn, SafeConsole, say
from flows.reporting.progress import EVERY_SECONDS

Key = tuple[int, str]


def make_display(console: SafeConsole) -> ComparisonDisplay:
    """Moving lines on a terminal, printed ones elsewhere."""
    return MovingLines(console) if console.is_terminal else ComparisonDisplay(console)


class ComparisonDisplay(AbstractContextManager["ComparisonDisplay"]):
    """A printed line when an arm starts, one every EVERY_SECONDS seconds or more while it runs, and one at its end."""

    def __init__(self, console: SafeConsole) -> None:
        self._console = console
        self._began: dict[Key, float] = {}
        self._said: dict[Key, float] = {}

    def __exit__(self, *error: object) -> None:
        """Nothing to restore."""

    def shows(self, seed: int, event: Event) -> None:
        """Show an event of one arm of one seed."""
        key = seed, event.arm
        began = self._began.setdefault(key, time.monotonic())
        if event.kind == "running":
            self.moves(key, event)
            return
        self.ends(key)
        minutes = (time.monotonic() - began) / 60
        how = f"done after {minutes:.1f} min, run {event.said}" if event.kind == "done" else "failed"
        say(
            self._console, f"{self.title(key)}: {how}" + (f": {event.said}" if event.kind == "failed" else "")
        )

    def title(self, key: Key) -> str:
        return f"seed {key[0]}, {key[1]}"

    def moves(self, key: Key, event: Event) -> None:
        """Show how far an arm is."""
        if time.monotonic() - self._said.get(key, 0.0) > EVERY_SECONDS:
            self._said[key] = time.monotonic()
            say(self._console, f"{self.title(key)}: {event.stage} {position(event)}".rstrip())

    def ends(self, key: Key) -> None:
        """Remove the line of an arm."""


class MovingLines(ComparisonDisplay):
    """A bar for the stage that each running arm is at."""

    def __init__(self, console: SafeConsole) -> None:
        super().__init__(console)
        self._progress = Progress(
            PlainColumn("{task.description:<28}"),
            PlainColumn("{task.fields[stage]:<14}"),
            BarColumn(bar_width=20),
            PlainColumn("{task.fields[position]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._tasks: dict[Key, TaskID] = {}

    def __enter__(self) -> MovingLines:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def moves(self, key: Key, event: Event) -> None:
        if key not in self._tasks:
            self._tasks[key] = self._progress.add_task(self.title(key), total=0, stage="", position="")
        total = max(event.total, 1)
        self._progress.update(
            self._tasks[key],
            completed=event.done,
            total=total,
            stage=event.stage,
            position=position(event),
        )

    def ends(self, key: Key) -> None:
        if key in self._tasks:
            self._progress.remove_task(self._tasks.pop(key))


def position(event: Event) -> str:
    """How far the stage of an event is: `0/1 batches, 142 of 500 training steps of the next`."""
    within = f", {event.within} of the next" if event.within else ""
    return f"{int(event.done)}/{event.total} batches{within}" if event.total else ""
