"""What a reflection must be to become a training target: one thought of the agent's own, about what it has seen,
ending in the required action."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from models.reflectors.reflector import ReflectionRequest

Ungrounded = Callable[[ReflectionRequest, str], list[str]]
"""The names in a thought that occur neither in the transcript nor in the required action; the world knows its names."""

FEWEST_WORDS, MOST_WORDS = 5, 120
_LINES = re.compile(r"\b(?:thought|action|observation)\s*:", re.IGNORECASE)
_TOLD = re.compile(
    r"\b(?:experts?|suboptimal|demonstrat\w*|transcript|(?:the|my|your) (?:next|required|given) action|"
    r"(?:was|am|been) (?:told|asked|instructed|given the action)|hint)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Draft:
    """What the model proposed."""

    thought: str
    action: str


def problem_with(draft: Draft | None, request: ReflectionRequest, ungrounded: Ungrounded) -> str | None:
    """Why a draft cannot be used, in words that help to write a better one; None where it can."""
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
    if lines := _LINES.search(thought):
        return f"its thought holds {lines[0]!r}: only the thought itself belongs there"
    if told := _TOLD.search(thought):
        return f"its thought says {told[0]!r}: it must speak only of what the agent itself has seen and done"
    return None


def _plain(action: str) -> str:
    return " ".join(action.split()).rstrip(".").casefold()
