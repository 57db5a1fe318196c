"""What the rollouts of a stage will cost, estimated from the explorations that they start from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from configs.needed import compares_suffixes
from configs.schema import BudgetConfig, FactoryConfig
from rollouts.budget import cost, describe_spending
from rollouts.stages.decide import rule_of
from steca.allocation import plan
from steca.preferences import ipr_rule
from storage.records import StepRecord, TrajectoryRecord
from storage.runs import Spent
from storage.shards import BatchRef

if TYPE_CHECKING:  # the pages of stages, which show the forecast, are published by it
    from flows.stage_run import StageRun


def forecast(stage: StageRun, explorations: Sequence[BatchRef]) -> str:
    """One line: candidates, the expected number of rollouts and their cost, and what the run has spent before. Stored
    rollouts cost nothing and are not taken into account."""
    runs = [run for ref in explorations for run in stage.resources.shards.read(ref, TrajectoryRecord)]
    candidates, likely, most = expected(runs, stage.config)
    if not candidates:
        return "forecast: no explored run failed, so no rollouts"
    price = describe_spending(_cost(stage, likely, runs, explorations[0]), _prices(stage.config))
    about = f"forecast: at most {candidates:,} candidates, about {price}; at most {most:,} rollouts"
    if stage.config.judges:
        about += f" and {candidates:,} judgements"
    return f"{about}; spent so far: {describe_spending(stage.tracker.spent, stage.config.budget)}"


def expected(explorations: Sequence[TrajectoryRecord], config: FactoryConfig) -> tuple[int, int, int]:
    """Of these explored runs: at most so many candidates, rollouts expected for them, and at most so many."""
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
