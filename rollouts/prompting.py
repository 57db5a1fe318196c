"""What a policy is told before an episode: the configured prompt, in the words of the task's world."""

from __future__ import annotations

from environments.base import Task, World
from steca.vocabulary import PromptStyle


def briefing_of(world: World, task: Task, prompt: PromptStyle) -> str:
    """The text in front of the task's first observation; "" where the prompt is plain."""
    return "" if prompt == "plain" else world.briefing(task, example=prompt == "one_shot")
