"""Small runs for the tests of the method: trajectories written as their actions."""

from __future__ import annotations

from hypothesis import settings

from steca.exploration import Exploration
from steca.types import Step, Trajectory
from steca.vocabulary import Origin

REPEATABLE = settings(derandomize=True, deadline=None)
"""Property tests draw the same examples every time, and have no deadline."""


def step(action: str, origin: Origin = "policy", valid: bool = True, observation: str | None = None) -> Step:
    """A step whose observation is derived from its action, unless given."""
    seen = observation if observation is not None else (f"done {action}" if valid else "Nothing happens.")
    text = f"Thought: why {action}\nAction: {action}"
    return Step(text, f"why {action}", action, seen, valid, origin, tokens=7 if origin == "policy" else 0)


def run(
    steps: list[Step], outcome: float, end: str = "done", prefix: int = 0, task: str = "t1"
) -> Trajectory:
    return Trajectory(task, "You are in a room.", tuple(steps), outcome, end, prefix)  # type: ignore[arg-type]


def expert(actions: str, outcome: float = 1.0, task: str = "t1") -> Trajectory:
    """`actions` are single letters: expert("abc") does a, b, c."""
    return run([step(a, "expert") for a in actions], outcome, task=task)


def explored(actions: str, prefix: int, outcome: float = 0.0, task: str = "t1") -> Trajectory:
    steps = [step(a, "expert" if i < prefix else "policy") for i, a in enumerate(actions)]
    return run(steps, outcome, "done" if outcome else "step_cap", prefix, task)


def exploration(expert_actions: str, explored_actions: str, at: int, outcome: float = 0.0) -> Exploration:
    return Exploration(expert(expert_actions), explored(explored_actions, at, outcome), at)
