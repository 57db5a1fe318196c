"""The queue through which running episodes request their next turns: in lockstep or asynchronously.

A policy in this process writes a batch of turns in one call, so all requests are collected first. A policy behind a
server takes each request at once and answers in any order, so no episode waits for another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from models.policy import Generation, History, Policy, Sampling

Choices = Sequence[str] | None
"""The actions that a turn may take; None: any."""


class TurnQueue(Protocol):
    def ask(self, ticket: int, history: History, seed: int, choices: Choices = None) -> None:
        """Request the next turn of an episode. `history` must not change before the answer."""
        ...

    def answers(self) -> list[tuple[int, Generation]]:
        """Wait for at least one answer, or until woken; (ticket, turn) pairs. Raises PolicyFault."""
        ...

    def wake(self) -> None:
        """Let `answers` return, from any thread."""
        ...

    def cancel(self) -> None:
        """Cancel the requests that are not answered yet."""
        ...


@runtime_checkable
class HasTurnQueue(Protocol):
    """A policy with its own turn queue."""

    def turn_queue(self, sampling: Sampling) -> TurnQueue: ...


def turn_queue_of(policy: Policy, sampling: Sampling) -> TurnQueue:
    """The policy's own turn queue, else a lockstep queue."""
    return (
        policy.turn_queue(sampling)
        if isinstance(policy, HasTurnQueue)
        else LockstepTurnQueue(policy, sampling)
    )


class LockstepTurnQueue:
    """Collects requests and answers them in one call of the policy."""

    def __init__(self, policy: Policy, sampling: Sampling) -> None:
        self._policy, self._sampling = policy, sampling
        self._pending: list[tuple[int, History, int]] = []

    def ask(self, ticket: int, history: History, seed: int, choices: Choices = None) -> None:
        assert choices is None, "the configuration allows choices for engine openai only"
        self._pending.append((ticket, history, seed))

    def answers(self) -> list[tuple[int, Generation]]:
        pending, self._pending = self._pending, []
        turns = self._policy.act([h for _, h, _ in pending], [seed for _, _, seed in pending], self._sampling)
        return [(ticket, turn) for (ticket, _, _), turn in zip(pending, turns, strict=True)]

    def wake(self) -> None:
        """Nothing waits: answers are made when they are asked for."""

    def cancel(self) -> None:
        self._pending = []
