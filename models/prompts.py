"""From executed steps to chat messages: the world speaks as `user`, the agent as `assistant`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from models.policy import Message
from steca.types import Step

Style = Literal["plain", "react", "one_shot"]

REACT_INSTRUCTION = """\
You are an agent in a household. You are given a task and act one turn at a time until it is done. After each of \
your turns you are told what happened; "Nothing happens." means that the action had no effect, so try another one.

Write each turn in exactly this form, one thought and one action:
Thought: what you have seen so far, and what has to be done next
Action: one of the actions below

Actions, with names and numbers as they occur in the observations:
go to {receptacle}
open {receptacle}
close {receptacle}
take {object} from {receptacle}
put {object} in/on {receptacle}   (some worlds say: move {object} to {receptacle})
use {object}
examine {object or receptacle}
clean {object} with {receptacle}
heat {object} with {receptacle}
cool {object} with {receptacle}
slice {object} with {object}
inventory
look"""


def messages(first_observation: str, steps: Sequence[Step], style: Style = "plain") -> list[Message]:
    """The conversation up to and including the last step's observation: a history to act on.

    `react` puts the instruction for chat models in front of the first observation, in the same message (not
    every chat template has a system role). Roles alternate strictly, one assistant message a step. Append-only:
    more steps only add messages.
    """
    first = f"{REACT_INSTRUCTION}\n\n{first_observation}" if style != "plain" else first_observation
    history: list[Message] = [{"role": "user", "content": first}]
    for step in steps:
        history += answered(step)
    return history


def answered(step: Step) -> tuple[Message, Message]:
    """What one more step adds to a history."""
    return {"role": "assistant", "content": step.text}, {"role": "user", "content": step.observation}
