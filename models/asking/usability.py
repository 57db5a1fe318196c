"""Counts usable replies: a run whose replies are nearly all unusable stops early, with the reason."""

from __future__ import annotations

import re
from collections import Counter
from typing import Literal

PROBE_SAMPLES = 8
"""Of this many samples at least one must be usable; no more are in flight before that."""
RATE_SAMPLES = 20
"""From this many samples on the share of usable ones is checked."""
_MAX_QUOTED = 160
_PARTICULARS = re.compile(r"'[^']*'|\"[^\"]*\"|\([^)]*\)|\d+")


class UsabilityMonitor:
    """Counts the outcomes of one model. Outcomes from stored replies do not count against it: they are paid for,
    and the user has decided to continue."""

    def __init__(
        self,
        model: str,
        least_usable: float,
        what: Literal["reflections", "judgements"] = "reflections",
        section: Literal["calibration", "judge"] = "calibration",
    ) -> None:
        """`least_usable`: the required share of usable samples; 0 disables the check. `what` the model writes, and the
        `section` with its settings."""
        self._model, self._least_usable, self._what, self._section = model, least_usable, what, section
        self.usable = self.unusable = 0
        self._new_usable = self._new_unusable = 0
        self._kinds: Counter[str] = Counter()
        self._reasons: dict[str, str] = {}
        self._examples: dict[str, str] = {}

    def record(self, reason: str | None, reply: str, new: bool) -> None:
        """Count one sample. `reason`: why its last reply is unusable, None if it is usable."""
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
        """Whether to stop the run."""
        done = self._new_usable + self._new_unusable
        if not self._least_usable or done < PROBE_SAMPLES:
            return False
        return not self._new_usable or (done >= RATE_SAMPLES and self._new_usable < self._least_usable * done)

    @property
    def mostly_unusable(self) -> bool:
        """Whether more than half are unusable."""
        return self.unusable > self.usable

    def summary(self) -> str:
        """How many are usable, and the most frequent reason why others are not."""
        [(kind, times)] = self._kinds.most_common(1)
        done = self.usable + self.unusable
        return (
            f"{self.usable} of {done} {self._what} by {self._model} were usable; top problem ({times} times): "
            f"{_short(self._reasons[kind])}"
        )

    def fault(self) -> str:
        """Why the run stops, and what to do."""
        [(kind, _)] = self._kinds.most_common(1)
        return (
            f"{self.summary()}; an example: {_short(self._examples[kind]) or '(nothing)'!r}. Choose another "
            f"{self._section}.model, or raise {self._section}.max_tokens if replies are cut off; finished replies are "
            f"kept. The same command requests the next {PROBE_SAMPLES}; with execution.reflector.least_usable=0 it "
            "requests all"
        )


def _short(text: str) -> str:
    return text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]} ..."
