"""What the rollouts of a stage will cost, estimated from the explorations that they start from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from configs.needed import compares_suffixes
from configs.schema import BudgetConfig, FactoryConfig
from rollouts.budget import cost, describe_spending
from rollouts.comparisons import StoredPoints, TaskComparisons, comparisons_of, ipr_comparisons
from rollouts.stages.decide import rule_of
from rollouts.stages.reuse import Reuse, reuse
from steca.allocation import plan
from steca.preferences import ipr_rule
from storage.records import StepRecord, TrajectoryRecord
from storage.rollout_pool import RolloutPool
from storage.runs import Spent
from storage.shards import BatchRef

if TYPE_CHECKING:  # the pages of stages, which show the forecast, are published by it
    from flows.stage_run import StageRun


@dataclass(frozen=True, slots=True)
class Work:
    """Rollouts: `stored` are there already; `likely` are expected to be played, at most
    `most`."""

    stored: int = 0
    likely: float = 0
    most: float = 0

    def __add__(self, other: Work) -> Work:
        return Work(self.stored + other.stored, self.likely + other.likely, self.most + other.most)


def forecast(stage: StageRun, pairs: Sequence[Sequence[BatchRef]], scorer: str) -> str:
    """One line for batches of (demonstrations, explorations) and the digest of their scorer: candidates, the expected
    number of rollouts, those of them that are stored and cost nothing, the cost of the others, and what the run has
    spent before. Raises StorageFault where a batch is missing or damaged."""
    runs = [run for pair in pairs for run in stage.resources.shards.read(pair[-1], TrajectoryRecord)]
    candidates, *estimate = expected(runs, stage.config)
    if not candidates:
        return "forecast: no explored run failed, so no rollouts"
    work = _with_stored(stage, pairs, scorer, {run.task_id for run in runs}) or Work(0, *estimate)
    about = f"at most {candidates:,} candidates, about {_rollouts(stage, work, runs, pairs[0][-1])}"
    if stage.config.judges:
        about += f" and {candidates:,} judgements"
    return f"forecast: {about}; spent so far: {describe_spending(stage.tracker.spent, stage.config.budget)}"


def _rollouts(stage: StageRun, work: Work, runs: Sequence[TrajectoryRecord], sample: BatchRef) -> str:
    likely, most = round(work.likely), round(work.most)
    if work.stored and not most:
        return f"{work.stored:,} rollouts, all of which are stored already and cost nothing"
    price = describe_spending(_cost(stage, likely, runs, sample), _prices(stage.config))
    left = f"{price}; at most {most:,} rollouts"
    if not work.stored:
        return left
    stored = f"of which {work.stored:,} are stored already and cost nothing"
    return f"{work.stored + likely:,} rollouts, {stored}; left to play: about {left}"


def _with_stored(
    stage: StageRun, pairs: Sequence[Sequence[BatchRef]], scorer: str, tasks: Collection[str]
) -> Work | None:
    """The work that the stored rollouts leave; None where there are none for these comparisons, so that nothing more
    is known than the number of candidates."""
    pool = stage.resources.rollout_pool(scorer, stage.force)
    if not any(pool.load(task) for task in tasks):
        return None
    work = sum((_of_batch(stage, pair, scorer, pool) for pair in pairs), Work())
    return work if work.stored else None


def _of_batch(stage: StageRun, pair: Sequence[BatchRef], scorer: str, pool: RolloutPool) -> Work:
    """Stored rollouts are found by the ids of their points, for which nothing is played."""
    resources, config = stage.resources, stage.config
    records = [row for ref in pair for row in resources.shards.read_batch(ref)]
    compare = ipr_comparisons if config.training.method == "ipr" else comparisons_of
    compared = compare(resources.world, records, config, scorer, StoredPoints)
    return sum(
        (_of_task(task, config, reuse(task, config, pool.load(task.task_id))) for task in compared), Work()
    )


def _of_task(task: TaskComparisons, config: FactoryConfig, begun: Reuse) -> Work:
    """What is expected of the candidates whose comparisons are open, less what is stored for them."""
    candidates = len({pair.rank for pair in (*task.deviations, *task.suffixes)})
    likely, _ = per_candidate(config)
    left = max(likely * candidates * begun.open_share - begun.begun, begun.next)
    return Work(begun.stored, min(left, begun.most), begun.most)


def expected(explorations: Sequence[TrajectoryRecord], config: FactoryConfig) -> tuple[int, int, int]:
    """Of these explored runs: at most so many candidates, rollouts expected for them, and at most so many, stored ones
    among them."""
    candidates = _candidates(explorations, config)
    likely, most = (round(each * candidates) for each in per_candidate(config))
    return candidates, likely, most


def _prices(config: FactoryConfig) -> BudgetConfig:
    """The budget without its limits: a forecast says what the whole work costs."""
    return config.budget.model_copy(update=dict.fromkeys(("rollouts", "tokens", "minutes", "usd")))


def _candidates(runs: Sequence[TrajectoryRecord], config: FactoryConfig) -> int:
    """Failed runs from a prefix: slightly more than are scored, because some differ in their thought only. For IPR as
    released, successful ones too: it scores those that are shorter than the expert's."""
    training, limit = config.training, config.rewards.candidates
    every = training.method == "ipr" and ipr_rule(training.preferences.preset, None).shorter_wins
    counts = Counter(run.task_id for run in runs if run.prefix_steps and (every or not run.success))
    return sum(n if limit is None else min(n, limit) for n in counts.values())


def per_candidate(config: FactoryConfig) -> tuple[float, float]:
    """(expected, most) rollouts for one candidate: its explored turn, and the expert's before and beside it."""
    rewards, rule = config.rewards, rule_of(config.deviation)
    if config.training.method == "ipr":
        return 2 * rewards.rollouts, 2 * rewards.rollouts
    sides = 3 if config.datasets.expert_suffixes or rewards.mode == "fixed" else 2
    if rewards.mode == "fixed":
        return sides * rewards.rollouts, sides * rewards.rollouts
    if not rule.needs_rewards and rewards.evidence == "needed":
        sides = 2 if compares_suffixes(config) else 0
    if rewards.mode == "curtailed":
        return 0.6 * sides * rewards.rollouts, sides * rewards.rollouts
    made = plan(rule.delta, rule.error_rate, rewards.max_rollouts, 1.0 / rewards.worth)
    return sides / 2 * made.expected_rollouts, sides * rewards.max_rollouts


def _cost(stage: StageRun, rollouts: int, runs: Sequence[TrajectoryRecord], sample: BatchRef) -> Spent:
    """Assumes that rollouts are about as long and as slow as the explored runs."""
    steps = stage.resources.shards.read(sample, StepRecord)
    written = [step.tokens for step in steps if step.tokens]
    turns = sum(run.n_steps - run.prefix_steps for run in runs) / len(runs)
    tokens = round(rollouts * turns * sum(written) / max(len(written), 1))
    return cost(rollouts, tokens, rollouts * _seconds_each(stage, len(runs)), stage.config.budget)


def _seconds_each(stage: StageRun, explored: int) -> float:
    """Measured on the run's own rollouts, else on its explorations; 0 if both came from the cache."""
    if stage.tracker.spent.rollouts:
        return stage.tracker.spent.seconds / stage.tracker.spent.rollouts
    state = stage.folder.stage(stage.round, "explore")
    if state is None or state.seconds is None or state.cached_batches:
        return 0.0
    return state.seconds / explored
