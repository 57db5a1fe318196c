"""Stage rewards, second half: step-level reward comparison (method section 2.4, eq. 5), from stored rollouts alone, or
from what a language model said of each turn.

Every explored turn that differs from the expert's gives one row, deviated or not, also if a filter decided it without
a rollout. This needs neither policy nor world, so another threshold can be applied to the same rollouts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from configs.schema import DeviationConfig, RewardsConfig
from rollouts.rows import (
    Demonstration,
    StoredTrajectory,
    demonstrations,
    explorations,
    of_type,
)
from steca.datasets import suffix_rule
from steca.deviation import (
    Candidate,
    Rule,
    Verdict,
    by_means,
    candidate_of,
    gap_of,
    judge,
    prefilter,
    preset,
    select,
    worth_scoring,
)
from steca.evidence import gap_interval
from steca.exploration import Exploration
from steca.posterior import drop_probability
from steca.rewards import Tally, compared_value
from steca.stopping import verdict_so_far
from steca.vocabulary import Decision, GapConclusion, JudgedLabel, RewardOutcome
from storage.faults import StorageFault
from storage.ids import content_id
from storage.judgement import JudgementRecord
from storage.records import DeviationRecord, Record, RolloutRecord, ScoredTurnRecord

BEYOND = "beyond rewards.candidates"
AFTER_FIRST = "after the first deviation"


@dataclass(frozen=True, slots=True)
class StepReward:
    """A stored step reward: its id, and the outcomes that the rule compares."""

    id: str
    tally: Tally


@dataclass(frozen=True, slots=True)
class ScoredExploration:
    """An exploration with its step rewards, None for a turn without one. `reference_reward` is that of the previous
    expert turn (eq. 5), `expert_reward` that of the expert turn at the same step (D_s)."""

    exploration: Exploration
    expert: StoredTrajectory
    explored: StoredTrajectory
    reference_reward: StepReward | None
    expert_reward: StepReward | None
    explored_reward: StepReward | None


class StepRewards:
    """The step rewards of a batch by (trajectory id, step index), over the outcomes that the rule compares."""

    def __init__(self, records: Sequence[Record], outcome: RewardOutcome) -> None:
        self._measure = outcome
        self._outcomes: dict[str, list[float]] = {}
        for rollout in of_type(records, RolloutRecord):
            value = compared_value(rollout.outcome, rollout.progress, outcome)
            self._outcomes.setdefault(rollout.step_reward_id, []).append(value)
        self._turns = {(r.trajectory_id, r.step_index): r for r in of_type(records, ScoredTurnRecord)}

    def at(self, trajectory: StoredTrajectory, index: int) -> StepReward | None:
        """The step reward of a turn, None if it was not scored. Raises StorageFault if its rollouts are missing."""
        turn = self._turns.get((trajectory.id, index))
        if turn is None:
            return None
        if turn.outcome is not None:
            known = compared_value(turn.outcome, turn.progress, self._measure)
            return StepReward(turn.step_reward_id, Tally(known=known))
        outcomes = self._outcomes.get(turn.step_reward_id)
        if not outcomes:
            raise StorageFault(
                f"step reward {turn.step_reward_id} of task {turn.task_id} has no rollouts in its batch: "
                "run the stage again with `steca stage rewards --force`"
            )
        return StepReward(turn.step_reward_id, Tally.of(outcomes))


class Labels:
    """What a language model said of the turns of a batch, by (trajectory id, step index)."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._labels = {
            (row.trajectory_id, row.step_index): row.label for row in of_type(records, JudgementRecord)
        }

    def of(self, run: StoredTrajectory, step: int) -> JudgedLabel | None:
        """The label of a turn; None if no reply was usable. Raises StorageFault if the turn was not judged."""
        if (run.id, step) not in self._labels:
            raise StorageFault(
                f"step {step} of trajectory {run.id} of task {run.record.task_id} was not judged: run the stage again "
                "with `steca stage rewards --force`"
            )
        return self._labels[run.id, step]


def scored_explorations(records: Sequence[Record], outcome: RewardOutcome) -> Iterator[ScoredExploration]:
    """Every explored turn of a batch that differs from the expert's, by task and step, with its step rewards."""
    rewards = StepRewards(records, outcome)
    runs = explorations(records)
    for demo in demonstrations(records):
        for step, run in sorted(runs.get(demo.task.task_id, {}).items()):
            if run.trajectory.steps[step].text != demo.expert.trajectory.steps[step].text:
                yield _scored_exploration(demo, run, step, rewards)


def _scored_exploration(
    demo: Demonstration, run: StoredTrajectory, step: int, rewards: StepRewards
) -> ScoredExploration:
    return ScoredExploration(
        Exploration(demo.expert.trajectory, run.trajectory, step),
        demo.expert,
        run,
        reference_reward=rewards.at(demo.expert, step - 1) if step else None,
        expert_reward=rewards.at(demo.expert, step),
        explored_reward=rewards.at(run, step),
    )


def rule_of(config: DeviationConfig) -> Rule:
    """The deviation rule of a configuration."""
    return preset(config.preset, config.delta, config.error_rate, config.smallest_drop, config.probability)


def sampling_rule_of(config: DeviationConfig, rewards: RewardsConfig) -> Rule:
    """The rule that decides how much to sample: in mode sequential a proof, even if the configured rule asks for
    less."""
    rule = by_means(rule_of(config))
    return replace(rule, test="evidence") if rewards.mode == "sequential" else rule


def suffix_rule_of(config: DeviationConfig, rewards: RewardsConfig) -> Rule:
    """The rule for D_s. In mode sequential a proof, unless the preset or `deviation.suffixes` asks for less."""
    rule = suffix_rule(rule_of(config))
    if config.suffixes == "means":
        return replace(rule, test="means")
    return rule if rule.test == "posterior" else suffix_rule(sampling_rule_of(config, rewards))


def suffix_sampling_rule_of(config: DeviationConfig, rewards: RewardsConfig) -> Rule:
    """The rule that decides how much to sample for D_s."""
    rule = suffix_rule_of(config, rewards)
    return replace(rule, test="evidence") if rewards.mode == "sequential" else rule


def rollouts_of(rewards: RewardsConfig) -> int | None:
    """N, the rollouts of each side that means and posteriors are taken over; None: of whatever there are."""
    return None if rewards.mode == "sequential" else rewards.rollouts


def decide(
    records: Sequence[Record], config: DeviationConfig, rewards: RewardsConfig
) -> list[DeviationRecord]:
    """One row per explored turn, with its verdict, and whether it is selected for calibration."""
    rule = rule_of(config)
    labels = Labels(records)
    judged: list[tuple[ScoredExploration, Candidate, Verdict]] = []
    ranks: Counter[str] = Counter()
    closed: set[str] = set()  # tasks whose first deviation was found
    for scored in scored_explorations(records, config.outcome):
        candidate = candidate_of(scored.exploration)
        verdict = _judge(scored, candidate, rule, rewards, labels, ranks, closed)
        if rule.first_only and verdict.verdict == "deviated":
            closed.add(candidate.task_id)
        judged.append((scored, candidate, verdict))
    selected = set(select([(candidate, verdict) for _, candidate, verdict in judged], rule))
    return [
        _row(scored, candidate, verdict, config, rewards, candidate in selected)
        for scored, candidate, verdict in judged
    ]


def _judge(
    scored: ScoredExploration,
    candidate: Candidate,
    rule: Rule,
    rewards: RewardsConfig,
    labels: Labels,
    ranks: Counter[str],
    closed: set[str],
) -> Verdict:
    """The verdict on one explored turn; "filtered", with the reason, if it was left out of sampling on purpose."""
    rank = ranks[candidate.task_id]
    ranks[candidate.task_id] += worth_scoring(candidate)
    by_label = rule.test == "judge"
    if not (rule.needs_rewards or by_label) or prefilter(candidate, rule) is not None:
        return judge(candidate, rule)
    if rewards.candidates is not None and rank >= rewards.candidates:
        return Verdict("filtered", rule.name, BEYOND, rule.delta)
    if by_label:
        return judge(candidate, rule, label=labels.of(scored.explored, candidate.step))
    if candidate.task_id in closed and rewards.mode != "fixed":
        return Verdict("filtered", rule.name, AFTER_FIRST, rule.delta)
    return verdict_so_far(
        _tally(scored.reference_reward), _tally(scored.explored_reward), rule, rollouts_of(rewards)
    )


def _tally(reward: StepReward | None) -> Tally:
    return reward.tally if reward else Tally()


def _expert_is_better(
    scored: ScoredExploration, candidate: Candidate, config: DeviationConfig, rewards: RewardsConfig
) -> GapConclusion | None:
    """Whether D_s may use the expert's turn at the same step; None if that turn was not scored."""
    if not worth_scoring(candidate):
        return None
    if config.suffixes == "every":
        return "yes"
    if scored.expert_reward is None:
        return None
    sides = scored.expert_reward.tally, _tally(scored.explored_reward)
    wanted = None if config.suffixes == "means" else rollouts_of(rewards)
    return _BETTER[verdict_so_far(*sides, suffix_rule_of(config, rewards), wanted).verdict]


_BETTER: dict[Decision, GapConclusion] = {
    "deviated": "yes",
    "not_deviated": "no",
    "undecided": "undecided",
}


def _row(
    scored: ScoredExploration,
    candidate: Candidate,
    verdict: Verdict,
    config: DeviationConfig,
    rewards: RewardsConfig,
    selected: bool,
) -> DeviationRecord:
    reference, explored = _tally(scored.reference_reward), _tally(scored.explored_reward)
    compared = not (reference.empty and explored.empty)
    low, high = gap_interval(reference, explored, config.error_rate) if compared else (None, None)
    fields: dict[str, Any] = {
        "task_id": candidate.task_id,
        "expert_trajectory_id": scored.expert.id,
        "explored_trajectory_id": scored.explored.id,
        "step_index": candidate.step,
        "expert_action": candidate.expert_action,
        "explored_action": candidate.explored_action,
        "explored_success": candidate.explored_success,
        "similarity": candidate.similarity,
        "continues": candidate.continues,
        **_reward_fields("reference", scored.reference_reward),
        **_reward_fields("expert", scored.expert_reward),
        **_reward_fields("explored", scored.explored_reward),
        "gap": gap_of(reference, explored),
        "gap_low": low,
        "gap_high": high,
        "error_rate": config.error_rate if compared else None,
        "delta": verdict.delta,
        "preset": verdict.preset,
        "outcome": config.outcome,
        "verdict": verdict.verdict,
        "rule": verdict.rule,
        "expert_is_better": _expert_is_better(scored, candidate, config, rewards),
        "selected": selected,
    }
    if config.preset == "probable":
        fields["drop_probability"] = drop_probability(reference, explored, config.delta) if compared else None
    return DeviationRecord(deviation_id=content_id("deviation", fields), **fields)


def _reward_fields(name: str, reward: StepReward | None) -> dict[str, Any]:
    return {
        f"{name}_step_reward_id": reward.id if reward else None,
        f"{name}_reward": reward.tally.mean if reward else None,
        f"{name}_n": reward.tally.n if reward else None,
    }
