"""A thought and an action are found in whatever a model wrapped them."""

from __future__ import annotations

import json

import pytest

from models.reflectors.checks import Draft
from models.reflectors.drafts import parse_draft

WANTED = Draft("So it is.", "open box 1")
REPLY = json.dumps({"thought": "So\nit is.", "action": " open box 1 "})
LINES = "Thought: So it is.\nAction: open box 1"

FORMS = [
    REPLY,
    f"```json\n{REPLY}\n```",
    f"Sure! Here is the thought:\n\n```json\n{REPLY}\n```\n\nLet me know {{if}} you want another.",
    f"```\n{REPLY}\n```",
    json.dumps({"thought": "So it is.", "action": "open box 1", "confidence": 0.9, "why": {"a": [1]}}),
    json.dumps({"Thought": "So it is.", "Action": "open box 1"}),
    json.dumps({"reflection": {"thought": "So it is.", "action": "open box 1"}}),
    json.dumps([{"thought": "So it is.", "action": "open box 1"}]),
    '{"thought": "So\nit is.", "action": "open box 1"}',
    f'The form is {{"thought": "...", "action": "..."}}. My answer: {REPLY}',
    "{" * 3000 + REPLY,
    LINES,
    f"{LINES}\n\nThis repairs the mistake.",
    f"Here it is:\n\n{LINES}\nObservation: You see a mug.",
    "**Thought:** So it is.\n**Action:** open box 1",
    "**Thought**: So it is.\n\n**Action**: `open box 1`",
    "- **Thought:** So it is.\n- **Action:** **open box 1**",
    "### Thought: So it is.\n### Action: open box 1",
    "> Thought: So it is.\n> Action: open box 1",
    "thought: So it is.\naction: open box 1",
    "__Thought:__ So it is.\r\n__Action:__ open box 1",
]


@pytest.mark.parametrize("text", FORMS)
def test_a_draft_is_found(text: str) -> None:
    assert parse_draft(text) == WANTED


@pytest.mark.parametrize(
    "text",
    [
        "",
        "So it is.",
        "{}",
        '{"thought": "x"}',
        "[1]",
        '{"thought": 1, "action": 2}',
        "My thought is: open box 1",
        "{",
    ],
)
def test_where_there_is_none_none_is_found(text: str) -> None:
    assert parse_draft(text) is None


def test_deep_nesting_is_no_draft_and_no_error() -> None:
    assert parse_draft('{"a":' * 5000) is None


def test_a_thought_keeps_its_quotes() -> None:
    assert parse_draft("Thought: I need the 'mug'\nAction: look") == Draft("I need the 'mug'", "look")
