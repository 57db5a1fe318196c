"""What the rollouts of a stage will cost, estimated from the explorations that they start from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from configs.needed import compares_suffixes
from configs.schema import BudgetConfig, FactoryConfig
from rollouts.budget import cost, describe_spending
from rollouts.comparisons import StoredPoints, comparisons_of, ipr_comparisons
from rollouts.rows import by_task
from rollouts.stages.decide import rule_of
from rollouts.stages.reuse import Reuse, reuse
from steca.allocation import plan
from steca.preferences import ipr_rule
from storage.records import StepRecord, TrajectoryRecord
from storage.rollout_pool import Rollouts
from storage.runs import Spent
from storage.shards import BatchRef

if TYPE_CHECKING:  # the pages of stages, which show the forecast, are published by it
    from flows.stage_run import StageRun


@dataclass(frozen=True, slots=True)
class Expected:
    """Rollouts for `candidates` (at most so many): `stored` are there already; `likely` are expected to be played, at
    most `most`."""

    candidates: int = 0
    stored: int = 0
    likely: float = 0.0
    most: float = 0.0

    def __add__(self, other: Expected) -> Expected:
        return Expected(
            self.candidates + other.candidates,
            self.stored + other.stored,
            self.likely + other.likely,
            self.most + other.most,
        )


def forecast(stage: StageRun, pairs: Sequence[Sequence[BatchRef]], scorer: str) -> str:
    """One line for batches of (demonstrations, explorations) and the digest of their scorer: candidates, the expected
    number of rollouts, those of them that are stored and cost nothing, the cost of the others, and what the run has
    spent before. Raises StorageFault where a batch is missing or damaged."""
    work = sum((_of_batch(stage, pair, scorer) for pair in pairs), Expected())
    if not work.candidates:
        return "forecast: no explored run failed, so no rollouts"
    about = f"at most {work.candidates:,} candidates, about {_rollouts(stage, work, [pair[-1] for pair in pairs])}"
    if stage.config.judges:
        about += f" and {work.candidates:,} judgements"
    return f"forecast: {about}; spent so far: {describe_spending(stage.tracker.spent, stage.config.budget)}"


def _rollouts(stage: StageRun, work: Expected, explorations: Sequence[BatchRef]) -> str:
    likely, most = round(work.likely), round(work.most)
    if work.stored and not most:
        return f"{work.stored:,} rollouts, all of which are stored already and cost nothing"
    runs = [run for ref in explorations for run in stage.resources.shards.read(ref, TrajectoryRecord)]
    price = describe_spending(_cost(stage, likely, runs, explorations[0]), _prices(stage.config))
    left = f"{price}; at most {most:,} rollouts"
    if not work.stored:
        return left
    stored = f"of which {work.stored:,} are stored already and cost nothing"
    return f"{work.stored + likely:,} rollouts, {stored}; left to play: about {left}"


def _of_batch(stage: StageRun, pair: Sequence[BatchRef], scorer: str) -> Expected:
    runs = stage.resources.shards.read(pair[-1], TrajectoryRecord)
    pool = stage.resources.rollout_pool(scorer, stage.force)
    stored = {task: rows for task in {run.task_id for run in runs} if (rows := pool.load(task))}
    begun = _begun(stage, pair, scorer, stored) if stored else {}
    own: dict[str, list[TrajectoryRecord]] = {}
    for run in runs:
        own.setdefault(run.task_id, []).append(run)
    parts = (_of_task(each, stage.config, begun.get(task)) for task, each in own.items())
    return sum(parts, Expected())


def _begun(
    stage: StageRun, pair: Sequence[BatchRef], scorer: str, stored: Mapping[str, Rollouts]
) -> dict[str, Reuse]:
    """By task, what its stored rollouts spare. They are found by the ids of their points, for which nothing is
    played."""
    resources, config = stage.resources, stage.config
    records = by_task(row for ref in pair for row in resources.shards.read_batch(ref))
    compare = ipr_comparisons if config.training.method == "ipr" else comparisons_of
    rows = [row for task in stored for row in records[task]]
    compared = compare(resources.world, rows, config, scorer, StoredPoints)
    return {task.task_id: reuse(task, config, stored[task.task_id]) for task in compared}


def _of_task(runs: Sequence[TrajectoryRecord], config: FactoryConfig, begun: Reuse | None) -> Expected:
    """Without stored rollouts an estimate from the number of candidates. With some, it covers the comparisons that are
    open, less what is there for them."""
    n = _candidates(runs, config)
    likely, most = (each * n for each in per_candidate(config))
    if begun is None or not begun.stored:
        return Expected(n, 0, likely, most)
    left = max(likely * begun.open_share - begun.begun, begun.next)
    return Expected(n, begun.stored, min(left, begun.most), begun.most)


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
