"""A made-up run from explorations to training examples, whose verdicts the method itself gave."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from steca.datasets import suffix_rule
from steca.deviation import Candidate, Rule, decide, judge, prefilter, select
from steca.evidence import gap_interval
from steca.rewards import Tally
from storage.ids import content_id
from storage.records import (
    CalibrationRecord,
    DeviationRecord,
    Record,
    RolloutRecord,
    ScoredTurnRecord,
    StepRecord,
    TaskRecord,
    TrainingExampleRecord,
    TrajectoryRecord,
)
from storage.runs import RunFolder, StageState
from storage.shards import ShardStore
from storage.store import Store
from tests.store_rows import checkpoint

STEPS = 6
ACTIONS = (
    "go to shelf 1",
    "go to desk 2",
    "take cup 1 from desk 2",
    "open fridge 1",
    "look",
    "move cup 1 to fridge 1",
)


def judged_run(
    root: Path, run_id: str, rule: Rule, tasks: int = 12, rollouts: int = 10, **config: Any
) -> Store:
    """Adds the run to the store in `root`. What happened depends on `tasks` and `rollouts` alone, the verdicts on
    `rule`; the last turn of every explored run has no rollouts."""
    records: list[Record] = [checkpoint("c0ffee00c0ffee00")]
    for number in range(tasks):
        records += list(_task(number, rule, rollouts))
    ref = ShardStore(root).write_batch(f"rewards-{run_id}", "b0", records)
    run = RunFolder(root, run_id)
    run.create(run_id, {"deviation": {"preset": rule.name, "delta": rule.delta}, **config})
    began = datetime.now(UTC)
    for stage in ("rewards", "train"):
        run.save_stage(
            StageState(
                stage=stage, round=1, stage_key=f"rewards-{run_id}", status="completed", started_at=began,
                ended_at=began + timedelta(seconds=1), batches=(ref,),
            )
        )  # fmt: skip
    store = Store(root)
    store.ingest()
    return store


def _task(number: int, rule: Rule, rollouts: int) -> Iterator[Record]:
    draw = random.Random(number)
    task = content_id("task", number, rollouts)
    yield TaskRecord(
        task_id=task, world="toy", split="train", task_type="pick_cool_then_place",
        instruction="put a cool cup in the fridge", payload="{}",
    )  # fmt: skip
    expert = content_id("expert", task)
    yield from _trajectory(expert, task, "expert", list(ACTIONS), 1.0)
    yield TrainingExampleRecord(
        example_id=content_id("example", expert, rule.name, rule.delta), dataset="expert", task_id=task,
        trajectory_id=expert, target_from=0, weight=1.0,
    )  # fmt: skip
    values = [draw.uniform(0.3, 1.0) for _ in range(STEPS)]
    turns = [_side(draw, expert, step, task, "expert", values[step], rollouts) for step in range(STEPS)]
    found: list[tuple[Candidate, dict[str, Any]]] = []
    for _, records in turns:
        yield from records
    for step in range(1, STEPS):
        explored = content_id("explored", task, step)
        action = draw.choice(ACTIONS[:5]) if draw.random() < 0.8 else "dance"
        success = draw.random() < 0.15
        rest = [*ACTIONS[:step], action, *draw.choices(ACTIONS, k=draw.randrange(4))]
        yield from _trajectory(explored, task, "explored", rest, float(success), prefix=step)
        seen = Candidate(task, step, ACTIONS[step], action, success, draw.random(), len(rest) > step + 1)
        after = _side(draw, explored, step, task, "explored", values[step - 1] * draw.random(), rollouts)
        scored = step < STEPS - 1
        if scored:
            yield from after[1]
        found.append((seen, _compared(expert, explored, seen, turns, after[0] if scored else None)))
    yield from _judged(found, rule)


def _side(
    draw: random.Random, trajectory: str, step: int, task: str, side: str, value: float, n: int
) -> tuple[tuple[str, Tally], list[Record]]:
    identity = content_id("step_reward", trajectory, step)
    outcomes = [float(draw.random() < value) for _ in range(n)]
    turn = ScoredTurnRecord(
        step_reward_id=identity, trajectory_id=trajectory, step_index=step, task_id=task, side=side,
        checkpoint="c0ffee00c0ffee00",
    )  # fmt: skip
    # Two more than any verdict uses: another verdict paid for them.
    evidence = [
        RolloutRecord(
            rollout_id=content_id("rollout", identity, sample), step_reward_id=identity, sample_index=sample,
            checkpoint="c0ffee00c0ffee00", seed=draw.getrandbits(60), temperature=1.0, top_p=1.0, outcome=outcome,
            progress=0.5, n_steps=3, tokens=33, end_reason="done" if outcome else "step_cap",
            actions=draw.choices(ACTIONS, k=3),
        )
        for sample, outcome in enumerate([*outcomes, 1.0, 1.0])
    ]  # fmt: skip
    return (identity, Tally.of(outcomes)), [turn, *evidence]


def _compared(
    expert: str, explored: str, seen: Candidate, turns: list[Any], after: tuple[str, Tally] | None
) -> dict[str, Any]:
    sides: dict[str, Any] = {
        "reference": turns[seen.step - 1][0],
        "expert": turns[seen.step][0],
        "explored": after,
    }
    if after is None:
        sides = {}
    row: dict[str, Any] = {"expert_trajectory_id": expert, "explored_trajectory_id": explored, "sides": sides}
    for name, (identity, tally) in sides.items():
        row |= {f"{name}_step_reward_id": identity, f"{name}_reward": tally.mean, f"{name}_n": tally.n}
    if after:
        low, high = gap_interval(sides["reference"][1], after[1], 0.05)
        gap = after[1].mean - sides["reference"][1].mean
        row |= {"gap": gap, "gap_low": low, "gap_high": high, "error_rate": 0.05}
    return row


def _judged(found: list[tuple[Candidate, dict[str, Any]]], rule: Rule) -> Iterator[Record]:
    judged = []
    for seen, row in found:
        sides = row.pop("sides")
        reference, expert, explored = (
            sides.get(name, (None, None))[1] for name in ("reference", "expert", "explored")
        )
        if explored is None and rule.needs_rewards and prefilter(seen, rule) is None:
            row |= {"verdict": "filtered", "rule": "no rollouts"}
            continue
        verdict = judge(seen, rule, reference, explored)
        row |= {"verdict": verdict.verdict, "rule": verdict.rule}
        if explored is not None:
            better = decide(expert, explored, suffix_rule(rule)).verdict
            row["expert_is_better"] = {"deviated": "yes", "not_deviated": "no"}.get(better, "undecided")
        judged.append((seen, verdict))
    chosen = select(judged, rule)
    for seen, row in found:
        record = DeviationRecord(
            deviation_id=content_id("deviation", rule.name, rule.delta, row["explored_trajectory_id"]),
            task_id=seen.task_id, step_index=seen.step, expert_action=seen.expert_action,
            explored_action=seen.explored_action, explored_success=seen.explored_success,
            similarity=seen.similarity, continues=seen.continues, delta=rule.delta, preset=rule.name,
            outcome="success", selected=seen in chosen, **row,
        )  # fmt: skip
        yield record
        yield from _learnt(record)


def _learnt(row: DeviationRecord) -> Iterator[Record]:
    """The repair of a selected deviation with its D_c example, and the D_s example of a better expert turn."""
    if row.selected:
        identity = content_id("calibration", row.deviation_id)
        calibrated = content_id("calibrated", row.deviation_id)
        actions = [*ACTIONS[: row.step_index], row.explored_action, *ACTIONS[row.step_index :]]
        yield from _trajectory(calibrated, row.task_id, "calibrated", actions, 1.0)
        yield CalibrationRecord(
            calibration_id=identity, deviation_id=row.deviation_id, task_id=row.task_id, trajectory_id=calibrated,
            reflector="template", reflection=f"I did {row.explored_action}, which does not help; back to the task.",
            required_action=row.expert_action, plan="expert_suffix", kept=True,
        )  # fmt: skip
        yield TrainingExampleRecord(
            example_id=content_id("example", identity), dataset="calibrated", task_id=row.task_id,
            trajectory_id=calibrated, target_from=row.step_index + 1, weight=1.0 + row.step_index / 10,
            distance=0.5, contrast_trajectory_id=row.explored_trajectory_id, calibration_id=identity,
            deviation_id=row.deviation_id,
        )  # fmt: skip
    if row.expert_is_better == "yes" and not row.explored_success:
        yield TrainingExampleRecord(
            example_id=content_id("suffix", row.deviation_id), dataset="expert_suffix", task_id=row.task_id,
            trajectory_id=row.expert_trajectory_id, target_from=row.step_index, weight=1.0, distance=0.5,
            contrast_trajectory_id=row.explored_trajectory_id, deviation_id=row.deviation_id,
        )  # fmt: skip


def _trajectory(
    identity: str, task: str, kind: Any, actions: list[str], outcome: float, prefix: int = 0
) -> Iterator[Record]:
    yield TrajectoryRecord(
        trajectory_id=identity, task_id=task, kind=kind, checkpoint="c0ffee00c0ffee00" if kind == "explored" else None,
        prefix_steps=prefix, first_observation="You are in a room.", n_steps=len(actions), outcome=outcome,
        success=outcome >= 1, end_reason="done" if outcome else "step_cap", invalid_actions=0,
    )  # fmt: skip
    for step, action in enumerate(actions):
        yield StepRecord(
            trajectory_id=identity, step_index=step, origin="policy", text=f"Action: {action}", thought="",
            action=action, observation="You see things.", valid=True, tokens=5,
        )  # fmt: skip
