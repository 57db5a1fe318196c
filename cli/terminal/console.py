"""Output to the terminal: the only place that makes consoles, texts and columns.

Errors, folder names, cells and notes come from outside. Here they are plain text: no markup, no emoji codes, and
control characters (which could colour, move or overwrite output) are escaped, as \\x1b.
"""

from __future__ import annotations

import sys
from typing import IO, Any

from rich.console import Console
from rich.progress import TextColumn
from rich.text import Text

from flows.wording import visible

PIPE_WIDTH = 10_000
"""Width of a console without a terminal."""


class SafeConsole(Console):
    """A console that prints every string literally, also in tables, rules and trees."""

    def render_str(self, text: str, **how: Any) -> Text:
        plain = {"markup": False, "emoji": False, "highlight": False}
        return super().render_str(visible(text), **{**how, **plain})


def make_console(file: IO[str] | None = None, width: int | None = None, **more: Any) -> SafeConsole:
    """A console on stdout, or on `file`."""
    return SafeConsole(file=file, width=width, markup=False, emoji=False, highlight=False, **more)


def console() -> SafeConsole:
    """A console as wide as the terminal. Without a terminal (a pipe, a file) nothing is cut."""
    return make_console(width=None if sys.stdout.isatty() else PIPE_WIDTH)


def say(out: SafeConsole, line: str) -> None:
    """Print a line literally, not wrapped at the width of the terminal."""
    out.print(text(line), soft_wrap=True)


def text(line: str, **how: Any) -> Text:
    """A string as rich's Text; `how` goes to its constructor."""
    return Text(visible(line), **how)


class PlainColumn(TextColumn):
    """A column of a progress bar, with a task's fields as plain text."""

    def __init__(self, text_format: str) -> None:
        super().__init__(text_format, markup=False)

    def render(self, task: Any) -> Text:
        return text(self.text_format.format(task=task), style=self.style, justify=self.justify)
