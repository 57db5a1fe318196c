"""Thoughts for actions that somebody else chose: recorded expert runs, and the step after a deviation.

Both speak in the expert's own wording and see only what was visible: nothing is said of an entity that neither the
transcript nor the action names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from environments.alfworld.expert.aims import Aim, kind_of, read_aim
from environments.alfworld.expert.memory import Memory, remember
from environments.alfworld.texts.narration import narrate
from environments.alfworld.texts.phrases import a, at, plainly
from steca.types import Step, Turn

_GRASP = re.compile(r"take ([a-z]+ \d+) from ([a-z]+ \d+)$")
_PLACED = re.compile(r"(?:put|move) ([a-z]+ \d+) (?:in/on|to) ([a-z]+ \d+)$")


def compose_thoughts(first_observation: str, pairs: Sequence[tuple[str, str]]) -> list[Turn]:
    """A recorded run of (action, observation) pairs as turns. Each thought rests on the steps before it, the
    first observation and its own action, never on what came later."""
    aim = read_aim(first_observation)
    memory = remember(first_observation, ())
    turns = []
    for action, observation in pairs:
        turns.append(Turn(narrate(aim, memory, action) if aim else plainly(action), action))
        memory.observe(action, observation)
    return turns


def reflect(instruction: str, first_observation: str, steps: Sequence[Step], required_action: str) -> str:
    """The thought after a deviated last step: what that step was, what it really led to, and what is needed now.
    It leads to `required_action`. Raises ValueError for an empty history."""
    if not steps:
        raise ValueError(
            "there is no step to reflect on: give the history up to and including the deviated step"
        )
    aim = read_aim(instruction) or read_aim(first_observation)
    past = [(step.action, step.observation) for step in steps]
    before = remember(first_observation, past[:-1])
    after = remember(first_observation, past)
    if aim is None:
        return f"{_unhelpful(past[-1][0])} {plainly(required_action)}"
    after.failed = after.fresh = False
    return f"{_verdict(aim, before, steps[-1])} {narrate(aim, after, required_action)}"


def _verdict(aim: Aim, before: Memory, last: Step) -> str:
    """What the last step was and led to."""
    action = last.action
    if not action:
        return "My last turn named no action."
    if not last.valid:
        return f"I tried to {action}, but nothing happened."
    if grasp := _GRASP.match(action):
        wrong = kind_of(grasp[1]) != aim.thing
        return f"I took {grasp[1]}, not {a(aim.thing)}." if wrong else f"I took {grasp[1]} too early."
    if placed := _PLACED.match(action):
        return (
            f"I put {placed[1]} {at(placed[2])} too early."
            if _hasty(aim, before, placed)
            else _unhelpful(action)
        )
    return _unhelpful(action)


def _hasty(aim: Aim, before: Memory, placed: re.Match[str]) -> bool:
    return kind_of(placed[1]) == aim.thing and not before.is_(placed[1], aim.condition)


def _unhelpful(action: str) -> str:
    return f"It did not help to {action}."
