"""Step rewards (method section 2.3): r(s_t, a_t) = (1/N) * sum of the outcomes of N rollouts after a_t.

All outcomes of a reward are stored, so its uncertainty is known: 3 successes of 5 are a mean of .6 with a 95 %
interval of .23 to .88. Comparisons use the tally of the outcomes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from steca.vocabulary import RewardOutcome

TIE = 1e-9
"""Differences of means this close to a threshold are ties: .6 - .5 is not .1 in binary."""


def wilson_interval(successes: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for a success rate; (0, 1) if n is 0.

    `successes` may be a sum of outcomes in [0, 1] instead of a count: the interval is then conservative,
    because no variable in [0, 1] varies more than a binary one of equal mean. `n` may be an effective number of
    outcomes, which need not be whole.
    Raises ValueError unless 0 <= successes <= n and 0 < level < 1.
    """
    if not 0.0 <= successes <= n:
        raise ValueError(f"successes must lie between 0 and n; got {successes} of {n}")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1, e.g. 0.95; got {level}")
    if n == 0:
        return 0.0, 1.0
    z2 = NormalDist().inv_cdf(0.5 + level / 2.0) ** 2
    rate = successes / n
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (rate * (1 - rate) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True, slots=True)
class Tally:
    """What a comparison needs of a step reward: `n` outcomes with their `total`, or the exact value (`known`) of a turn
    that ended the episode, which needs no rollouts.

    Raises ValueError if n outcomes in [0, 1] cannot have this total.
    """

    n: int = 0
    total: float = 0.0
    known: float | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.total <= self.n:
            raise ValueError(f"{self.n} outcomes in [0, 1] cannot sum up to {self.total}")
        if self.known is not None and self.n:
            raise ValueError(f"a turn that ended the episode has no rollouts; got {self.n}")

    @classmethod
    def of(cls, outcomes: Sequence[float]) -> Tally:
        """The tally of outcomes. Raises ValueError if one lies outside [0, 1]."""
        for index, outcome in enumerate(outcomes):
            if not 0.0 <= outcome <= 1.0:
                raise ValueError(
                    f"outcome {index} is {outcome}, outside [0, 1]; scale the environment's reward"
                )
        return cls(len(outcomes), math.fsum(outcomes))

    @classmethod
    def stored(cls, reward: float | None, n: int | None) -> Tally:
        """The tally behind a stored step reward: the mean of n outcomes. If n is 0, the exact value of a turn that
        ended the episode; if both are None, no evidence."""
        if n:
            return cls(n, min((reward or 0.0) * n, n))
        return cls(known=reward)

    @property
    def empty(self) -> bool:
        """Whether there is neither an outcome nor a known value."""
        return self.known is None and self.n == 0

    @property
    def mean(self) -> float:
        """r(s_t, a_t). Raises ValueError if there is no outcome."""
        if self.known is not None:
            return self.known
        if not self.n:
            raise ValueError("a step reward needs at least one outcome; got none: run its rollouts first")
        return self.total / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the mean; a single point if the value is known."""
        if self.known is not None:
            return self.known, self.known
        return wilson_interval(self.total, self.n)


def compared_value(outcome: float, progress: float | None, measure: RewardOutcome) -> float:
    """The value of an episode that a rule compares: 1.0 for a success and else 0.0, the share of the goal reached (its
    outcome for rows without), or its reward."""
    if measure == "progress":
        return outcome if progress is None else progress
    return outcome if measure == "score" else float(outcome >= 1.0)
