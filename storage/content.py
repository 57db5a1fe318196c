"""What a set of rows holds, whatever files it is cut into: a digest without order, which adds up.

The digest of a set is the sum of its rows' SHA-256 modulo 2^256, so the digest of two batches is the sum of theirs,
and rows that are cut into other batches give the same one. Empty fields do not count: a column that a later version
adds leaves the digest of rows that do not use it as it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from storage.records import Record

_MODULUS = 1 << 256
_DIGITS = 64


def content_of(rows: Iterable[Record]) -> str:
    """The digest of rows, 64 hex digits."""
    return _hex(sum(_number(row) for row in rows))


def added(contents: Iterable[str]) -> str:
    """The digest of several sets together."""
    return _hex(sum(int(content, 16) for content in contents))


def _number(row: Record) -> int:
    text = f"{row.table}\0{row.model_dump_json(exclude_none=True)}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest())


def _hex(number: int) -> str:
    return f"{number % _MODULUS:0{_DIGITS}x}"
