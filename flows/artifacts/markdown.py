"""Texts as GitHub-flavoured markdown. Whatever comes from models, worlds and settings is shown literally: it cannot
become markup, HTML, a link or another table cell."""

from __future__ import annotations

import base64
import re

from flows.summary.table import Table
from flows.wording import visible

_SPECIAL = re.compile(r"[^\w ,()'+=%;/?.:\-]|_|:(?=//)|(?<=www)\.", re.IGNORECASE)
"""What could be markup, or make a link of an address."""
_NO_CODE = re.compile(r"[`|]")


def inline(text: str) -> str:
    """A text within a line or a table cell."""
    line = " ".join(visible(text).split())
    return _SPECIAL.sub(lambda found: f"&#{ord(found[0])};", line)


def code(text: str) -> str:
    """A short text, such as an action or an id, as code; as plain text where it holds what ends code or a cell."""
    line = " ".join(visible(text).split())
    return f"`{line}`" if line and not _NO_CODE.search(line) else inline(line)


def block(text: str, language: str = "") -> str:
    """A fenced block of code. Its fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{visible(text)}\n{fence}"


def quoted(text: str) -> str:
    """A text of several lines as a quotation."""
    return "\n".join(f"> {inline(line)}  " for line in text.splitlines() if line.strip()) or "> (nothing)"


def table(content: Table) -> str:
    """A table under its title; a line where it has no rows."""
    title = f"### {inline(content.title)}\n\n" if content.title else ""
    if not content.rows:
        return f"{title}none"
    head = [inline(heading) for heading in (*content.left, *content.right)]
    align = [*("---" for _ in content.left), *("---:" for _ in content.right)]
    lines = [head, align, *([inline(cell) for cell in row] for row in content.rows)]
    drawn = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    notes = "".join(f"\n\n{inline(note)}" for note in content.notes)
    return f"{title}{drawn}{notes}"


def picture(png: bytes, what: str) -> str:
    """A PNG in the page itself. `what` is said where it is not drawn."""
    return f"![{inline(what)}](data:image/png;base64,{base64.b64encode(png).decode()})"


def label(*lines: str) -> str:
    """The text of a node in a Mermaid drawing, within its quotation marks."""
    return "<br>".join(
        re.sub(r"[^\w .,%()+/-]", lambda found: f"#{ord(found[0])};", " ".join(visible(line).split()))
        for line in lines
    )


def joined(*parts: str) -> str:
    """The parts of a page, with empty ones left out."""
    return "\n\n".join(part for part in parts if part)
