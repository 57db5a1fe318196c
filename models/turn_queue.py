"""Where running episodes ask for their next turns: all in lockstep, or each as soon as it can.

A policy in this process writes a batch of turns in one call, so it is asked for all of them together. A policy behind
a server takes each question when it comes and answers in any order, so no episode waits for another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from models.policy import Generation, History, Policy, Sampling

Choices = Sequence[str] | None
"""The actions that a turn may take; None where it is free."""


class TurnQueue(Protocol):
    def ask(self, ticket: int, history: History, seed: int, choices: Choices = None) -> None:
        """Want the next turn of an episode. `history` must not change before the answer."""
        ...

    def answers(self) -> list[tuple[int, Generation]]:
        """At least one answer, with its ticket; waits for it. Raises PolicyFault."""
        ...

    def leave(self) -> None:
        """Give up what was asked and not answered."""
        ...


@runtime_checkable
class HasTurnQueue(Protocol):
    """A policy with a turn queue of its own."""

    def turn_queue(self, sampling: Sampling) -> TurnQueue: ...


def turn_queue_of(policy: Policy, sampling: Sampling) -> TurnQueue:
    """The policy's own turn queue, else one in lockstep."""
    return policy.turn_queue(sampling) if isinstance(policy, HasTurnQueue) else Lockstep(policy, sampling)


class Lockstep:
    """Collects questions and has them answered in one call."""

    def __init__(self, policy: Policy, sampling: Sampling) -> None:
        self._policy, self._sampling = policy, sampling
        self._asked: list[tuple[int, History, int]] = []

    def ask(self, ticket: int, history: History, seed: int, choices: Choices = None) -> None:
        assert choices is None, "the configuration allows choices for engine openai only"
        self._asked.append((ticket, history, seed))

    def answers(self) -> list[tuple[int, Generation]]:
        asked, self._asked = self._asked, []
        turns = self._policy.act([h for _, h, _ in asked], [seed for _, _, seed in asked], self._sampling)
        return [(ticket, turn) for (ticket, _, _), turn in zip(asked, turns, strict=True)]

    def leave(self) -> None:
        self._asked = []
