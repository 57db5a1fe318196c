"""Stage rewards, first half: rollouts for the comparisons that need them (method section 2.3), round after round.

In each round every open comparison says how many outcomes it wants next on either side (`steca.stopping`); what the
data folder's evidence has is taken from there, the rest is played, all of it together, from environment snapshots.
Where the budget does not pay for a whole round, the comparisons that promise most come first.

Mode fixed scores whatever any rule could use, so that another threshold or preset is decided from its rollouts. In the
other modes a task's candidates are scored in order, up to its first deviation where the rule uses no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from configs.schema import FactoryConfig
from environments.base import World
from models.policy import Policy
from rollouts.budget import BudgetTracker
from rollouts.comparisons import Comparison, TaskComparisons, comparisons_of
from rollouts.sampling import Sampler, Wanted
from steca.rewards import Tally
from steca.stopping import Curtailed, Fixed, Sequential, Stopping, verdict_so_far
from steca.vocabulary import Progress
from storage.records import Record
from storage.rollout_pool import RolloutPool


def score(
    world: World,
    policy: Policy,
    records: Sequence[Record],
    config: FactoryConfig,
    progress: Progress | None = None,
    pool: RolloutPool | None = None,
    tracker: BudgetTracker | None = None,
) -> list[Record]:
    """Rows of all scored turns and their rollouts. `policy` is the scorer: the frozen warm-up policy.

    `pool` keeps the rollouts for other runs and for the next try; `tracker` pays for them, and its `cut` says which
    limit ended the work early, if one did.
    """
    tasks = comparisons_of(world, records, config, policy.digest)
    sampler = Sampler(world, policy, config, tasks, pool, tracker or BudgetTracker())
    try:
        if sampler.tracker.limited and not _settle(tasks, config, sampler, progress, choosy=True):
            return sampler.rows()
        sampler.restart()  # what a budget let come first must not decide what comes out where it suffices
        _settle(tasks, config, sampler, progress, choosy=False)
        return sampler.rows()
    finally:
        sampler.file()


def _settle(
    tasks: Sequence[TaskComparisons],
    config: FactoryConfig,
    sampler: Sampler,
    progress: Progress | None,
    choosy: bool,
) -> bool:
    """Rounds over rollouts that every run agrees on: again, where another run at work has filed some of them first."""
    while True:
        whole = _rounds(tasks, config, sampler, progress, choosy)
        if sampler.settled():
            return whole


def _rounds(
    tasks: Sequence[TaskComparisons],
    config: FactoryConfig,
    sampler: Sampler,
    progress: Progress | None,
    choosy: bool,
) -> bool:
    """Sample until every comparison is closed; False where the budget ended it. `choosy`: in each round only the
    comparisons that promise at least half as much as the best."""
    queues = [TaskQueue(task, config, sampler) for task in tasks]
    while wanted := _merged(queue.wanted() for queue in queues):
        if choosy:
            wanted = [wish for wish in wanted if wish.worth >= wanted[0].worth / 2]
        if not sampler.take(wanted, progress):
            return False
    return True


def _merged(queues: Iterable[Iterable[Wanted]]) -> list[Wanted]:
    """One wish a point, the largest, the most urgent first."""
    best: dict[str, Wanted] = {}
    for queue in queues:
        for wish in queue:
            known = best.setdefault(wish.point.id, wish)
            urgent = max(known, wish, key=lambda w: (w.worth, -w.rank))
            best[wish.point.id] = Wanted(wish.point, max(known.n, wish.n), urgent.worth, urgent.rank)
    return sorted(best.values(), key=lambda wish: (-wish.worth, wish.rank))


class TaskQueue:
    """The comparisons of one task that are still open."""

    def __init__(self, task: TaskComparisons, config: FactoryConfig, sampler: Sampler) -> None:
        self._sampler, self._config = sampler, config
        self._suffixes, self._deviations = list(task.suffixes), list(task.deviations)
        self._in_order = any(
            pair.rule.first_only and stopping(config, pair).in_order for pair in task.deviations
        )

    def wanted(self) -> Iterator[Wanted]:
        """What the open comparisons want next. Those that are done are forgotten."""
        self._suffixes = [pair for pair in self._suffixes if self._open(pair)]
        self._deviations = self._still_open()
        deviations = self._deviations[:1] if self._in_order else self._deviations
        for pair in (*deviations, *self._suffixes):
            reference, explored = self._tallies(pair)
            mode = stopping(self._config, pair)
            n, m = mode.wanted(reference, explored)
            worth = mode.worth(reference, explored)
            if n > reference.n:
                yield Wanted(pair.reference, n, worth, pair.rank)
            if m > explored.n:
                yield Wanted(pair.explored, m, worth, pair.rank)

    def _still_open(self) -> list[Comparison]:
        if not self._in_order:
            return [pair for pair in self._deviations if self._open(pair)]
        for number, pair in enumerate(self._deviations):
            if self._open(pair):
                return self._deviations[number:]
            rollouts = self._config.rewards.rollouts
            if verdict_so_far(*self._tallies(pair), pair.rule, rollouts).verdict == "deviated":
                return []
        return []

    def _open(self, pair: Comparison) -> bool:
        reference, explored = self._tallies(pair)
        return stopping(self._config, pair).wanted(reference, explored) != (reference.n, explored.n)

    def _tallies(self, pair: Comparison) -> tuple[Tally, Tally]:
        return self._sampler.tally(pair.reference), self._sampler.tally(pair.explored)


def stopping(config: FactoryConfig, pair: Comparison) -> Stopping:
    """How long a comparison is sampled under a configuration."""
    rewards = config.rewards
    if rewards.mode == "fixed":
        return Fixed(rewards.rollouts)
    if rewards.mode == "curtailed":
        return Curtailed(rewards.rollouts, pair.rule)
    return Sequential(pair.rule, rewards.max_rollouts, rewards.worth)
