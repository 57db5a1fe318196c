"""What is trained on: conversations and pairs of them. They need no torch, so exports can speak of them too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.policy import Message


@dataclass(frozen=True, slots=True)
class Example:
    """One weighted trajectory. `targets` says for each assistant message, in order, whether it is trained on; `name` is
    for error messages. `thinking`: the policy thinks before its turns; as the trajectory has no such thinking, what is
    between prompt and turn is then context, not a target."""

    name: str
    messages: Sequence[Message]
    targets: Sequence[bool]
    weight: float = 1.0
    thinking: bool = False


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Two trajectories, of which the first is to become more probable than the second. The weights of the examples do
    not count."""

    name: str
    chosen: Example
    rejected: Example
