"""Parsing turns: the ReAct form, and what does not fit it."""

from __future__ import annotations

import pytest

from steca.action_formats import REACT
from steca.turns import parse_turn
from steca.types import Turn


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Thought: I look.\nAction: look", ("I look.", "look")),
        ("  Thought:  I look.  \n\n  Action:   look  ", ("I look.", "look")),
        ("Thought: one\ntwo\nAction: look", ("one two", "look")),
        ("Thought:\nAction: look", ("", "look")),
        ("Action: look", ("", "look")),
        ("Thought: a\r\nAction: look\r\n", ("a", "look")),
        ("Thought: a\nAction: look\nObservation: b\nThought: c\nAction: use lamp 1", ("a", "look")),
        ("Well.\nThought: a\nAction: Look Here", ("a", "Look Here")),
    ],
)
def test_turns_are_read(text, expected):
    assert parse_turn(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "look",
        "Thought: a",
        "Thought: a\nAction:",
        "Thought: a\nAction: \nlook",
        "Thought: Action: look",
        "action: look",
    ],
)
def test_other_texts_are_not(text):
    assert parse_turn(text) is None


def test_what_a_turn_writes_is_read_back():
    turn = Turn("I need it.", "take cup 1 from shelf 2")
    assert parse_turn(REACT.text(turn)) == (turn.thought, turn.action)
