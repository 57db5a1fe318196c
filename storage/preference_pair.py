"""The rows of the table preference_pairs."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from steca.vocabulary import PairKind, PreferenceMethod
from storage.record import Record


class PreferencePairRecord(Record):
    """One preference pair: after the same history, the steps of one side are preferred to those of the other."""

    table: ClassVar[str] = "preference_pairs"
    key: ClassVar[tuple[str, ...]] = ("pair_id",)
    pair_id: str
    method: PreferenceMethod = Field(description="Method whose rule made the pair")
    kind: PairKind = Field(
        description="What it was chosen by. outcome: whole runs by their outcomes; step: turns or suffixes after a "
        "shared history"
    )
    task_id: str
    chosen_trajectory_id: str = Field(
        description="Trajectory of the chosen side, and of the prompt before it"
    )
    chosen_from: int = Field(description="First step of the chosen side; earlier ones are the prompt")
    chosen_to: int = Field(description="Step after the last one of the chosen side")
    chosen_rollout_id: str | None = Field(
        None,
        description="Rollout whose first turn is the chosen side, in place of the trajectory's step; NULL elsewhere",
    )
    rejected_trajectory_id: str = Field(description="Trajectory of the rejected side")
    rejected_from: int = Field(description="First step of the rejected side")
    rejected_to: int = Field(description="Step after the last one of the rejected side")
    deviation_id: str | None = Field(
        None, description="The comparison of the two turns where the sides begin; NULL where there is none"
    )
    chosen_reward: float | None = Field(
        None,
        description="What was compared: the run's outcome (kind outcome) or a step reward; NULL if nothing was",
    )
    rejected_reward: float | None = Field(None, description="The same of the rejected side")
    margin: float | None = Field(None, description="chosen_reward - rejected_reward")
