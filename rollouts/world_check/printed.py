"""What a world prints while it is checked: kept from the terminal, and told in one line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from tempfile import TemporaryFile
from typing import IO

from rollouts.world_check.finding import Finding

SHOWN = 80
"""So many characters of a printed line are shown."""


class Printed:
    """Standard output as a file. (What other processes write to the terminal themselves is not caught.)"""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def instead(self) -> AbstractContextManager[object]:
        """Standard output goes to the file."""
        return redirect_stdout(self._file)

    def noted(self, findings: Iterable[Finding]) -> Iterator[Finding]:
        """The findings, each made with standard output in the file; at the end one about what is there."""
        left = iter(findings)
        while True:
            with self.instead():
                finding = next(left, None)
            if finding is None:
                break
            yield finding
        yield from self._finding()

    def _finding(self) -> Iterator[Finding]:
        self._file.seek(0)
        lines, example = 0, ""
        for line in self._file:
            lines += 1
            example = example or line.strip()[:SHOWN]
        if lines:
            told = "1 line" if lines == 1 else f"{lines:,} lines"
            yield Finding("standard output", "note", f"prints to standard output: {told}, e.g. {example!r}")


@contextmanager
def printed_elsewhere() -> Iterator[Printed]:
    """A place for what is printed, which is gone at the end."""
    with TemporaryFile("w+", encoding="utf-8", errors="backslashreplace") as file:
        yield Printed(file)
