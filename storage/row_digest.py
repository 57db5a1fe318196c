"""A digest of a set of rows that does not depend on their order or on the batches that hold them.

It is the sum of the rows' SHA-256 modulo 2^256, so the digest of several batches is the sum of their digests. Fields
that are None are left out: a column that a later version adds does not change the digest of rows without it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from storage.records import Record

_MODULUS = 1 << 256
_DIGITS = 64


def digest_of_rows(rows: Iterable[Record]) -> str:
    """The digest of rows, 64 hex digits."""
    return _hex(sum(_number(row) for row in rows))


def sum_of(contents: Iterable[str]) -> str:
    """The digest of several sets together, from their digests."""
    return _hex(sum(int(content, 16) for content in contents))


def _number(row: Record) -> int:
    text = f"{row.table}\0{row.model_dump_json(exclude_none=True)}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest())


def _hex(number: int) -> str:
    return f"{number % _MODULUS:0{_DIGITS}x}"
