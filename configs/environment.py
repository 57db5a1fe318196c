"""The settings of the world and its tasks."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from configs.section import Count, HomePath, Positive, Section
from steca.vocabulary import ActionFormatName


class EnvironmentConfig(Section):
    """The world, and the limits of an episode."""

    model_config = ConfigDict(title="Environment")
    name: str = Field(
        "alfworld-generated",
        description="Name of the world, e.g. alfworld-generated or alfworld; or module:Class of your own.",
    )
    options: dict[str, Any] = Field(default_factory=dict, description="Options of this world.")
    action_format: ActionFormatName = Field(
        "react",
        description="How a turn holds its action. react: Thought and Action; tool_call: a call of a tool; code: a "
        "block of code; text: the action alone.",
    )
    briefing: str = Field(
        "",
        description="What a chat model is told first (policy.prompt), for a world without a text of its own.",
    )
    demonstrations: HomePath | None = Field(
        None, description="File of recorded expert runs, one a line: ShareGPT, OpenAI messages or ATIF."
    )
    step_cap: Positive = Field(20, description="Maximum steps of an episode, counted from its start.")
    invalid_streak: Positive = Field(
        5, description="An episode fails after this many invalid actions in a row."
    )


class TasksConfig(Section):
    """Number of tasks in each split. No task is in two splits."""

    model_config = ConfigDict(title="Tasks")
    demonstrations: Positive = Field(300, description="Training tasks with expert runs, for the warm-up.")
    exploration: Positive = Field(300, description="Training tasks that the policy explores.")
    explore_demonstrated: bool = Field(
        False,
        description="Explore the demonstrated tasks, as the paper does, instead of other training tasks.",
    )
    validation: Count = Field(100, description="Tasks for choosing settings; not evaluated by default.")
    seen: Count = Field(150, description="Evaluation tasks in layouts known from training.")
    unseen: Count = Field(150, description="Evaluation tasks in new layouts with held-out goals.")
    splits: dict[str, Count] = Field(
        default_factory=dict, description="Evaluation tasks of other splits that the world has, by its name."
    )

    def of(self, split: str) -> int:
        """The number of tasks of an evaluation split."""
        own = {"validation": self.validation, "seen": self.seen, "unseen": self.unseen}
        return {**own, **self.splits}.get(split, 0)
