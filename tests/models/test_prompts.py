"""From steps to chat messages."""

from __future__ import annotations

import pytest

from models.prompts import messages
from steca.action_formats import REACT
from steca.types import Step, Turn

STEPS = [
    Step(
        REACT.text(Turn(f"t{i}", f"open box {i}")),
        f"t{i}",
        f"open box {i}",
        f"Box {i} is open.",
        True,
        "policy",
    )
    for i in range(3)
]


def test_without_a_briefing_it_is_observation_and_turn_by_turn() -> None:
    assert messages("A room.", STEPS[:1]) == [
        {"role": "user", "content": "A room."},
        {"role": "assistant", "content": "Thought: t0\nAction: open box 0"},
        {"role": "user", "content": "Box 0 is open."},
    ]


def test_a_briefing_comes_first_in_the_same_message_and_changes_nothing_else() -> None:
    plain, briefed = messages("A room.", STEPS), messages("A room.", STEPS, "Open all boxes.")
    assert briefed[0] == {"role": "user", "content": "Open all boxes.\n\nA room."}
    assert briefed[1:] == plain[1:]


@pytest.mark.parametrize("briefing", ["", "Open all boxes."])
def test_one_assistant_message_a_step_and_more_steps_only_add_messages(briefing: str) -> None:
    whole = messages("A room.", STEPS, briefing)
    assert [m["role"] for m in whole] == ["user", *["assistant", "user"] * 3]
    assert messages("A room.", STEPS[:2], briefing) == whole[:5]


def test_an_unparsable_turn_stands_as_it_was_written() -> None:
    odd = Step("blah", "", "", "Nothing happens.", False, "policy")
    assert messages("A room.", [odd])[1]["content"] == "blah"
