"""What a file holds before anybody knows whether it is a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environments.recorded.forms import NotARun, kind_of

MOST_BYTES = 64 << 20
"""A run of more bytes is set aside unread: this keeps memory flat."""
SHOWN_BYTES = 1000
"""So many bytes are kept of a run that is too long."""
TOO_LONG = f"is longer than {MOST_BYTES >> 20} MiB, and is not read"


@dataclass(frozen=True, slots=True)
class Raw:
    """A piece of a file that should be one run. `line`: where it begins, from 1 (in Parquet: the row). `text`: its
    bytes as they are in the file, or `row`, where the file holds no JSON. `problem`: why it cannot be read at all.
    `end`: how many bytes of the file were read when it was found. `element`: its number in an array, from 1."""

    file: Path
    line: int
    text: bytes = b""
    row: Mapping[str, Any] | None = None
    problem: str = ""
    end: int = 0
    element: int = 0

    @property
    def where(self) -> str:
        """Its place in the file, as a reader finds it."""
        if self.row is not None:
            return f"row {self.line:,}"
        return f"line {self.line:,}" + (f", element {self.element:,} of the array" if self.element else "")

    def kept(self) -> str:
        """Its text for the file of what is set aside. Bytes that are not UTF-8 become lone surrogates, as Python's
        surrogateescape makes them, so nothing is lost."""
        if self.row is not None:
            return json.dumps(self.row, default=str)
        return self.text.decode("utf-8", "surrogateescape")


def row_of(raw: Raw) -> Mapping[str, Any]:
    """The JSON object of a raw row. Raises NotARun for anything else, and for an object with a key twice, which readers
    read differently."""
    if raw.problem:
        raise NotARun(raw.problem)
    if raw.row is not None:
        return raw.row
    try:
        row = json.loads(raw.text.decode("utf-8"), object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        raise NotARun(f"is not UTF-8: byte {raw.text[error.start]:#04x} at place {error.start + 1}") from None
    except RecursionError:
        raise NotARun("is not JSON that can be read: it is nested too deeply") from None
    except json.JSONDecodeError as error:
        cut = "; its end is missing" if _is_cut(error) else ""
        raise NotARun(f"is not JSON: {error.msg} (character {error.pos + 1:,} of the run){cut}") from None
    except ValueError:
        raise NotARun("has a number with too many digits") from None
    if not isinstance(row, dict):
        raise NotARun(f"is {kind_of(row)} and not an object")
    return row


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise NotARun(f"has an object with the key {twice[:60]!r} twice")
    return found


def _is_cut(error: json.JSONDecodeError) -> bool:
    return error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string")
