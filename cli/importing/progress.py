"""How far an import is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, TimeElapsedColumn

from cli.terminal.console import PlainColumn, SafeConsole, say
from flows.wording import counted
from formats.importing.importing import Imported
from formats.importing.rows import Raw
from steca.vocabulary import Progress as Told

EVERY = 10.0
"""Without a terminal, seconds between two lines."""


class ImportProgress:
    """Counts bytes of the files: how many runs they hold is not known before the end."""

    def __init__(self, out: SafeConsole, files: Sequence[Path]) -> None:
        self._out = out
        sizes = [path.stat().st_size if path.exists() else 0 for path in files]
        self._before = {path: sum(sizes[:number]) for number, path in enumerate(files)}
        self._total, self._told = sum(sizes), time.monotonic()
        columns = (PlainColumn("{task.description:<22}"), BarColumn(), PlainColumn("{task.fields[note]}"))
        self._bars = Progress(*columns, TimeElapsedColumn(), console=out, disable=not out.is_terminal)
        self._reading = self._bars.add_task("reading and playing", total=self._total, note="")

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def read(self, raw: Raw, so_far: Imported) -> None:
        """A run was read, and played if it belongs to a task."""
        done = self._before.get(raw.file, 0) + raw.end
        note = f"{so_far.kept:,} of {counted(so_far.read, 'run')} kept"
        self._bars.update(self._reading, completed=done, note=note)
        self._say(f"{note}, {100 * done // max(1, self._total)} % of the input read")

    def first_observations(self) -> Told:
        """What to tell how many tasks were started, to see what they begin with."""
        bar = self._bars.add_task("starting tasks", total=None, note="to see what they begin with")

        def told(done: int, total: int) -> None:
            self._bars.update(bar, completed=done, total=total)
            self._say(f"{done:,} of {total:,} tasks started, to see what they begin with")

        return told

    def _say(self, line: str) -> None:
        if not self._out.is_terminal and time.monotonic() - self._told >= EVERY:
            self._told = time.monotonic()
            say(self._out, line)
