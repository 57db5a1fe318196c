"""The forms of what is asked and answered. Fields and codes are OpenEnv's."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Command(BaseModel):
    """An action of the world, as text."""

    model_config = ConfigDict(extra="forbid")
    command: str = Field(description="The action, as text")
    metadata: dict[str, Any] = Field(default_factory=dict)


class Said(BaseModel):
    """What the world says."""

    text: str = Field(description="The observation")
    valid: bool = Field(True, description="Whether the action had an effect")
    done: bool = False
    reward: float | None = Field(None, description="The score so far, in [0, 1]; 1 is success")
    metadata: dict[str, Any] = Field(default_factory=dict)


class EpisodeState(BaseModel):
    """Where a session stands."""

    episode_id: str | None = None
    step_count: int = 0
    task_id: str | None = None
    split: str | None = None


class Reset(BaseModel):
    """Which task to start: by id; by split and index; or by seed, among those of a split (default: the first split).
    Without any of them, one drawn at random."""

    model_config = ConfigDict(extra="ignore")
    task_id: str | None = None
    split: str | None = None
    index: int | None = Field(None, ge=0)
    seed: int | None = Field(None, ge=0)
    episode_id: str | None = Field(None, max_length=255)


class OfSplit(BaseModel):
    split: str


class OneTask(OfSplit):
    index: int = Field(ge=0)


class TaskRange(OfSplit):
    start: int | None = None
    stop: int | None = None


def observation(said: Said) -> dict[str, Any]:
    """An observation as it is sent."""
    return {"observation": {"text": said.text, "valid": said.valid}, "reward": said.reward, "done": said.done}
