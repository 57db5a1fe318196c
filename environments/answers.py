"""What the capabilities of a world answer is checked, so that a mistake is told where it was made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
    return None if answer is None else _all(answer, _is_turn, f"{what} must return a list of Turn or None")


def some_texts(answer: object, what: str) -> list[str]:
    """Texts. Raises EnvironmentFault."""
    return _all(answer, _is_text, f"{what} must return a list of texts")


def a_share(answer: object, what: str) -> float:
    """A number in [0, 1]. Raises EnvironmentFault."""
    try:
        share = float(answer)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise EnvironmentFault(f"{what} must return a number in [0, 1], and returned {shown(answer)}")
    return share


def _all(answer: object, fits: Callable[[object], TypeGuard[T]], wanted: str) -> list[T]:
    items = list(answer) if isinstance(answer, Iterable) and not isinstance(answer, str) else [None]
    found = [item for item in items if fits(item)]
    if len(found) != len(items):
        raise EnvironmentFault(f"{wanted}, and returned {shown(answer)}")
    return found


def _is_text(answer: object) -> TypeGuard[str]:
    return isinstance(answer, str)


def _is_turn(answer: object) -> TypeGuard[Turn]:
    return isinstance(answer, Turn) and isinstance(answer.thought, str) and isinstance(answer.action, str)
