"""Files of rows: JSON Lines and Parquet. Equal rows give equal bytes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from storage.files import check_name, flush
from storage.ids import digest_file

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


Form = Literal["jsonl", "json", "parquet", "sessions"]
"""How rows lie in a part. json: one array. sessions: a folder with one file of JSON Lines a row."""
SUFFIX_OF_FORM: dict[Form, str] = {"jsonl": ".jsonl", "json": ".json", "parquet": ".parquet", "sessions": ""}


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


class JsonArray:
    def __init__(self, path: Path) -> None:
        self.size = 0
        self._file = path.open("wb")

    def add(self, row: dict[str, Any], characters: int) -> None:
        self.size += self._file.write((b",\n" if self.size else b"[\n") + json_line(row)[:-1])

    def close(self) -> None:
        self._file.write(b"\n]\n" if self.size else b"[]\n")
        self._file.close()


class Sessions:
    """A row has the name of its file, `id`, and its `lines`."""

    LEAST = 1 << 14
    """A file counts as at least so many bytes: a folder then has some thousands of files at most."""

    def __init__(self, path: Path) -> None:
        self.size = 0
        self._folder = path
        path.mkdir()

    def add(self, row: dict[str, Any], characters: int) -> None:
        data = b"".join(map(json_line, row["lines"]))
        (self._folder / check_name("file of a session", f"{row['id']}.jsonl")).write_bytes(data)
        self.size += max(len(data), self.LEAST)

    def close(self) -> None:
        """Every file is whole already."""


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


def part_file(path: Path, form: Form, schema: pa.Schema | None = None) -> PartFile:
    """A new file of rows. `schema`: the columns of Parquet."""
    if form == "parquet":
        return ParquetRows(path, schema)
    makers: dict[Form, type[JsonLines] | type[JsonArray] | type[Sessions]] = {
        "jsonl": JsonLines,
        "json": JsonArray,
        "sessions": Sessions,
    }
    return makers[form](path)


def files_of(path: Path) -> list[Path]:
    """The file, or the files of the folder, in the order of their names."""
    return sorted(path.iterdir()) if path.is_dir() else [path]


def flush_all(paths: Iterable[Path]) -> None:
    """`flush` for many, at once: the disk then writes its journal for all together, some 30 times as fast."""
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(flush, paths))


def size_of(path: Path) -> int:
    return sum(file.stat().st_size for file in files_of(path))


def digest(path: Path) -> str:
    """SHA-256 of a file in hex; of a folder, that of the names and digests of its files, one a line."""
    if not path.is_dir():
        return digest_file(path)
    lines = "".join(f"{digest(file)}  {file.name}\n" for file in files_of(path))
    return hashlib.sha256(lines.encode()).hexdigest()
