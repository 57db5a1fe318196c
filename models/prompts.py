"""From executed steps to chat messages: the world speaks as `user`, the agent as `assistant`."""

from __future__ import annotations

from collections.abc import Sequence

from models.policy import Message
from steca.types import Step


def messages(first_observation: str, steps: Sequence[Step], briefing: str = "") -> list[Message]:
    """The conversation up to and including the last step's observation: a history to act on.

    A briefing comes in front of the first observation, in the same message (not every chat template has a system
    role). Roles alternate strictly, one assistant message a step. More steps only add messages.
    """
    first = f"{briefing}\n\n{first_observation}" if briefing else first_observation
    history: list[Message] = [{"role": "user", "content": first}]
    for step in steps:
        history += step_messages(step)
    return history


def step_messages(step: Step) -> tuple[Message, Message]:
    """The messages that a step adds to a history."""
    return {"role": "assistant", "content": step.text}, {"role": "user", "content": step.observation}
