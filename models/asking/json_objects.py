"""JSON objects inside a language model's reply: alone, in prose or in a code fence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

_DECODER = json.JSONDecoder(strict=False)  # models put line breaks inside strings

MOST, DEEP = 4_000_000, 20_000
"""Letters that are read in vain before it is given up, and as how many too deep a nesting counts: a model that repeats
itself may open an object thousands of times."""


def json_objects(text: str) -> Iterator[dict[str, Any]]:
    """Every JSON object in a text, nested ones too. The names of their fields are in lower case."""
    place, effort = text.find("{"), 0
    while place >= 0 and effort < MOST:
        try:
            found, end = _DECODER.raw_decode(text, place)
            yield from _nested(found)
        except (
            ValueError,
            RecursionError,
        ) as error:  # a number of 5,000 digits is a ValueError of another kind
            end = place + 1
            effort += error.pos - place if isinstance(error, json.JSONDecodeError) else DEEP
        place = text.find("{", end)


def _nested(found: Any) -> Iterator[dict[str, Any]]:
    if isinstance(found, dict):
        yield {name.lower(): value for name, value in found.items()}
    for inner in found.values() if isinstance(found, dict) else found if isinstance(found, list) else ():
        yield from _nested(inner)
