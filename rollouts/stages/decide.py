"""Stage rewards, second half: step-level reward comparison (method section 2.4), from stored evidence alone.

Every explored turn that differs from the expert's gives one row, deviated or not, also those that a filter
settled without a rollout. No policy and no world is needed: another threshold is decided here again, without
new rollouts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from configs.schema import DeviationConfig, RewardsConfig
from rollouts.rows import Demonstration, Stored, counted, demonstrations, explorations, of_type
from steca.datasets import suffix_rule
from steca.deviation import (
    Candidate,
    Rule,
    Verdict,
    candidate,
    gap_of,
    judge,
    prefilter,
    preset,
    select,
    worth_scoring,
)
from steca.evidence import gap_interval
from steca.exploration import Exploration
from steca.rewards import Tally
from steca.stopping import verdict_so_far
from steca.vocabulary import Decision, GapConclusion
from storage.faults import StorageFault
from storage.ids import content_id
from storage.records import DeviationRecord, Record, RolloutRecord, ScoredTurnRecord

BEYOND = "beyond rewards.candidates"
AFTER_FIRST = "after the first deviation"


@dataclass(frozen=True, slots=True)
class Scored:
    """A stored step reward: its id, and the outcomes that the rule compares."""

    id: str
    tally: Tally


@dataclass(frozen=True, slots=True)
class Compared:
    """One explored turn with the evidence around it; None where nothing is known of a turn."""

    exploration: Exploration
    expert: Stored
    explored: Stored
    reference: Scored | None
    same_step: Scored | None
    reward: Scored | None


class Evidence:
    """The step rewards of a batch by (trajectory id, step index), over the outcomes that the rule looks at."""

    def __init__(self, records: Sequence[Record], outcome: str) -> None:
        self._which = outcome
        self._outcomes: dict[str, list[float]] = {}
        for rollout in of_type(records, RolloutRecord):
            seen = counted(rollout.outcome, rollout.progress, outcome)
            self._outcomes.setdefault(rollout.step_reward_id, []).append(seen)
        self._turns = {(r.trajectory_id, r.step_index): r for r in of_type(records, ScoredTurnRecord)}

    def at(self, holder: Stored, index: int) -> Scored | None:
        turn = self._turns.get((holder.id, index))
        if turn is None:
            return None
        if turn.outcome is not None:
            known = counted(turn.outcome, turn.progress, self._which)
            return Scored(turn.step_reward_id, Tally(known=known))
        outcomes = self._outcomes.get(turn.step_reward_id)
        if not outcomes:
            raise StorageFault(
                f"step reward {turn.step_reward_id} of task {turn.task_id} has no rollouts in its batch: "
                "run the stage again with `steca stage rewards --force`"
            )
        return Scored(turn.step_reward_id, Tally.of(outcomes))


def comparisons(records: Sequence[Record], outcome: str) -> Iterator[Compared]:
    """Every explored turn of a batch that differs from the expert's, by task and step, with its evidence."""
    known = Evidence(records, outcome)
    runs = explorations(records)
    for demo in demonstrations(records):
        for step, run in sorted(runs.get(demo.task.task_id, {}).items()):
            if run.trajectory.steps[step].text != demo.expert.trajectory.steps[step].text:
                yield _compared(demo, run, step, known)


def _compared(demo: Demonstration, run: Stored, step: int, known: Evidence) -> Compared:
    return Compared(
        Exploration(demo.expert.trajectory, run.trajectory, step),
        demo.expert,
        run,
        reference=known.at(demo.expert, step - 1) if step else None,
        same_step=known.at(demo.expert, step),
        reward=known.at(run, step),
    )


def rule_of(config: DeviationConfig) -> Rule:
    """The rule that a configuration asks for."""
    return preset(config.preset, config.delta, config.error_rate, config.smallest_drop)


def sampling_rule_of(config: DeviationConfig, rewards: RewardsConfig) -> Rule:
    """The rule that rollouts are sampled for: a proof in mode sequential, also where the rule itself asks for none."""
    rule = rule_of(config)
    return replace(rule, test="evidence") if rewards.mode == "sequential" else rule


def suffix_rule_of(config: DeviationConfig, rewards: RewardsConfig) -> Rule:
    """How D_s compares."""
    return suffix_rule(sampling_rule_of(config, rewards))


def decide(
    records: Sequence[Record], config: DeviationConfig, rewards: RewardsConfig
) -> list[DeviationRecord]:
    """One row for each comparison, with its verdict and whether it goes on to calibration."""
    rule = rule_of(config)
    judged: list[tuple[Compared, Candidate, Verdict]] = []
    ranks: Counter[str] = Counter()
    ended: set[str] = set()  # tasks whose first deviation is found
    for found in comparisons(records, config.outcome):
        seen = candidate(found.exploration)
        verdict = _judge(found, seen, rule, rewards, ranks, ended)
        if rule.first_only and verdict.verdict == "deviated":
            ended.add(seen.task_id)
        judged.append((found, seen, verdict))
    used = set(select([(seen, verdict) for _, seen, verdict in judged], rule))
    return [_row(found, seen, verdict, config, rewards, seen in used) for found, seen, verdict in judged]


def _judge(
    found: Compared,
    seen: Candidate,
    rule: Rule,
    rewards: RewardsConfig,
    ranks: Counter[str],
    ended: set[str],
) -> Verdict:
    """The verdict on one comparison. Where a side was never sampled, say why: nothing is missing that was wanted."""
    rank = ranks[seen.task_id]
    ranks[seen.task_id] += worth_scoring(seen)
    if not rule.needs_rewards or prefilter(seen, rule) is not None:
        return judge(seen, rule)
    if rewards.candidates is not None and rank >= rewards.candidates:
        return Verdict("filtered", rule.name, BEYOND, rule.delta)
    if seen.task_id in ended and rewards.mode != "fixed":
        return Verdict("filtered", rule.name, AFTER_FIRST, rule.delta)
    return verdict_so_far(_tally(found.reference), _tally(found.reward), rule, rewards.rollouts)


def _tally(scored: Scored | None) -> Tally:
    return scored.tally if scored else Tally()


def _expert_is_better(
    found: Compared, seen: Candidate, config: DeviationConfig, rewards: RewardsConfig
) -> GapConclusion | None:
    """D_s at the same step; None where the expert's turn was not scored."""
    if found.same_step is None or not worth_scoring(seen):
        return None
    rule = suffix_rule_of(config, rewards)
    verdict = verdict_so_far(found.same_step.tally, _tally(found.reward), rule, rewards.rollouts)
    return _BETTER[verdict.verdict]


_BETTER: dict[Decision, GapConclusion] = {
    "deviated": "yes",
    "not_deviated": "no",
    "undecided": "undecided",
}


def _row(
    found: Compared,
    seen: Candidate,
    verdict: Verdict,
    config: DeviationConfig,
    rewards: RewardsConfig,
    selected: bool,
) -> DeviationRecord:
    reference, explored = _tally(found.reference), _tally(found.reward)
    compared = not (reference.empty and explored.empty)
    low, high = gap_interval(reference, explored, config.error_rate) if compared else (None, None)
    fields = {
        "task_id": seen.task_id,
        "expert_trajectory_id": found.expert.id,
        "explored_trajectory_id": found.explored.id,
        "step_index": seen.step,
        "expert_action": seen.expert_action,
        "explored_action": seen.explored_action,
        "explored_success": seen.explored_success,
        "similarity": seen.similarity,
        "continues": seen.continues,
        **_side("reference", found.reference),
        **_side("expert", found.same_step),
        **_side("explored", found.reward),
        "gap": gap_of(reference, explored),
        "gap_low": low,
        "gap_high": high,
        "error_rate": config.error_rate if compared else None,
        "delta": verdict.delta,
        "preset": verdict.preset,
        "outcome": config.outcome,
        "verdict": verdict.verdict,
        "rule": verdict.rule,
        "expert_is_better": _expert_is_better(found, seen, config, rewards),
        "selected": selected,
    }
    return DeviationRecord(deviation_id=content_id("deviation", fields), **fields)


def _side(name: str, scored: Scored | None) -> dict[str, Any]:
    return {
        f"{name}_step_reward_id": scored.id if scored else None,
        f"{name}_reward": scored.tally.mean if scored else None,
        f"{name}_n": scored.tally.n if scored else None,
    }
