"""What a language model says of an explored turn."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from steca.vocabulary import JudgedLabel
from storage.record import Record


class JudgementRecord(Record):
    """What a language model says of an explored turn: GOOD or BAD. Rows are there under deviation.preset judge, and
    where judge.ask is always."""

    table: ClassVar[str] = "judgements"
    key: ClassVar[tuple[str, ...]] = ("judgement_id",)
    judgement_id: str
    task_id: str
    trajectory_id: str = Field(description="The explored trajectory that holds the turn")
    step_index: int = Field(description="The turn in its trajectory, 0-based")
    label: JudgedLabel | None = Field(
        None, description="good or bad; NULL where no reply was usable, which leaves the verdict undecided"
    )
    reason: str = Field(
        description="The model's reason; where label is NULL, why its last reply was unusable"
    )
    model: str = Field(description="The language model, as judge.model names it")
    attempts: int = Field(description="Replies that the model was asked for")
