"""Texts as GitHub-flavoured markdown. Whatever comes from models, worlds and settings is shown literally: it cannot
become markup, HTML or another table cell. Only a whole address, such as http://example.org, becomes a link to itself in
V2, which looks for those after everything else."""

from __future__ import annotations

import base64
import re

from flows.summary.table import Table
from flows.wording import visible

_SPECIAL = re.compile(r"[\\`*_{}\[\]<>#!|~&$^\"@]|:(?=//)|(?<=www)\.", re.IGNORECASE)
"""What could be markup, or begin a link. It is escaped by a backslash: V1 shows most entities as they are written."""
_NO_CODE = re.compile(r"[`|]")
_MARKER = re.compile(r"^(\d*)([-+=.)])")


def inline(text: str) -> str:
    """A text within a line or a table cell."""
    return _SPECIAL.sub(r"\\\g<0>", _one_line(text))


def line(text: str) -> str:
    """A text that begins a line: it cannot begin a list, or underline what is above it, either."""
    return _MARKER.sub(r"\1\\\2", inline(text))


def code(text: str) -> str:
    """A short text, such as an action or an id, as code; as plain text where it holds what ends code or a cell."""
    plain = _one_line(text)
    return f"`{plain}`" if plain and not _NO_CODE.search(plain) else inline(plain)


def block(text: str, language: str = "") -> str:
    """A fenced block of code. Its fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{visible(text)}\n{fence}"


def quoted(text: str) -> str:
    """A text of several lines as a quotation."""
    return "\n".join(f"> {line(each)}  " for each in text.splitlines() if each.strip()) or "> (nothing)"


def table(content: Table) -> str:
    """A table under its title; a line where it has no rows."""
    title = f"### {inline(content.title)}\n\n" if content.title else ""
    if not content.rows:
        return f"{title}none"
    head = [inline(heading) for heading in (*content.left, *content.right)]
    align = [*("---" for _ in content.left), *("---:" for _ in content.right)]
    rows = [head, align, *([inline(cell) for cell in row] for row in content.rows)]
    drawn = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    notes = "".join(f"\n\n{line(note)}" for note in content.notes)
    return f"{title}{drawn}{notes}"


def picture(png: bytes, what: str) -> str:
    """A PNG in the page itself. `what` is said where it is not drawn."""
    return f"![{inline(what)}](data:image/png;base64,{base64.b64encode(png).decode()})"


def label(*lines: str) -> str:
    """The text of a node in a Mermaid drawing, within its quotation marks."""
    return "<br>".join(
        re.sub(r"[^\w .,%()+/-]", lambda found: f"#{ord(found[0])};", _one_line(each)) for each in lines
    )


def _one_line(text: str) -> str:
    return " ".join(visible(text).split())


def joined(*parts: str) -> str:
    """The parts of a page, with empty ones left out."""
    return "\n\n".join(part for part in parts if part)
