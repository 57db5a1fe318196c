"""Checks whether a reflection can be a training target: one thought in the agent's own voice, grounded in what it has
seen, with the required action."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from models.reflectors.reflector import ReflectionRequest

UngroundedNames = Callable[[ReflectionRequest, str], list[str]]
"""Finds the names in a thought that occur neither in the transcript nor in the required action; a world provides it."""

FEWEST_WORDS, MOST_WORDS = 5, 120
_LABELS = re.compile(r"\b(?:thought|action|observation)\s*:", re.IGNORECASE)
_INSTRUCTED = re.compile(
    r"\b(?:experts?|suboptimal|demonstrat\w*|transcript|(?:the|my|your) (?:next|required|given) action|"
    r"(?:was|am|been) (?:told|asked|instructed|given the action)|hint)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Draft:
    """The thought and the action in a model's reply."""

    thought: str
    action: str


def problem_with(draft: Draft | None, request: ReflectionRequest, ungrounded: UngroundedNames) -> str | None:
    """Why a draft is unusable, worded for the retry prompt; None if it is usable. The wording is part of request
    keys."""
    if draft is None:
        return "it does not have the required form: one thought and one action"
    if problem := _thought_problem(draft.thought):
        return problem
    if _plain(draft.action) != _plain(request.required_action):
        return f"its action is {draft.action!r} and not the required {request.required_action!r}"
    if names := ungrounded(request, draft.thought):
        return f"it mentions what has never been seen: {', '.join(names)}"
    return None


def _thought_problem(thought: str) -> str | None:
    words = len(thought.split())
    if not words:
        return "its thought is empty"
    if words < FEWEST_WORDS:
        return f"its thought says hardly anything: {thought!r}"
    if words > MOST_WORDS:
        return f"its thought has {words} words, more than {MOST_WORDS}"
    if lines := _LABELS.search(thought):
        return f"its thought holds {lines[0]!r}: only the thought itself belongs there"
    if told := _INSTRUCTED.search(thought):
        return f"its thought says {told[0]!r}: it must speak only of what the agent itself has seen and done"
    return None


def _plain(action: str) -> str:
    return " ".join(action.split()).rstrip(".").casefold()
