"""Turns in every format come back as they were written, and what holds no action is none."""

from __future__ import annotations

import pytest

from steca.action_formats import FORMATS
from steca.types import Turn
from steca.vocabulary import ActionFormatName

CALL = '{"name": "search", "arguments": {"query": "a \\"b\\""}}'


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("action", ["go to shelf 1", CALL, "use {x} `y`"])
def test_a_turn_comes_back(name: ActionFormatName, action: str) -> None:
    form = FORMATS[name]
    thought = "" if name == "text" else "I need a mug."
    assert form.parse(form.text(Turn("I need a mug.", action))) == (thought, action)


def test_code_keeps_its_lines() -> None:
    form = FORMATS["code"]
    code = "for x in y:\n    print(x)"
    assert form.parse(form.text(Turn("So.", code))) == ("So.", code)
    assert form.parse(f"Well.\n```python\n{code}\n```\nNow I wait.\n```\nmore\n```") == ("Well.", code)
    assert form.parse(f"Cut off.\n```\n{code}") == ("Cut off.", code)


def test_only_the_first_action_counts() -> None:
    two = '<tool_call>{"name": "act", "arguments": {"command": "look"}}</tool_call>'
    assert FORMATS["tool_call"].parse(f"I look.\n{two}\nYou see.\n{two.replace('look', 'go')}") == (
        "I look.",
        "look",
    )
    assert FORMATS["react"].parse("Action: look\nAction: go") == ("", "look")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("react", "I look."),
        ("react", ""),
        ("tool_call", "I look."),
        ("tool_call", "<tool_call>look</tool_call>"),
        ("tool_call", '<tool_call>["act"]</tool_call>'),
        ("tool_call", '<tool_call>{"name": "act", "arguments": "look"}</tool_call>'),
        ("tool_call", '<tool_call>{"name": "act", "arguments": {"command": " "}}</tool_call>'),
        ("code", "I look."),
        ("code", "```\n\n```"),
        ("text", " \n"),
    ],
)
def test_what_holds_no_action_is_none(name: ActionFormatName, text: str) -> None:
    assert FORMATS[name].parse(text) is None


@pytest.mark.parametrize("name", FORMATS)
def test_a_chat_model_is_told_the_form(name: ActionFormatName) -> None:
    assert FORMATS[name].instruction.startswith("Write every turn")
    assert FORMATS[name].hint
