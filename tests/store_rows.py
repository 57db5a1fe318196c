"""Hand-made rows for the tests of the store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from storage.records import (
    CalibrationRecord,
    CheckpointRecord,
    DeviationRecord,
    EvaluationRecord,
    Record,
    RolloutRecord,
    StepRecord,
    StepRewardRecord,
    TaskRecord,
    TrainingExampleRecord,
    TrajectoryRecord,
)
from storage.runs import RunFolder, StageState
from storage.shards import BatchRef

BEGUN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def task(name: str, instruction: str = "put a cup in the sink") -> TaskRecord:
    return TaskRecord(
        task_id=name, world="toy", split="train", task_type="pick", instruction=instruction, payload="{}"
    )


def trajectory(name: str) -> TrajectoryRecord:
    return TrajectoryRecord(
        trajectory_id=name,
        task_id="task",
        kind="explored",
        checkpoint="c0",
        prefix_steps=1,
        first_observation="You see a sink 1.",
        n_steps=2,
        outcome=1.0,
        success=True,
        end_reason="done",
        invalid_actions=0,
        progress=None,
    )


def step(trajectory_id: str, index: int) -> StepRecord:
    return StepRecord(
        trajectory_id=trajectory_id,
        step_index=index,
        origin="policy",
        text="Thought: 'so' \"it\" is.\nAction: look — ü",
        thought="'so' \"it\" is.",
        action="look — ü",
        observation="",
        valid=True,
        tokens=7,
    )


def rollout(name: str, index: int, actions: list[str]) -> RolloutRecord:
    return RolloutRecord(
        rollout_id=name,
        step_reward_id="r",
        sample_index=index,
        checkpoint="c0",
        seed=2**63 - 1,
        temperature=1.0,
        top_p=1.0,
        outcome=0.0,
        n_steps=len(actions),
        tokens=9,
        end_reason="step_cap",
        actions=actions,
    )


def step_reward(name: str, reward: float, low: float, high: float) -> StepRewardRecord:
    return StepRewardRecord(
        step_reward_id=name,
        task_id="task",
        trajectory_id="x",
        step_index=1,
        side="expert",
        checkpoint="c0",
        n=5,
        successes=round(5 * reward),
        reward=reward,
        progress=0.5,
        low=low,
        high=high,
        terminal=False,
    )


def deviation(
    name: str, verdict: str, rewards: tuple[str, float, str, float] | None = None
) -> DeviationRecord:
    """`rewards`: (reference id, its reward, explored id, its reward); None where filtered."""
    reference, before, explored, after = rewards or (None, None, None, None)
    return DeviationRecord(
        deviation_id=name,
        task_id="task",
        expert_trajectory_id="e",
        explored_trajectory_id="x",
        step_index=1,
        expert_action="look",
        explored_action="go",
        reference_step_reward_id=reference,
        explored_step_reward_id=explored,
        reference_reward=before,
        explored_reward=after,
        gap=None if rewards is None else rewards[3] - rewards[1],
        delta=0.0,
        preset="paper",
        outcome="success",
        verdict=verdict,
        rule="made up",
        selected=verdict == "deviated",
    )


def calibration(name: str, plan: str, rejection: str | None) -> CalibrationRecord:
    return CalibrationRecord(
        calibration_id=name,
        deviation_id="d",
        task_id="task",
        trajectory_id="x",
        reflector="template",
        reflection="That was wrong.",
        required_action="look",
        plan=plan,
        kept=rejection is None,
        rejection=rejection,
    )


def example(name: str, dataset: str) -> TrainingExampleRecord:
    return TrainingExampleRecord(
        example_id=name, dataset=dataset, task_id="task", trajectory_id="x", target_from=0, weight=1.0
    )


def checkpoint(digest: str) -> CheckpointRecord:
    return CheckpointRecord(
        digest=digest,
        path="checkpoints/c0",
        role="warmup",
        round=0,
        examples=1,
        steps=2,
        target_tokens=3,
        final_loss=0.5,
        losses=[1.0, 0.5],
        parameters=4,
    )


def evaluation(name: str, task_type: str, success: bool, invalid: int = 0) -> EvaluationRecord:
    return EvaluationRecord(
        evaluation_id=name,
        checkpoint="c0",
        role="warmup",
        split="unseen",
        start="task",
        task_id="task",
        task_type=task_type,
        trajectory_id="x",
        success=success,
        n_steps=3,
        invalid_actions=invalid,
    )


def one_of_each() -> list[Record]:
    """A row of every table."""
    return [
        task("task"),
        trajectory("x"),
        step("x", 0),
        rollout("o", 0, ["look", ""]),
        step_reward("r", 0.2, 0.1, 0.6),
        deviation("d", "filtered"),
        calibration("a", "planner", None),
        example("s", "calibrated"),
        checkpoint("c0"),
        evaluation("v", "pick", True),
    ]


def record_run(root: Path, run_id: str, *refs: BatchRef, round: int = 1) -> None:
    """Run files of a run whose one stage in `round` gave these batches."""
    run = RunFolder(root, run_id)
    run.create(run_id, {"name": run_id})
    run.save_stage(
        StageState(
            stage="explore",
            round=round,
            stage_key="explore-1",
            status="completed",
            started_at=BEGUN,
            ended_at=BEGUN + timedelta(seconds=2),
            seconds=2.0,
            batches=refs,
        )
    )
