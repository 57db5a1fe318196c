"""Ids made from content: the same content has the same id in every process and on every machine."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from storage.faults import StorageFault

ID_LENGTH = 16
"""Hex digits: 64 bits. The chance of a collision among 10 million ids is 3e-6, and an ingest would set one aside."""


def content_id(*parts: object) -> str:
    """The first ID_LENGTH digits of the SHA-256 of the parts as JSON.

    Parts are JSON values: None, bool, int, finite float, str, lists, tuples (as lists), dicts with string keys. Raises
    StorageFault for anything else: a set has no order, an object no stable text.
    """
    for part in parts:
        _refuse_unstable(part)
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:ID_LENGTH]


def digest_bytes(data: bytes) -> str:
    """The whole SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def digest_file(file: Path) -> str:
    """The same of a file of any size."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _refuse_unstable(part: object) -> None:
    if part is None or isinstance(part, (bool, int, str)):
        return
    if isinstance(part, float):
        if part != part or part in (float("inf"), float("-inf")):
            raise StorageFault(f"an id cannot be made of {part}: give finite numbers")
    elif isinstance(part, (list, tuple)):
        for item in part:
            _refuse_unstable(item)
    elif isinstance(part, dict):
        for key, value in part.items():
            if not isinstance(key, str):
                raise StorageFault(
                    f"an id cannot be made of a dict with the key {key!r}: keys must be strings"
                )
            _refuse_unstable(value)
    else:
        raise StorageFault(
            f"an id cannot be made of a {type(part).__name__}: give JSON values (of a pydantic model its model_dump)"
        )
