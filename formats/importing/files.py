"""The files that runs come in, as raw rows: JSONL, a JSON array, one JSON object (each also in gzip), and Parquet.

What a file is, is seen from its first bytes, not from its name. It is read as a stream.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from environments.base import EnvironmentFault
from formats.importing.array import elements
from formats.importing.own_exports import data_of, refuse_exports_without_kinds
from formats.importing.rows import MOST_BYTES, SHOWN_BYTES, TOO_LONG, Raw
from storage.sql.schema import one_line

BOM = b"\xef\xbb\xbf"
Text = io.BufferedReader | gzip.GzipFile
WIDE = {b"\xff\xfe": "UTF-16LE", b"\xfe\xff": "UTF-16BE"}


SUFFIXES = (".jsonl", ".json", ".gz", ".parquet", ".ndjson")
"""Of a folder, the files with these names."""


def files_in(paths: Iterable[Path]) -> list[Path]:
    """The files, and those in the folders, in order; of an export of ours, its data. Raises EnvironmentFault for a
    folder without any, and for an export that does not say whose run a row is."""
    found: list[Path] = []
    for path in map(data_of, paths):
        inside = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
        if path.is_dir() and not inside:
            raise EnvironmentFault(
                f"{path}: this folder has no file named {', '.join(f'*{s}' for s in SUFFIXES)}"
            )
        found += inside if path.is_dir() else [path]
    refuse_exports_without_kinds(found)
    return found


def raw_rows(path: Path) -> Iterator[Raw]:
    """The rows of a file. Raises EnvironmentFault for one that cannot be opened, or of another kind."""
    try:
        with path.open("rb") as file:
            head = file.read(4)
            file.seek(0)
            if head == b"PAR1":
                yield from _parquet(path)
            elif head[:2] == b"\x1f\x8b":
                yield from _unzipped(path, file)
            else:
                yield from _text_rows(path, file, file)
    except OSError as error:
        raise EnvironmentFault(f"{path}: cannot be read: {error.strerror or one_line(error)}") from None


def _unzipped(path: Path, file: IO[bytes]) -> Iterator[Raw]:
    """A damaged file is read as far as it goes."""
    last = Raw(path, 0)
    try:
        with gzip.open(file) as inner:
            for last in _text_rows(path, inner, file):
                yield last
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        yield Raw(path, last.line + 1, problem=f"cannot be unpacked: {error}; nothing after it was read")


def _text_rows(path: Path, text: Text, file: IO[bytes]) -> Iterator[Raw]:
    """`file`: what `text` comes from, to tell how far it was read."""
    head = text.peek(4)
    if head[:2] in WIDE:
        raise EnvironmentFault(
            f"{path}: is {WIDE[head[:2]]} and not UTF-8: convert it, e.g. iconv -f {WIDE[head[:2]]} -t UTF-8"
        )
    if head.startswith(BOM):
        text.read(len(BOM))
    start = text.peek(1)[:4096].lstrip()
    if b"\x00" in start and not any(line.lstrip()[:1] in (b"{", b"[") for line in start.splitlines()):
        raise EnvironmentFault(
            f"{path}: is not text (it begins with the bytes {head[:4].hex(' ')}): give JSONL, a JSON array, either in "
            "gzip, or Parquet"
        )
    if start[:1] == b"[":
        for number, (line, element, problem) in enumerate(elements(text), start=1):
            yield replace(_raw(path, line, element, problem, file.tell()), element=number)
        return
    yield from _lines(path, text, file)


def _lines(path: Path, text: Text, file: IO[bytes]) -> Iterator[Raw]:
    number = 0
    while line := text.readline(MOST_BYTES + 1):
        number += 1
        if len(line) > MOST_BYTES:
            _skip_line(text, line)
            yield _raw(path, number, line, TOO_LONG, file.tell())
        elif number == 1 and line.strip() == b"{" and text.peek(1)[:1].isspace():
            yield _one_object(path, line, text, file)
            return
        elif line.strip():
            yield Raw(path, number, line.rstrip(b"\r\n"), end=file.tell())


def _one_object(path: Path, first: bytes, text: Text, file: IO[bytes]) -> Raw:
    """The whole file, which is one object over several lines, as ATIF files often are."""
    whole = first + text.read(MOST_BYTES)
    return _raw(path, 1, whole, TOO_LONG if text.peek(1) else "", file.tell())


def _skip_line(text: Text, line: bytes) -> None:
    while line and not line.endswith(b"\n"):
        line = text.readline(1 << 20)


def _raw(path: Path, line: int, text: bytes, problem: str, end: int) -> Raw:
    return Raw(path, line, text[:SHOWN_BYTES] if problem == TOO_LONG else text, problem=problem, end=end)


def _parquet(path: Path) -> Iterator[Raw]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            number, total = 0, max(1, file.metadata.num_rows)
            for batch in file.iter_batches(batch_size=64):
                for row in batch.to_pylist():
                    number += 1
                    yield Raw(path, number, row=_plain(row), end=path.stat().st_size * number // total)
    except pyarrow.ArrowException as error:
        raise EnvironmentFault(f"{path}: is no Parquet file that can be read: {one_line(error)}") from None


def _plain(value: Any) -> Any:
    """Without fields that are null: in Parquet, all rows have all fields."""
    if isinstance(value, dict):
        return {name: _plain(field) for name, field in value.items() if field is not None}
    return [_plain(each) for each in value] if isinstance(value, list) else value
