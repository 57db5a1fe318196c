"""What stored rollouts spare the stage rewards, found before it begins: the rounds of `rollouts.stages.score`, in which
nothing is played."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from configs.schema import FactoryConfig
from rollouts.comparisons import Comparison, RolloutPoint, TaskComparisons
from rollouts.sampling import Outcomes
from rollouts.stages.score import OpenComparisons, merged
from storage.rollout_pool import Rollouts


@dataclass(frozen=True, slots=True)
class Reuse:
    """The rollouts of one task's comparisons. `stored`: those that are there and will be used; `next`: those that are
    sure to be played; `most`: at most so many will be played. `open_share`: of the comparisons, those that need them, 0
    to 1; `begun`: the stored rollouts of these."""

    stored: int
    next: int
    most: int
    open_share: float
    begun: int


def reuse(task: TaskComparisons, config: FactoryConfig, stored: Rollouts) -> Reuse:
    """What is left to play for a task, given its stored rollouts. Exact as far as these decide it: what comes after a
    missing rollout depends on its outcome."""
    outcomes = Outcomes(stored, config.deviation.outcome)
    comparisons = OpenComparisons(task, config, outcomes)
    while requests := merged([comparisons.requests()]):
        complete = [request for request in requests if not outcomes.missing(request)]
        if not complete:
            break
        for request in complete:
            outcomes.use(request)
    following = sum(len(outcomes.missing(request)) for request in requests)
    for request in requests:
        outcomes.use(request)
    points = _unfinished(comparisons.open)
    begun = sum(len(outcomes.used(point)) for point in points)
    return Reuse(
        stored=sum(len(outcomes.used(point)) for point in task.points.values()),
        next=following,
        most=len(points) * _most(config) - begun,
        open_share=len(comparisons.open) / max(len(task.deviations) + len(task.suffixes), 1),
        begun=begun,
    )


def _unfinished(pairs: Sequence[Comparison]) -> list[RolloutPoint]:
    """The points of comparisons whose values are not known, each once."""
    points = {point.id: point for pair in pairs for point in (pair.reference, pair.explored)}
    return [point for point in points.values() if not point.ended]


def _most(config: FactoryConfig) -> int:
    """Most rollouts of a point."""
    rewards = config.rewards
    return rewards.max_rollouts if rewards.mode == "sequential" else rewards.rollouts
