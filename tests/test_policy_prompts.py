"""From steps to chat messages."""

from __future__ import annotations

import pytest

from models.prompts import messages
from steca.types import Step, Turn

STEPS = [
    Step(Turn(f"t{i}", f"open box {i}").text, f"t{i}", f"open box {i}", f"Box {i} is open.", True, "policy")
    for i in range(3)
]


def test_plain_is_observation_and_turn_by_turn() -> None:
    assert messages("A room.", STEPS[:1]) == [
        {"role": "user", "content": "A room."},
        {"role": "assistant", "content": "Thought: t0\nAction: open box 0"},
        {"role": "user", "content": "Box 0 is open."},
    ]


def test_react_explains_actions_and_form_before_the_first_observation() -> None:
    first = messages("A room.", STEPS, "react")[0]["content"]
    assert first.endswith("\n\nA room.")
    for part in (
        "Thought:",
        "Action:",
        "put {object} in/on {receptacle}",
        "move {object} to {receptacle}",
        "look",
    ):
        assert part in first


@pytest.mark.parametrize("style", ["plain", "react"])
def test_one_assistant_message_a_step_and_more_steps_only_add_messages(style) -> None:
    whole = messages("A room.", STEPS, style)
    assert [m["role"] for m in whole] == ["user", *["assistant", "user"] * 3]
    assert messages("A room.", STEPS[:2], style) == whole[:5]


def test_an_unparsable_turn_stands_as_it_was_written() -> None:
    odd = Step("blah", "", "", "Nothing happens.", False, "policy")
    assert messages("A room.", [odd])[1]["content"] == "blah"
