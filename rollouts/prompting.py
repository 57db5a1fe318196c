"""What a policy is told before an episode: the configured prompt, in the words of the task's world."""

from __future__ import annotations

from typing import Literal

from environments.base import Task, World

Style = Literal["plain", "react", "one_shot"]
"""plain: nothing, the world speaks for itself; react: the world's instruction; one_shot: and a worked example."""


def briefing_of(world: World, task: Task, prompt: Style) -> str:
    """The text in front of the task's first observation; "" where the prompt is plain."""
    return "" if prompt == "plain" else world.briefing(task, example=prompt == "one_shot")
