"""Files of rows: JSON Lines and Parquet. Equal rows give equal bytes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP = 8 << 20
"""Bytes of text in a row group of a Parquet file."""
_UNSEEN = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
"""Characters that break lines for some readers, or reorder text in an editor. As escapes they are the same text."""


def json_line(row: dict[str, Any]) -> bytes:
    """A row as one line. Letters stay letters; control characters and those of `_UNSEEN` are escaped."""
    text = json.dumps(row, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    if not text.isascii() or "\x7f" in text:
        text = _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return text.encode() + b"\n"


class PartFile(Protocol):
    """A file that rows are added to. `size`: bytes of text so far."""

    size: int

    def add(self, row: dict[str, Any], characters: int) -> None: ...

    def close(self) -> None:
        """Write what is left. The file is whole only then."""
        ...


class JsonLines:
    def __init__(self, path: Path) -> None:
        self.size = 0
        self._file = path.open("wb")

    def add(self, row: dict[str, Any], characters: int) -> None:
        self.size += self._file.write(json_line(row))

    def close(self) -> None:
        self._file.close()


class ParquetRows:
    """One row group at a time is in memory."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.size = self._waiting = 0
        self._schema, self._rows = schema, list[dict[str, Any]]()
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")

    def add(self, row: dict[str, Any], characters: int) -> None:
        self._rows.append(row)
        self.size += characters
        self._waiting += characters
        if self._waiting >= ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, self._schema))
        self._rows, self._waiting = [], 0

    def close(self) -> None:
        self._flush()
        self._writer.close()


def part_file(path: Path, schema: pa.Schema | None) -> PartFile:
    """A new file: Parquet with these columns, or JSON Lines."""
    return JsonLines(path) if schema is None else ParquetRows(path, schema)
