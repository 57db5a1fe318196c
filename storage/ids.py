"""Content ids: the same work has the same name, whoever does it and however often."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from storage.faults import StorageFault

ID_LENGTH = (
    16  # 64 bits: a collision among 10 million ids has a chance of 3e-6, and ingest would set one aside
)


def content_id(*parts: object) -> str:
    """A short sha256 of the parts, the same in every process and on every machine.

    Parts are JSON values (None, bool, int, finite float, str, lists, tuples, dicts with string keys; a tuple
    counts as a list). Anything else raises StorageFault: a set has no order and an object no stable text.
    """
    for part in parts:
        _refuse_unstable(part)
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:ID_LENGTH]


def digest_bytes(data: bytes) -> str:
    """The whole sha256, in hex."""
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    """The whole sha256 of a file, in hex. Raises StorageFault where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StorageFault(f"cannot read {path}: {error.strerror}") from error


def _refuse_unstable(part: object) -> None:
    if part is None or isinstance(part, (bool, int, str)):
        return
    if isinstance(part, float):
        if part != part or part in (float("inf"), float("-inf")):
            raise StorageFault(f"an id cannot be made of {part}: give it finite numbers")
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
            f"an id cannot be made of a {type(part).__name__}: give it JSON values (a pydantic model: its model_dump)"
        )
