"""JSON objects inside a language model's reply: alone, in prose or in a code fence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

_DECODER = json.JSONDecoder(strict=False)  # models put line breaks inside strings


def json_objects(text: str) -> Iterator[dict[str, Any]]:
    """Every JSON object in a text, nested ones too. The names of their fields are in lower case."""
    place = text.find("{")
    while place >= 0:
        try:
            found, end = _DECODER.raw_decode(text, place)
            yield from _nested(found)
        except (ValueError, RecursionError):
            end = place + 1
        place = text.find("{", end)


def _nested(found: Any) -> Iterator[dict[str, Any]]:
    if isinstance(found, dict):
        yield {name.lower(): value for name, value in found.items()}
    for inner in found.values() if isinstance(found, dict) else found if isinstance(found, list) else ():
        yield from _nested(inner)
