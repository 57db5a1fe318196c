"""Step rewards (method section 2.3): r(s_t, a_t) = (1/N) * sum of the outcomes of N rollouts after a_t.

A reward is kept with all its outcomes, so that how far it can be trusted is never lost: 3 successes of 5 are
a mean of .6 with a 95 % interval of .23 to .88.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

TIE = 1e-9
"""Differences of two means this near to a threshold are ties: .6 - .5 is not .1 in binary."""


def step_reward(outcomes: Sequence[float]) -> float:
    """r(s_t, a_t): the mean of the rollouts' outcomes, each in [0, 1].

    Raises ValueError where there is no outcome, or one lies outside [0, 1]: none is ever guessed.
    """
    if not outcomes:
        raise ValueError("a step reward needs at least one outcome; got none: run its rollouts first")
    for index, outcome in enumerate(outcomes):
        if not 0.0 <= outcome <= 1.0:
            raise ValueError(f"outcome {index} is {outcome}, outside [0, 1]; scale the environment's reward")
    return math.fsum(outcomes) / len(outcomes)


def wilson_interval(successes: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for a success rate; (0, 1) where n is 0.

    `successes` may be a sum of outcomes in [0, 1] instead of a count: the interval is then on the safe side,
    as no variable in [0, 1] varies more than a binary one of equal mean.
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
class StepReward:
    """The Monte-Carlo value of one turn, with its evidence.

    `outcomes` are the rollouts' outcomes. Where the turn ended the episode (`terminal`), it is the one true
    outcome, known exactly: no rollout was played, so `n` and `successes` are 0 and the interval is a point.
    """

    outcomes: tuple[float, ...]
    terminal: bool = False

    def __post_init__(self) -> None:
        step_reward(self.outcomes)
        if self.terminal and len(self.outcomes) != 1:
            raise ValueError(f"a turn that ended the episode has one outcome; got {len(self.outcomes)}")

    @property
    def mean(self) -> float:
        return step_reward(self.outcomes)

    @property
    def n(self) -> int:
        """Rollouts behind the mean."""
        return 0 if self.terminal else len(self.outcomes)

    @property
    def successes(self) -> int:
        """Rollouts that reached the goal (outcome 1)."""
        return 0 if self.terminal else sum(outcome >= 1.0 for outcome in self.outcomes)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the mean."""
        if self.terminal:
            return self.mean, self.mean
        return wilson_interval(math.fsum(self.outcomes), self.n)
