"""Finds the thought and the action in what a language model wrote, in whatever it wrapped them.

Servers may ignore the form that was asked for, and models explain themselves: a JSON object in prose or in a fence,
with further keys; or two lines, in Markdown or not, with more text around them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from models.reflectors.checks import Draft
from steca.turns import parse_turn

_READER = json.JSONDecoder(strict=False)  # models break lines inside strings
_LABEL = re.compile(
    r"^[ \t>#*_`-]*(?P<label>thought|action)[ \t*_`]*:[ \t*_`]*", re.IGNORECASE | re.MULTILINE
)
_MARKS = " \t*_"


def draft_of(text: str) -> Draft | None:
    """What a reply proposes, the last proposal where there are several in JSON; None where it has neither form."""
    proposals = [draft for found in _objects(text) if (draft := _proposed(found))]
    if proposals:
        return proposals[-1]
    turn = parse_turn(_LABEL.sub(lambda label: f"{label['label'].capitalize()}: ", text))
    return Draft(turn[0].strip(_MARKS), turn[1].strip(_MARKS + "`\"'")) if turn else None


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Every JSON object in a text, the inner ones too."""
    place = text.find("{")
    while place >= 0:
        try:
            found, end = _READER.raw_decode(text, place)
            yield from _within(found)
        except (ValueError, RecursionError):
            end = place + 1
        place = text.find("{", end)


def _within(found: Any) -> Iterator[dict[str, Any]]:
    if isinstance(found, dict):
        yield found
    for inner in found.values() if isinstance(found, dict) else found if isinstance(found, list) else ():
        yield from _within(inner)


def _proposed(found: dict[str, Any]) -> Draft | None:
    parts = {name.lower(): value for name, value in found.items()}
    thought, action = parts.get("thought"), parts.get("action")
    if not (isinstance(thought, str) and isinstance(action, str)):
        return None
    return Draft(" ".join(thought.split()), action.strip())
