"""What the capabilities of a world answer is checked, so that a mistake is told where it was made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeGuard, TypeVar

from environments.base import EnvironmentFault
from environments.states.calling import shown
from steca.types import Turn

T = TypeVar("T")


def one_turn(answer: object, what: str) -> Turn | None:
    """A turn or None. `what`: which method answered, for which task. Raises EnvironmentFault."""
    if answer is None or _is_turn(answer):
        return answer
    kind = "a Turn (two texts: thought, action) or None"
    raise EnvironmentFault(f"{what} must return {kind}, and returned {shown(answer)}")


def some_turns(answer: object, what: str) -> list[Turn] | None:
    """Turns, or None. Raises EnvironmentFault."""
    return None if answer is None else _all(answer, Turn, f"{what} must return a list of Turn or None")


def some_texts(answer: object, what: str) -> list[str]:
    """Texts. Raises EnvironmentFault."""
    return _all(answer, str, f"{what} must return a list of texts")


def a_share(answer: object, what: str) -> float:
    """A number in [0, 1]. Raises EnvironmentFault."""
    try:
        share = float(answer)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise EnvironmentFault(f"{what} must return a number in [0, 1], and returned {shown(answer)}")
    return share


def _all(answer: object, kind: type[T], wanted: str) -> list[T]:
    items = list(answer) if isinstance(answer, Iterable) and not isinstance(answer, str) else [None]
    found = [item for item in items if isinstance(item, kind) and (kind is not Turn or _is_turn(item))]
    if len(found) != len(items):
        raise EnvironmentFault(f"{wanted}, and returned {shown(answer)}")
    return found


def _is_turn(answer: object) -> TypeGuard[Turn]:
    return isinstance(answer, Turn) and isinstance(answer.thought, str) and isinstance(answer.action, str)
