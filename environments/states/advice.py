"""What a world must be for its episodes to be played again, and how a message shows two answers that differ."""

from __future__ import annotations

REPEATABLE = "draw what is random from reset's seed, or give the world snapshots or a method `same`"
COPIED = "copy the state in snapshot() and in restore(), and draw what is random from reset's seed"
SHARES_NOTHING = "make a new one in environment(), which shares nothing with the others"
_BEFORE, _AFTER = 60, 100
"""So many characters are shown before and after the first that differs."""


def differing(one: str, other: str) -> tuple[str, str]:
    """Two texts that differ, quoted; of long ones, what is around the first difference."""
    first = next(
        (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    return _around(one, first), _around(other, first)


def _around(text: str, at: int) -> str:
    start, end = max(0, at - _BEFORE), at + _AFTER
    return f"{'...' if start else ''}{text[start:end]!r}{'...' if end < len(text) else ''}"
