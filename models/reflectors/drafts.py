"""Parses the thought and the action out of a language model's reply.

Servers may ignore the requested format, and models add explanations: the parser accepts a JSON object inside prose or a
code fence, with extra keys, and two labelled lines, with or without Markdown, inside other text.
"""

from __future__ import annotations

import re
from typing import Any

from models.asking.json_objects import json_objects
from models.reflectors.checks import Draft
from steca.turns import parse_turn

_LABEL = re.compile(
    r"^[ \t>#*_`-]*(?P<label>thought|action)[ \t*_`]*:[ \t*_`]*", re.IGNORECASE | re.MULTILINE
)
_MARKS = " \t*_"


def parse_draft(text: str) -> Draft | None:
    """The draft in a reply, the last one if it has several in JSON; None if it has neither form."""
    drafts = [draft for found in json_objects(text) if (draft := _draft_in(found))]
    if drafts:
        return drafts[-1]
    turn = parse_turn(_LABEL.sub(lambda label: f"{label['label'].capitalize()}: ", text))
    return Draft(turn[0].strip(_MARKS), turn[1].strip(_MARKS + "`\"'")) if turn else None


def _draft_in(found: dict[str, Any]) -> Draft | None:
    thought, action = found.get("thought"), found.get("action")
    if not (isinstance(thought, str) and isinstance(action, str)):
        return None
    return Draft(" ".join(thought.split()), action.strip())
