"""Turns of other tools become the configured form; what it cannot hold is refused."""

from __future__ import annotations

from typing import Any

import pytest

from environments.recorded.forms import NotARun
from environments.recorded.recording import Recording
from formats.importing.dialects import recording_in
from steca.action_formats import FORMATS, REACT
from steca.types import Turn


def read(*said: str, form: Any = REACT, answers: str = "There.") -> Recording:
    talk = [{"from": "human", "value": "You are here."}]
    for text in said:
        talk += [{"from": "gpt", "value": text}, {"from": "human", "value": answers}]
    return recording_in({"conversations": talk}, 1, form)[1]


@pytest.mark.parametrize(
    "said",
    [
        "Thought: I look\n around.\nAction: go to desk 1",
        "Thought:\nI look around.\n\nAction:\ngo to desk 1",
        "THOUGHT: I look around.\nACTION: go to desk 1",
        "Thought 3: I look around.\nAction 3: go to desk 1",
        "**Thought:** I look around.\n**Action:** go to desk 1",
        "<think>I look around.</think>\n<action>go to desk 1</action>",
        "I look around.\n<tool_call>\n"
        '{"name": "act", "arguments": {"command": "go to desk 1"}}\n</tool_call>',
        "I look around.\n```\ngo to desk 1\n```",
    ],
)
@pytest.mark.parametrize("form", ["react", "tool_call", "code"])
def test_every_dialect_gives_the_same_turn_in_every_form(said: str, form: str) -> None:
    wanted = (Turn("I look around.", "go to desk 1"),)
    assert read(said, form=FORMATS[form]).turns == wanted  # type: ignore[index]


def test_a_world_of_bare_actions_takes_them_and_those_with_thoughts() -> None:
    assert read("go to desk 1", form=FORMATS["text"]).turns == (Turn("", "go to desk 1"),)
    assert read("Thought: a\nAction: b", form=FORMATS["text"]).turns == (Turn("a", "b"),)


def test_the_instruction_and_ok_are_no_turn() -> None:
    assert read("OK. I'll do my best.", "Thought: a\nAction: b").turns == (Turn("a", "b"),)


def test_actions_that_agentgym_lists_are_no_part_of_an_observation() -> None:
    run = read("Thought: a\nAction: b", answers="There.\nAVAILABLE ACTIONS: b,c")
    assert run.answers == ("There.",)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (("go to desk 1",), 'has no turn with an action: it must be "Thought: ...", then "Action: ..."'),
        (("Thought: a\nAction: b", "I am done."), "turn 2 has no action"),
        (("Thought: a\0\nAction: b",), "turn 1 has a NUL character"),
        (("Thought: a\nAction: \ud800",), "turn 1 has half a character"),
        (("a\n```\nb\nc\n```",), r"turn 1: its action, 'b\\nc', cannot be written in the configured form"),
    ],
)
def test_a_turn_that_cannot_be_kept_is_told(said: tuple[str, ...], why: str) -> None:
    with pytest.raises(NotARun, match=why):
        read(*said)
