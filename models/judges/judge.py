"""Judges say of a turn whether it is good or bad: their protocol, what they see, and what they say.

The paper's variant "GPT-4o as step judge" puts a language model in the place of the rollouts. A judge sees what the
agent saw: the task and the history up to and including the turn and its observation. It does not see the expert's
action, nor how the episode ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from steca.types import Step
from steca.vocabulary import JudgedLabel, Progress


@dataclass(frozen=True, slots=True)
class JudgementRequest:
    """One turn to judge: steps[-1], with its observation. The task is in the first observation."""

    first_observation: str
    steps: Sequence[Step]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a judge says of a turn, and why. `label` is None if none of the `attempts` replies was usable; `reason` then
    says why the last one was not."""

    label: JudgedLabel | None
    reason: str
    attempts: int


class JudgementFault(Exception):
    """A judge that cannot be used. The message says what to do."""


class Judge(Protocol):
    @property
    def model(self) -> str:
        """Its name in the store."""
        ...

    def judge(
        self, requests: Sequence[JudgementRequest], progress: Progress | None = None
    ) -> Sequence[Judgement]:
        """One judgement for each request, in order. Raises JudgementFault if the judge cannot be used."""
        ...
