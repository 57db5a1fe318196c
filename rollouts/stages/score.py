"""Stage rewards, first half: rollouts for the comparisons that need them (method section 2.3), round after round.

In each round every open comparison of a task requests outcomes for either side (`steca.stopping`). Stored rollouts are
reused; the missing ones are played from environment snapshots. Each task has rounds of its own: those of its next round
join the rollouts that are running for other tasks. Under a budget the tasks go from round to round together, so that
the most promising comparisons of all come first if it does not cover a whole round.

Mode fixed scores whatever any rule could use, so that its rollouts can be judged by another threshold or preset. The
other modes score a task's candidates in order, and stop at its first deviation if the rule uses no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from configs.schema import FactoryConfig
from environments.complete import CompleteWorld
from models.policy import Policy
from rollouts.budget import BudgetTracker
from rollouts.comparisons import Comparison, TaskComparisons, comparisons_of, ipr_comparisons
from rollouts.sampling import Outcomes, Rounds, Sampler, SampleRequest
from rollouts.stages.decide import rollouts_of
from steca.rewards import Tally
from steca.stopping import Curtailed, Fixed, Sequential, StoppingRule, verdict_so_far
from steca.vocabulary import Progress
from storage.records import Record
from storage.rollout_pool import RolloutPool

Compare = Callable[[CompleteWorld, Sequence[Record], FactoryConfig, str], list[TaskComparisons]]
"""Makes the comparisons of a batch's tasks from its rows and the digest of the scorer."""


def score(
    world: CompleteWorld,
    policy: Policy,
    records: Sequence[Record],
    config: FactoryConfig,
    progress: Progress | None = None,
    pool: RolloutPool | None = None,
    tracker: BudgetTracker | None = None,
    compare: Compare = comparisons_of,
) -> list[Record]:
    """Rows of all scored turns and their rollouts. `policy` is the scorer: the frozen warm-up policy.

    `pool` stores the rollouts for other runs and for a retry. `tracker` is charged for them; its `limit_reached` names
    the limit that ended the work early, if any. `compare` makes the comparisons that need rollouts.
    """
    tasks = compare(world, records, config, policy.digest)
    sampler = Sampler(world, policy, config, tasks, pool, tracker or BudgetTracker())
    try:
        if sampler.tracker.limited and not _sample(tasks, config, sampler, progress, best_first=True):
            return sampler.rows()
        sampler.restart()  # if the budget suffices, the order that it imposed must not change the result
        _sample(tasks, config, sampler, progress, best_first=False)
        return sampler.rows()
    finally:
        sampler.save()


score_for_ipr = partial(score, compare=ipr_comparisons)
"""The rows that method ipr needs; otherwise as `score`, in mode fixed."""


def _sample(
    tasks: Sequence[TaskComparisons],
    config: FactoryConfig,
    sampler: Sampler,
    progress: Progress | None,
    best_first: bool,
) -> bool:
    """Sample from rollouts that all runs share: repeat if a concurrent run saved some of them first."""
    while True:
        if sampler.tracker.limited:
            sampler.load(tasks)
            by_task = [OpenComparisons(task, config, sampler) for task in tasks]
            complete = _rounds_together(by_task, sampler, progress, best_first)
        else:
            _each_in_its_rounds(tasks, config, sampler, progress)
            complete = True
        if sampler.reconcile():
            return complete


def _each_in_its_rounds(
    tasks: Sequence[TaskComparisons], config: FactoryConfig, sampler: Sampler, progress: Progress | None
) -> None:
    """Sample until every comparison is closed. Tasks that another batch plays come last, with what it has stored."""
    left = list(tasks)
    while left:
        with sampler.playing(left) as mine:
            by_task = [OpenComparisons(task, config, sampler) for task in mine]
            sampler.sample_joined([_rounds(comparisons, sampler) for comparisons in by_task], progress)
        done = {task.task_id for task in mine}
        left = [task for task in left if task.task_id not in done]


def _rounds_together(
    by_task: Sequence[OpenComparisons], sampler: Sampler, progress: Progress | None, best_first: bool
) -> bool:
    """Sample until every comparison is closed; False if the budget ended it. `best_first`: each round serves only the
    requests with at least half the highest priority."""
    while requests := merged(comparisons.requests() for comparisons in by_task):
        if best_first:
            requests = [one for one in requests if one.priority >= requests[0].priority / 2]
        if not sampler.sample(requests, progress):
            return False
    return True


def _rounds(comparisons: OpenComparisons, outcomes: Outcomes) -> Rounds:
    """The rounds of one task, until all its comparisons are closed."""
    while requests := merged([comparisons.requests()]):
        if missing := [draw for request in requests for draw in outcomes.missing(request)]:
            yield missing
        for request in requests:
            outcomes.use(request)


def merged(by_task: Iterable[Iterable[SampleRequest]]) -> list[SampleRequest]:
    """One request per point, with the largest n and the highest priority; highest priority first."""
    merged: dict[str, SampleRequest] = {}
    for requests in by_task:
        for request in requests:
            known = merged.setdefault(request.point.id, request)
            first = max(known, request, key=lambda one: (one.priority, -one.rank))
            merged[request.point.id] = SampleRequest(
                request.point, max(known.n, request.n), first.priority, first.rank
            )
    return sorted(merged.values(), key=lambda request: (-request.priority, request.rank))


class OpenComparisons:
    """The comparisons of one task that still need outcomes."""

    def __init__(self, task: TaskComparisons, config: FactoryConfig, outcomes: Outcomes) -> None:
        self._outcomes, self._config = outcomes, config
        self._suffixes, self._deviations = list(task.suffixes), list(task.deviations)
        self._in_order = any(
            pair.rule.first_only and stopping_rule_of(config, pair).in_order for pair in task.deviations
        )

    @property
    def open(self) -> tuple[Comparison, ...]:
        """Those that were open at the last `requests`, and those that wait for them."""
        return (*self._deviations, *self._suffixes)

    def requests(self) -> Iterator[SampleRequest]:
        """What the open comparisons need next. Closed ones are dropped."""
        self._suffixes = [pair for pair in self._suffixes if self._open(pair)]
        self._deviations = self._still_open()
        deviations = self._deviations[:1] if self._in_order else self._deviations
        for pair in (*deviations, *self._suffixes):
            reference, explored = self._tallies(pair)
            stopping = stopping_rule_of(self._config, pair)
            n, m = stopping.target_counts(reference, explored)
            priority = stopping.priority(reference, explored)
            if n > reference.n:
                yield SampleRequest(pair.reference, n, priority, pair.rank)
            if m > explored.n:
                yield SampleRequest(pair.explored, m, priority, pair.rank)

    def _still_open(self) -> list[Comparison]:
        if not self._in_order:
            return [pair for pair in self._deviations if self._open(pair)]
        for number, pair in enumerate(self._deviations):
            if self._open(pair):
                return self._deviations[number:]
            rollouts = rollouts_of(self._config.rewards)
            if verdict_so_far(*self._tallies(pair), pair.rule, rollouts).verdict == "deviated":
                return []
        return []

    def _open(self, pair: Comparison) -> bool:
        reference, explored = self._tallies(pair)
        target = stopping_rule_of(self._config, pair).target_counts(reference, explored)
        return target != (reference.n, explored.n)

    def _tallies(self, pair: Comparison) -> tuple[Tally, Tally]:
        return self._outcomes.tally(pair.reference), self._outcomes.tally(pair.explored)


def stopping_rule_of(config: FactoryConfig, pair: Comparison) -> StoppingRule:
    """The rule that says when a comparison has enough outcomes."""
    rewards = config.rewards
    if rewards.mode == "fixed":
        return Fixed(rewards.rollouts)
    if rewards.mode == "curtailed":
        return Curtailed(rewards.rollouts, pair.rule)
    return Sequential(pair.rule, rewards.max_rollouts, rewards.worth)
