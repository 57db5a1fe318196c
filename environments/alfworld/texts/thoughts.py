"""Thoughts for given actions: those of recorded expert runs, and the step after a deviation.

Both use the expert's wording and only what was visible: they mention no entity that neither the transcript nor the
action names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from environments.alfworld.expert.instruction import TaskGoal, kind_of, parse_instruction
from environments.alfworld.expert.memory import Memory, remember
from environments.alfworld.texts.narration import PUT, TAKE, narrate
from environments.alfworld.texts.phrases import a, at, plainly
from steca.types import Step, Turn


def compose_thoughts(first_observation: str, pairs: Sequence[tuple[str, str]]) -> list[Turn]:
    """A recorded run of (action, observation) pairs as turns. Each thought depends on the first
    observation, the steps before it and its own action, never on later steps."""
    goal = parse_instruction(first_observation)
    memory = remember(first_observation, ())
    turns = []
    for action, observation in pairs:
        turns.append(Turn(narrate(goal, memory, action) if goal else plainly(action), action))
        memory.observe(action, observation)
    return turns


def reflect(instruction: str, first_observation: str, steps: Sequence[Step], required_action: str) -> str:
    """The thought after a deviated last step: what the step was, what it led to, and what is needed now. It leads to
    `required_action`. Raises ValueError for an empty history."""
    if not steps:
        raise ValueError(
            "there is no step to reflect on: give the history up to and including the deviated step"
        )
    goal = parse_instruction(instruction) or parse_instruction(first_observation)
    past = [(step.action, step.observation) for step in steps]
    before = remember(first_observation, past[:-1])
    after = remember(first_observation, past)
    if goal is None:
        return f"{_unhelpful(past[-1][0])} {plainly(required_action)}"
    after.failed = after.fresh = False
    return f"{_verdict(goal, before, steps[-1])} {narrate(goal, after, required_action)}"


def _verdict(goal: TaskGoal, before: Memory, last: Step) -> str:
    """The statement about the last step and its result."""
    action = last.action
    if not action:
        return "My last turn named no action."
    if not last.valid:
        return f"I tried to {action}, but nothing happened."
    if grasp := TAKE.match(action):
        wrong = kind_of(grasp[1]) != goal.thing
        return f"I took {grasp[1]}, not {a(goal.thing)}." if wrong else f"I took {grasp[1]} too early."
    if placed := PUT.match(action):
        return (
            f"I put {placed[1]} {at(placed[2])} too early."
            if _hasty(goal, before, placed)
            else _unhelpful(action)
        )
    return _unhelpful(action)


def _hasty(goal: TaskGoal, before: Memory, placed: re.Match[str]) -> bool:
    return kind_of(placed[1]) == goal.thing and not before.is_(placed[1], goal.condition)


def _unhelpful(action: str) -> str:
    return f"It did not help to {action}."
