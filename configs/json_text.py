"""JSON from outside: what is nested too deeply to be read is an error like any other."""

from __future__ import annotations

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text. Raises ValueError for everything that is none, which Python's parser does not: where
    lists or objects are nested too deeply it raises RecursionError."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("its lists or objects are nested too deeply") from None
