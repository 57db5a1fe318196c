"""Hand-made rows for the tests of the store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from steca.evidence import gap_interval
from steca.rewards import Tally
from storage.judgement import JudgementRecord
from storage.records import (
    CalibrationRecord,
    CheckpointRecord,
    DeviationRecord,
    EvaluationRecord,
    LlmCallRecord,
    PreferencePairRecord,
    Record,
    RepairChoiceRecord,
    RolloutRecord,
    ScoredTurnRecord,
    StepRecord,
    TaskRecord,
    TrainingExampleRecord,
    TrajectoryRecord,
)
from storage.runs import RunFolder, StageState
from storage.shards import BatchRef, ShardStore
from storage.sql.store_names import VALUES, store_columns
from storage.store import Store

BEGUN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def in_the_store(record: Record) -> dict[str, object]:
    """The row of a record as its table has it."""
    read = VALUES.get(record.table, {})
    row = record.model_dump()
    row |= {field: words.get(row[field], row[field]) for field, words in read.items()}
    return {column: row[field] for field, column in store_columns(type(record)).items()}


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


def rollout(
    name: str,
    index: int,
    actions: list[str],
    of: str = "r",
    outcome: float = 0.0,
    progress: float | None = None,
) -> RolloutRecord:
    return RolloutRecord(
        rollout_id=name,
        step_reward_id=of,
        sample_index=index,
        checkpoint="c0",
        seed=2**63 - 1 - index,
        temperature=1.0,
        top_p=1.0,
        outcome=outcome,
        progress=progress,
        n_steps=len(actions),
        tokens=9,
        end_reason="step_cap",
        actions=actions,
    )


def rollouts(of: str, outcomes: Sequence[float]) -> list[RolloutRecord]:
    """One rollout after the turn `of` for each outcome."""
    return [rollout(f"{of}-{n}", n, ["look", f"go {n}"], of, outcome) for n, outcome in enumerate(outcomes)]


def scored_turn(
    name: str, side: str, outcome: float | None = None, trajectory_id: str = "x", step_index: int = 1
) -> ScoredTurnRecord:
    """`outcome`: that of a turn that ended the episode; None where rollouts say."""
    return ScoredTurnRecord(
        step_reward_id=name,
        trajectory_id=trajectory_id,
        step_index=step_index,
        task_id="task",
        side=side,
        checkpoint="c0",
        outcome=outcome,
        progress=outcome,
    )


Side = tuple[str, float, int]
"""A step reward of a comparison: its id, its mean, and the rollouts behind it (0: the turn ended the episode)."""


def deviation(
    name: str, verdict: str, reference: Side | None = None, explored: Side | None = None, **fields: object
) -> DeviationRecord:
    """Sides are None where filtered; `fields` are any others of the row."""
    before, after = reference or (None, None, None), explored or (None, None, None)
    gap: dict[str, object] = {}
    if reference or explored:
        low, high = gap_interval(tally(reference), tally(explored), 0.05)
        gap = {"gap_low": low, "gap_high": high, "error_rate": 0.05}
    if reference and explored:
        gap["gap"] = explored[1] - reference[1]
    row: dict[str, object] = {
        "deviation_id": name,
        "task_id": "task",
        "expert_trajectory_id": "e",
        "explored_trajectory_id": "x",
        "step_index": 1,
        "expert_action": "look",
        "explored_action": "go",
        "explored_success": False,
        "similarity": 0.5,
        "continues": True,
        "delta": 0.0,
        "preset": "paper",
        "outcome": "success",
        "verdict": verdict,
        "rule": "made up",
        "selected": verdict == "deviated",
    }
    for side, (identity, reward, n) in (("reference", before), ("explored", after)):
        row |= {f"{side}_step_reward_id": identity, f"{side}_reward": reward, f"{side}_n": n}
    return DeviationRecord.model_validate(row | gap | fields)


def tally(side: Side | None) -> Tally:
    """What the rules compare of a side."""
    if side is None:
        return Tally()
    _, reward, n = side
    return Tally(n, reward * n) if n else Tally(known=reward)


def judgement(
    name: str,
    label: str | None,
    trajectory_id: str = "x",
    step_index: int = 1,
    model: str = "gpt-4o",
    task_id: str = "task",
) -> JudgementRecord:
    return JudgementRecord.model_validate(
        {
            "judgement_id": name,
            "task_id": task_id,
            "trajectory_id": trajectory_id,
            "step_index": step_index,
            "label": label,
            "reason": "It looks around twice.",
            "model": model,
            "attempts": 1,
        }
    )


def repair_choice(name: str, deviation_id: str = "d", chosen: bool = True) -> RepairChoiceRecord:
    return RepairChoiceRecord(
        choice_id=name,
        deviation_id=deviation_id,
        task_id="task",
        choose="random",
        rank=1,
        chosen=chosen,
        expected_gap=-0.25,
        drop_probability=0.875,
    )


def calibration(
    name: str, plan: str, rejection: str | None, detail: str | None = None, deviation_id: str = "d"
) -> CalibrationRecord:
    return CalibrationRecord(
        calibration_id=name,
        deviation_id=deviation_id,
        task_id="task",
        trajectory_id="x",
        reflector="template",
        reflection="That was wrong.",
        required_action="look",
        plan=plan,
        kept=rejection is None,
        rejection=rejection,
        rejection_detail=detail,
    )


def example(
    name: str,
    dataset: str,
    calibration_id: str | None = None,
    deviation_id: str | None = None,
    weight: float = 1.0,
) -> TrainingExampleRecord:
    return TrainingExampleRecord(
        example_id=name,
        dataset=dataset,
        task_id="task",
        trajectory_id="x",
        target_from=0,
        weight=weight,
        calibration_id=calibration_id,
        deviation_id=deviation_id,
    )


def pair(name: str, chosen: str, rejected: str, **fields: object) -> PreferencePairRecord:
    """A pair of whole runs; `fields` are any others of the row."""
    row: dict[str, object] = {
        "pair_id": name,
        "method": "eto",
        "kind": "outcome",
        "task_id": "task",
        "chosen_trajectory_id": chosen,
        "chosen_from": 0,
        "chosen_to": 2,
        "rejected_trajectory_id": rejected,
        "rejected_from": 0,
        "rejected_to": 2,
    }
    return PreferencePairRecord.model_validate(row | fields)


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


def evaluation(
    name: str, task_type: str, success: bool, invalid: int = 0, **fields: object
) -> EvaluationRecord:
    """`fields` are any others of the row."""
    row: dict[str, object] = {
        "evaluation_id": name,
        "checkpoint": "c0",
        "role": "warmup",
        "split": "unseen",
        "start": "task",
        "task_id": "task",
        "task_type": task_type,
        "trajectory_id": "x",
        "success": success,
        "n_steps": 3,
        "invalid_actions": invalid,
    }
    return EvaluationRecord.model_validate(row | fields)


def llm_call(
    name: str, usd: float | None = 0.25, purpose: str = "reflection", **fields: object
) -> LlmCallRecord:
    return LlmCallRecord.model_validate(
        {
            "call_id": name,
            "purpose": purpose,
            "request_id": f"request-{name}",
            "model": "gpt-4o",
            "served_model": "gpt-4o-2024-11-20",
            "server": "api.example.org",
            "started_at": "2026-11-25T00:00:00.000+00:00",
            "latency": 1.5,
            "waited": 4.0,
            "retries": 1,
            "faults": ["rate_limit"],
            "prompt_tokens": 900,
            "cached_tokens": 100,
            "completion_tokens": 50,
            "finish": "stop",
            "ok": True,
            "usd": usd,
            **fields,
        }
    )


def one_of_each() -> list[Record]:
    """A row of every table."""
    return [
        task("task"),
        trajectory("x"),
        step("x", 0),
        rollout("o", 0, ["look", ""]),
        scored_turn("r", "expert"),
        deviation("d", "filtered"),
        judgement("j", "bad"),
        repair_choice("h"),
        calibration("a", "planner", None),
        example("s", "calibrated"),
        pair("p", "e", "x"),
        checkpoint("c0"),
        evaluation("v", "pick", True),
        llm_call("l"),
    ]


def record_run(root: Path, run_id: str, *refs: BatchRef, round: int = 1, **config: object) -> None:
    """Run files of a run whose one stage in `round` gave these batches; `config` is more of its configuration."""
    run = RunFolder(root, run_id)
    run.create(run_id, {"name": run_id, **config})
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


def ingested_run(root: Path, batches: int) -> Path:
    """A data folder with one run, `toy-1`, whose batches have a task and a step each."""
    shards = ShardStore(root)
    refs = [
        shards.write_batch("explore-1", f"b{n}", [task(f"t{n}"), step(f"x{n}", 0)]) for n in range(batches)
    ]
    record_run(root, "toy-1", *refs)
    Store(root).ingest()
    return root
