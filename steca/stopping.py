"""When a comparison has had enough rollouts: the modes of the rewards stage.

    fixed        N outcomes on each side, as published
    curtailed    the same verdicts from fewer: stop once the outcomes to come cannot change the verdict
    sequential   as long as a verdict can still be won at a fair price (`steca.allocation`)

A mode is asked again after each round. It answers how many outcomes each side should have next; where that is what
they have, the comparison is closed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from steca.allocation import SamplingPlan, plan
from steca.deviation import Rule, Verdict, decide, gap_of
from steca.rewards import Tally
from steca.vocabulary import Decision

TOO_FEW = "too few rollouts"
Wanted = tuple[int, int]
"""Outcomes that (the reference, the explored turn) should have."""


class Stopping(Protocol):
    """`in_order`: the later candidates of a task wait for the verdicts on the earlier ones."""

    in_order: bool

    def wanted(self, reference: Tally, explored: Tally) -> Wanted: ...

    def worth(self, reference: Tally, explored: Tally) -> float:
        """How much the next rollouts promise: which comparison comes first where not all can be paid."""
        ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """N outcomes on each side, whatever they are: another rule can be applied to them later."""

    rollouts: int
    in_order = False

    def wanted(self, reference: Tally, explored: Tally) -> Wanted:
        return self._of(reference), self._of(explored)

    def _of(self, side: Tally) -> int:
        return self.rollouts if side.known is None else 0

    def worth(self, reference: Tally, explored: Tally) -> float:
        return 0.0


@dataclass(frozen=True, slots=True)
class Curtailed:
    """As many outcomes as are needed at the least, until the verdict of N on each side is certain. Asked for one by one
    they would be the same outcomes, in more rounds.

    First comes the side whose failures alone can settle it: where two sides without a success are a deviation (`<=`)
    the explored turn, else the reference. For a policy that mostly fails the other order takes nearly twice as many.
    """

    rollouts: int
    rule: Rule
    in_order = True

    def wanted(self, reference: Tally, explored: Tally) -> Wanted:
        if settled(reference, explored, self.rule, self.rollouts) is not None:
            return reference.n, explored.n
        missing = [tally.known is None and tally.n < self.rollouts for tally in (reference, explored)]
        nothing = Tally(self.rollouts)
        explored_first = decide(nothing, nothing, self.rule).verdict == "deviated"
        if missing[1] and (explored_first or not missing[0]):
            return reference.n, self._least(explored, lambda side: self._settled(reference, side))
        return self._least(reference, lambda side: self._settled(side, explored)), explored.n

    def worth(self, reference: Tally, explored: Tally) -> float:
        return float(reference.n + explored.n)  # finish what is begun

    def _settled(self, reference: Tally, explored: Tally) -> bool:
        return settled(reference, explored, self.rule, self.rollouts) is not None

    def _least(self, side: Tally, certain: Callable[[Tally], bool]) -> int:
        """How many outcomes a side has when the verdict can be certain at the earliest: all failures or all successes
        settle most."""
        for more in range(1, self.rollouts - side.n):
            if any(certain(Tally(side.n + more, side.total + won)) for won in (0, more)):
                return side.n + more
        return self.rollouts


def settled(reference: Tally, explored: Tally, rule: Rule, rollouts: int) -> Decision | None:
    """The verdict that N outcomes on each side will give, if those that are there already decide it, else None."""
    (least, most), (low, high) = _span(reference, rollouts), _span(explored, rollouts)
    best = decide(least, high, rule).verdict
    return best if best == decide(most, low, rule).verdict else None


def verdict_so_far(reference: Tally, explored: Tally, rule: Rule, rollouts: int) -> Verdict:
    """The verdict of a rule that needs rewards, on whatever evidence there is: "undecided" where it is not enough, also
    for a comparison of means whose N outcomes are neither there nor certain."""
    if rule.test == "evidence":
        return decide(reference, explored, rule)
    if settled(reference, explored, rule, rollouts) is None:
        return Verdict("undecided", rule.name, TOO_FEW, rule.delta, gap_of(reference, explored))
    (least, _), (low, _) = _span(reference, rollouts), _span(explored, rollouts)
    return replace(decide(least, low, rule), gap=gap_of(reference, explored))


def _span(tally: Tally, rollouts: int) -> tuple[Tally, Tally]:
    """What the side may come to: all outcomes to come 0, and all of them 1."""
    if tally.known is not None:
        return tally, tally
    return Tally(rollouts, tally.total), Tally(rollouts, tally.total + rollouts - tally.n)


@dataclass(frozen=True, slots=True)
class Sequential:
    """Whatever `plan` says next, until there is a verdict, or none that is worth its rollouts."""

    rule: Rule
    max_rollouts: int
    worth_rollouts: int
    in_order = True

    def wanted(self, reference: Tally, explored: Tally) -> Wanted:
        if decide(reference, explored, self.rule).verdict != "undecided":
            return reference.n, explored.n
        return self._plan(reference, explored).next(reference, explored)

    def worth(self, reference: Tally, explored: Tally) -> float:
        return self._plan(reference, explored).value(reference, explored)

    def _plan(self, reference: Tally, explored: Tally) -> SamplingPlan:
        return plan(
            self.rule.delta,
            self.rule.error_rate,
            self.max_rollouts,
            1.0 / self.worth_rollouts,
            reference.known,
            explored.known,
        )
