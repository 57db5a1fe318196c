"""The prompt of a chat model before an episode: how to act, and one worked example.

The example is the simulator's solution of a test variation that is in no split (`unseen` has the first ten of a type).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, StrictUndefined

from environments.scienceworld.environment import Variation
from environments.scienceworld.gold import GoldPath
from environments.scienceworld.thoughts import compose_thoughts
from steca.action_formats import ActionFormat

PROMPT = Path(__file__).parent / "prompts" / "briefing.jinja"
EXAMPLE = Variation("test-conductivity-of-unknown-substances", 597)
ACTIONS = (
    "look around", "look at {obj}", "look in {obj}", "inventory", "task",
    "go to {place}", "teleport to {place}", "open {obj}", "close {obj}",
    "pick up {obj}", "put down {obj}", "move {obj} to {obj}",
    "pour {obj} into {obj}", "dunk {obj} into {obj}", "mix {obj}",
    "activate {obj}", "deactivate {obj}", "use {obj} on {obj}", "read {obj}", "eat {obj}", "flush {obj}",
    "focus on {obj}", "wait", "wait1",
)  # fmt: skip
"""The simulator's templates, but for `reset task`, which undoes the progress."""
ELECTRICAL_ACTIONS = ("connect {obj} to {obj}", "disconnect {obj}")
"""Only for tasks with circuits: the simplification takes them away from the others."""


class WorkedExample(NamedTuple):
    """A complete episode."""

    first_observation: str
    steps: list[tuple[str, str]]
    """Each turn as it is written, and its observation."""


def briefing(task_type: str, path: GoldPath | None, form: ActionFormat) -> str:
    """The instruction for tasks of a type, with the worked example if there is one."""
    template = Environment(undefined=StrictUndefined).from_string(PROMPT.read_text())
    electrical = "power-component" in task_type or "conductivity" in task_type
    actions = ACTIONS + ELECTRICAL_ACTIONS if electrical else ACTIONS
    example = _worked(path, form) if path else None
    return template.render(actions=actions, example=example, form=form.instruction)


def _worked(path: GoldPath, form: ActionFormat) -> WorkedExample:
    turns = map(form.text, compose_thoughts(path.first_observation, path.pairs))
    observations = [observation for _, observation in path.pairs]
    return WorkedExample(path.first_observation, list(zip(turns, observations, strict=True)))
