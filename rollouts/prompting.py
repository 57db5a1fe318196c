"""The prompt before an episode: as configured, in the wording of the task's world."""

from __future__ import annotations

from environments.base import Task
from environments.complete import CompleteWorld
from steca.vocabulary import PromptStyle


def briefing_of(world: CompleteWorld, task: Task, prompt: PromptStyle) -> str:
    """The text before the task's first observation; "" if the prompt style is plain."""
    return "" if prompt == "plain" else world.briefing(task, example=prompt == "one_shot")
