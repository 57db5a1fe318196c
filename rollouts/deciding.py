"""Stage rewards, second half: step-level reward comparison (method section 2.4), from stored evidence alone.

Every explored turn that differs from the expert's gives one row, deviated or not, also those that a filter
settled without a rollout. No policy and no world is needed: another threshold is decided here again, without
new rollouts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from configs.schema import DeviationConfig
from rollouts.rows import Demonstration, Stored, demonstrations, explorations, of_type
from steca.deviation import Candidate, Rule, Verdict, candidate, judge, prefilter, preset, select
from steca.exploration import Exploration
from steca.rewards import StepReward
from storage.faults import StorageFault
from storage.ids import content_id
from storage.records import DeviationRecord, Record, RolloutRecord, StepRewardRecord


@dataclass(frozen=True, slots=True)
class Scored:
    """A stored step reward: its row, and the value that the rule compares."""

    row: StepRewardRecord
    value: StepReward


@dataclass(frozen=True, slots=True)
class Compared:
    """One explored turn with the evidence around it; None where nothing was scored."""

    exploration: Exploration
    expert: Stored
    explored: Stored
    reference: Scored | None
    same_step: Scored | None
    reward: Scored | None


class Evidence:
    """The step rewards of a batch by (trajectory id, step index), over the outcomes that the rule looks at."""

    def __init__(self, records: Sequence[Record], outcome: str) -> None:
        self._progress = outcome == "progress"
        self._outcomes: dict[str, list[float]] = {}
        for rollout in sorted(of_type(records, RolloutRecord), key=lambda row: row.sample_index):
            self._outcomes.setdefault(rollout.step_reward_id, []).append(self._seen(rollout))
        self._rows = {(r.trajectory_id, r.step_index): r for r in of_type(records, StepRewardRecord)}

    def _seen(self, rollout: RolloutRecord) -> float:
        return rollout.progress if self._progress and rollout.progress is not None else rollout.outcome

    def at(self, holder: Stored, index: int) -> Scored | None:
        row = self._rows.get((holder.id, index))
        if row is None:
            return None
        if row.terminal:
            return Scored(row, StepReward((row.progress if self._progress else row.reward,), terminal=True))
        outcomes = self._outcomes.get(row.step_reward_id)
        if not outcomes:
            raise StorageFault(
                f"step reward {row.step_reward_id} of task {row.task_id} has no rollouts in its batch: "
                "run the stage again with `steca stage rewards --force`"
            )
        return Scored(row, StepReward(tuple(outcomes)))


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


def decide(records: Sequence[Record], config: DeviationConfig) -> list[DeviationRecord]:
    """One row for each comparison, with its verdict and whether it goes on to calibration."""
    rule = preset(config.preset, config.delta)
    judged = [(found, *_judge(found, rule)) for found in comparisons(records, config.outcome)]
    used = set(select([(seen, verdict) for _, seen, verdict in judged], rule))
    return [_row(found, verdict, config, seen in used) for found, seen, verdict in judged]


def _judge(found: Compared, rule: Rule) -> tuple[Candidate, Verdict]:
    seen = candidate(found.exploration)
    unscored = rule.needs_rewards and (found.reward is None or found.reference is None)
    if unscored and prefilter(seen, rule) is None:
        # Only the earliest candidates of a task are scored where the configuration limits them.
        return seen, Verdict("filtered", rule.name, "beyond rewards.candidates", rule.delta)
    reference = found.reference.value if found.reference else None
    reward = found.reward.value if found.reward else None
    return seen, judge(seen, rule, reference, reward)


def _row(found: Compared, verdict: Verdict, config: DeviationConfig, selected: bool) -> DeviationRecord:
    at = found.exploration
    gap = found.reward.value.mean - found.reference.value.mean if found.reward and found.reference else None
    return DeviationRecord(
        deviation_id=content_id(
            "deviation",
            found.expert.id,
            found.explored.id,
            config.model_dump(mode="json"),
            _ids(found),
            selected,
        ),
        task_id=at.task_id,
        expert_trajectory_id=found.expert.id,
        explored_trajectory_id=found.explored.id,
        step_index=at.step,
        expert_action=at.expert_action,
        explored_action=at.explored_step.action,
        reference_step_reward_id=found.reference.row.step_reward_id if found.reference else None,
        expert_step_reward_id=found.same_step.row.step_reward_id if found.same_step else None,
        explored_step_reward_id=found.reward.row.step_reward_id if found.reward else None,
        reference_reward=found.reference.value.mean if found.reference else None,
        explored_reward=found.reward.value.mean if found.reward else None,
        gap=gap,
        delta=verdict.delta,
        preset=verdict.preset,
        outcome=config.outcome,
        verdict=verdict.verdict,
        rule=verdict.rule,
        selected=selected,
    )


def _ids(found: Compared) -> list[str | None]:
    return [s.row.step_reward_id if s else None for s in (found.reference, found.same_step, found.reward)]
