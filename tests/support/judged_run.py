"""A synthetic run from explorations to training examples, with verdicts by the method itself."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from steca.datasets import suffix_rule
from steca.deviation import Candidate, Rule, Verdict, judge, prefilter, select, worth_scoring
from steca.evidence import gap_interval
from steca.rewards import Tally
from steca.stopping import verdict_so_far
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
from tests.support.store_rows import checkpoint

STEPS = 6
ROLLOUTS = 10
POLICY = "c0ffee00c0ffee00"
ACTIONS = (
    "go to shelf 1",
    "go to desk 2",
    "take cup 1 from desk 2",
    "open fridge 1",
    "look",
    "move cup 1 to fridge 1",
)


def judged_run(
    root: Path, run_id: str, rule: Rule, mode: str = "fixed", tasks: int = 12, wanted: int = 6, **config: Any
) -> Store:
    """Adds the run to the store in `root`: every turn but the last explored one of a task has 10 rollouts, of which
    means use the first `wanted`. The outcomes depend on the task only, the verdicts on `rule` and `mode`."""
    records: list[Record] = [checkpoint(POLICY)]
    for number in range(tasks):
        records += list(_task(number, Judge(rule, mode, wanted)))
    ref = ShardStore(root).write_batch(f"rewards-{run_id}", "b0", records)
    run = RunFolder(root, run_id)
    rewards = {"mode": mode, "rollouts": wanted, "candidates": None}
    run.create(
        run_id, {"deviation": {"preset": rule.name, "delta": rule.delta}, "rewards": rewards, **config}
    )
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


@dataclass(frozen=True)
class Judge:
    """How a run decides."""

    rule: Rule
    mode: str
    wanted: int

    @property
    def suffixes(self) -> Rule:
        return suffix_rule(replace(self.rule, test="evidence") if self.mode == "sequential" else self.rule)

    def used(self, outcomes: list[float]) -> Tally:
        """All outcomes if a proof is required, else the first `wanted`."""
        proof = self.mode == "sequential" or self.rule.test == "evidence"
        return Tally.of(outcomes if proof else outcomes[: self.wanted])

    def verdicts(self, found: list[ScoredCandidate]) -> Iterator[Verdict]:
        ended = False
        for at in found:
            if not self.rule.needs_rewards or prefilter(at.seen, self.rule):
                yield judge(at.seen, self.rule)
            elif ended and self.mode != "fixed":
                yield Verdict("filtered", self.rule.name, "after the first deviation", self.rule.delta)
            else:
                verdict = verdict_so_far(
                    at.sides["reference"][1], at.sides["explored"][1], self.rule, self.wanted
                )
                ended = ended or (self.rule.first_only and verdict.verdict == "deviated")
                yield verdict


@dataclass(frozen=True)
class ScoredCandidate:
    """One explored turn, and by side the id and the tally of each turn."""

    seen: Candidate
    expert: str
    explored: str
    sides: dict[str, tuple[str, Tally]]


def _task(number: int, by: Judge) -> Iterator[Record]:
    draw = random.Random(number)
    task = content_id("task", number)
    yield TaskRecord(
        task_id=task, world="toy", split="train", task_type="pick_cool_then_place",
        instruction="put a cool cup in the fridge", payload="{}",
    )  # fmt: skip
    expert = content_id("expert", task)
    yield from _trajectory(expert, task, "expert", list(ACTIONS), 1.0)
    yield TrainingExampleRecord(
        example_id=content_id("example", expert), dataset="expert", task_id=task, trajectory_id=expert,
        target_from=0, weight=1.0,
    )  # fmt: skip
    values = [draw.uniform(0.3, 1.0) for _ in range(STEPS)]
    turns = [_side(draw, expert, step, task, "expert", values[step]) for step in range(STEPS)]
    for _, _, records in turns:
        yield from records
    found = []
    for step in range(1, STEPS):
        explored = content_id("explored", task, step)
        action = draw.choice(ACTIONS[:5]) if draw.random() < 0.8 else "dance"
        success = draw.random() < 0.15
        rest = [*ACTIONS[:step], action, *draw.choices(ACTIONS, k=draw.randrange(4))]
        yield from _trajectory(explored, task, "explored", rest, float(success), prefix=step)
        seen = Candidate(task, step, ACTIONS[step], action, success, draw.random(), len(rest) > step + 1)
        after = _side(draw, explored, step, task, "explored", values[step - 1] * draw.random())
        sides = {"reference": turns[step - 1], "expert": turns[step], "explored": after}
        if step < STEPS - 1:
            yield from after[2]
            known = {name: (identity, by.used(outcomes)) for name, (identity, outcomes, _) in sides.items()}
        else:
            known = {name: ("", Tally()) for name in sides}
        found.append(ScoredCandidate(seen, expert, explored, known))
    yield from _judged(found, by)


def _side(
    draw: random.Random, trajectory: str, step: int, task: str, side: str, value: float
) -> tuple[str, list[float], list[Record]]:
    identity = content_id("step_reward", trajectory, step)
    outcomes = [float(draw.random() < value) for _ in range(ROLLOUTS)]
    turn = ScoredTurnRecord(
        step_reward_id=identity, trajectory_id=trajectory, step_index=step, task_id=task, side=side,
        checkpoint=POLICY,
    )  # fmt: skip
    # Two more than any verdict uses, as if sampled for another verdict.
    evidence = [
        RolloutRecord(
            rollout_id=content_id("rollout", identity, sample), step_reward_id=identity, sample_index=sample,
            checkpoint=POLICY, seed=draw.getrandbits(60), temperature=1.0, top_p=1.0, outcome=outcome,
            progress=0.5, n_steps=3, tokens=33, end_reason="done" if outcome else "step_cap",
            actions=draw.choices(ACTIONS, k=3),
        )
        for sample, outcome in enumerate([*outcomes, 1.0, 1.0])
    ]  # fmt: skip
    return identity, outcomes, [turn, *evidence]


def _judged(found: list[ScoredCandidate], by: Judge) -> Iterator[Record]:
    verdicts = list(by.verdicts(found))
    chosen = select(zip((at.seen for at in found), verdicts, strict=True), by.rule)
    for at, verdict in zip(found, verdicts, strict=True):
        record = DeviationRecord(
            deviation_id=content_id("deviation", at.explored, by.mode, by.wanted, asdict(by.rule)),
            task_id=at.seen.task_id, step_index=at.seen.step, expert_action=at.seen.expert_action,
            explored_action=at.seen.explored_action, explored_success=at.seen.explored_success,
            similarity=at.seen.similarity, continues=at.seen.continues, delta=by.rule.delta, preset=by.rule.name,
            outcome="success", verdict=verdict.verdict, rule=verdict.rule, selected=at.seen in chosen,
            expert_trajectory_id=at.expert, explored_trajectory_id=at.explored, **_evidence(at, by),
        )  # fmt: skip
        yield record
        yield from _learnt(record)


def _evidence(at: ScoredCandidate, by: Judge) -> dict[str, Any]:
    row: dict[str, Any] = {}
    (_, reference), (_, expert), (_, explored) = at.sides.values()
    if explored.empty:
        return row
    for name, (identity, tally) in at.sides.items():
        row |= {f"{name}_step_reward_id": identity, f"{name}_reward": tally.mean, f"{name}_n": tally.n}
    low, high = gap_interval(reference, explored, 0.05)
    row |= {"gap": explored.mean - reference.mean, "gap_low": low, "gap_high": high, "error_rate": 0.05}
    if worth_scoring(at.seen):
        better = verdict_so_far(expert, explored, by.suffixes, by.wanted).verdict
        row["expert_is_better"] = {"deviated": "yes", "not_deviated": "no"}.get(better, "undecided")
    return row


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
        trajectory_id=identity, task_id=task, kind=kind, checkpoint=POLICY if kind == "explored" else None,
        prefix_steps=prefix, first_observation="You are in a room.", n_steps=len(actions), outcome=outcome,
        success=outcome >= 1, end_reason="done" if outcome else "step_cap", invalid_actions=0,
    )  # fmt: skip
    for step, action in enumerate(actions):
        yield StepRecord(
            trajectory_id=identity, step_index=step, origin="policy", text=f"Action: {action}", thought="",
            action=action, observation="You see things.", valid=True, tokens=5,
        )  # fmt: skip
