"""How many reflections of a model can be used: a run whose replies are nearly all unusable ends early and says why."""

from __future__ import annotations

import re
from collections import Counter

FEW = 8
"""Samples of which at least one must be usable; no more are in work before the first one is."""
MANY = 20
"""Samples from which on the share of usable ones counts."""
_QUOTED = 160
_PARTICULARS = re.compile(r"'[^']*'|\"[^\"]*\"|\([^)]*\)|\d+")


class ReflectionYield:
    """Counts the outcomes of one reflector. Those that the call log knew before do not count against it: they were paid
    for, and the user has decided to go on."""

    def __init__(self, model: str, least: float) -> None:
        """`least`: the share of usable ones that is expected; 0 expects nothing."""
        self._model, self._least = model, least
        self.usable = self.unusable = 0
        self._new_usable = self._new_unusable = 0
        self._kinds: Counter[str] = Counter()
        self._reasons: dict[str, str] = {}
        self._examples: dict[str, str] = {}

    def count(self, reason: str | None, reply: str, new: bool) -> None:
        """One more sample: why its last reply cannot be used, None where it can."""
        self.usable += reason is None
        self.unusable += reason is not None
        self._new_usable += new and reason is None
        self._new_unusable += new and reason is not None
        if reason is not None:
            kind = _PARTICULARS.sub("...", reason.split(": ")[0])
            self._kinds[kind] += 1
            self._reasons.setdefault(kind, reason)
            self._examples.setdefault(kind, " ".join(reply.split()))

    @property
    def too_low(self) -> bool:
        """Whether to stop."""
        done = self._new_usable + self._new_unusable
        if not self._least or done < FEW:
            return False
        return not self._new_usable or (done >= MANY and self._new_usable < self._least * done)

    @property
    def worth_telling(self) -> bool:
        """Whether more than half cannot be used."""
        return self.unusable > self.usable

    def told(self) -> str:
        """How many can be used, and the most frequent reason against it."""
        [(kind, times)] = self._kinds.most_common(1)
        done = self.usable + self.unusable
        return (
            f"{self.usable} of {done} reflections by {self._model} can be used; most often ({times} times) it was: "
            f"{_short(self._reasons[kind])}"
        )

    def fault(self) -> str:
        """Why the run stops, and what to do."""
        [(kind, _)] = self._kinds.most_common(1)
        return (
            f"{self.told()}; such a reply: {_short(self._examples[kind]) or '(nothing)'!r}. Choose another "
            "calibration.model, or raise calibration.max_tokens where replies are cut off; what was answered is kept. "
            f"The same command asks for the next {FEW}, with execution.reflector.least_usable=0 for all of them"
        )


def _short(text: str) -> str:
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]} ..."
