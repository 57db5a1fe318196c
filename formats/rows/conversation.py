"""What is exported: conversations as the factory trains on them, with what is a target of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.training.examples import Example
from steca.types import Step, Trajectory


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message. `step` is the turn that it holds (assistant) or answers (user), `step_index` its place; both are
    None in the message that starts the task. `target`: its tokens are trained on."""

    role: str
    content: str
    target: bool = False
    step_index: int | None = None
    step: Step | None = None

    @property
    def chat(self) -> dict[str, str]:
        """The message as most formats have it."""
        return {"role": self.role, "content": self.content}


Messages = tuple[ChatMessage, ...]


def characters(messages: Messages) -> int:
    """The length of their texts."""
    return sum(len(message.content) for message in messages)


@dataclass(frozen=True, slots=True)
class ExampleRow:
    """One weighted training example. It ends with its last target: what the world answered then is not trained on."""

    id: str
    messages: Messages
    weight: float
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def characters(self) -> int:
        return characters(self.messages)

    @property
    def mask(self) -> list[bool]:
        """For each message, whether the factory trains on it."""
        return [message.target for message in self.messages]

    @property
    def first_target(self) -> int:
        """The index of the first message that is a target."""
        return self.mask.index(True)

    @property
    def has_untrained_turns(self) -> bool:
        """Whether the agent has turns that must not be trained on: the prefix, and the deviated turn in D_c."""
        return any(m.role == "assistant" and not m.target for m in self.messages)


@dataclass(frozen=True, slots=True)
class PairRow:
    """One preference pair: after `prompt`, the turns of `chosen` are preferred to those of `rejected`. The agent's
    turns of both sides are targets; what the world answers between them is not."""

    id: str
    prompt: Messages
    chosen: Messages
    rejected: Messages
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def messages(self) -> Messages:
        return (*self.prompt, *self.chosen, *self.rejected)

    @property
    def characters(self) -> int:
        return characters(self.messages)

    @property
    def mask(self) -> list[bool]:
        """For each message of prompt, chosen and rejected, whether the factory trains on it."""
        return [message.target for message in self.messages]


def as_messages(example: Example, trajectory: Trajectory) -> Messages:
    """The messages of the factory's own training example, with the steps that they come from, up to its last target."""
    return tuple(_until_last_target(_messages(example, trajectory.steps)))


def whole_conversation(example: Example, trajectory: Trajectory) -> Messages:
    """The same up to the last turn, target or not."""
    return tuple(_messages(example, trajectory.steps))[: 2 * len(trajectory.steps) or 1]


def _messages(example: Example, steps: Sequence[Step]) -> Iterator[ChatMessage]:
    first, *others = example.messages
    yield ChatMessage(first["role"], first["content"])
    for place, message in enumerate(others):
        index = place // 2
        target = message["role"] == "assistant" and example.targets[index]
        yield ChatMessage(message["role"], message["content"], target, index, steps[index])


def _until_last_target(messages: Iterator[ChatMessage]) -> list[ChatMessage]:
    known = list(messages)
    while known and not known[-1].target:
        known.pop()
    return known
