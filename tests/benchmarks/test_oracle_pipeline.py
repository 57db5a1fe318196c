"""The whole rewards stage on the oracle world: verdicts and intervals compared with the exact step values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

import pytest

from benchmarks.oracle import OraclePolicy, corridor, make
from configs.load import check
from configs.schema import FactoryConfig
from rollouts.rows import of_type
from rollouts.stages.decide import decide
from rollouts.stages.demonstrate import demonstrate
from rollouts.stages.explore import explore
from rollouts.stages.score import score
from storage.records import DeviationRecord, RolloutRecord, TaskRecord

WORLD, CAP, STREAK, TASKS = make(), 12, 3, 250


@dataclass(frozen=True)
class Judged:
    """A verdict, the true gap and the true progress gap behind it."""

    row: DeviationRecord
    gap: float


def settings(mode: str, preset: str, delta: float, outcome: str) -> FactoryConfig:
    return check(
        {
            "environment": {"name": "oracle", "step_cap": CAP, "invalid_streak": STREAK},
            "rewards": {"mode": mode, "worth": 150},
            "deviation": {"preset": preset, "delta": delta, "outcome": outcome},
            "datasets": {"expert_suffixes": False},
        },
        "test",
    )


@cache
def judged(mode: str, preset: str, delta: float, outcome: str = "success") -> tuple[list[Judged], int]:
    """Every comparison that passed the filters and was sampled, and the number of rollouts."""
    chosen, policy = settings(mode, preset, delta, outcome), OraclePolicy()
    records = list(demonstrate(WORLD, WORLD.tasks("train", TASKS, 0), chosen))
    records += explore(WORLD, policy, records, chosen)
    rows = score(WORLD, policy, records, chosen)
    payloads = {task.task_id: task.payload for task in of_type(records, TaskRecord)}
    verdicts = decide([*records, *rows], chosen.deviation, chosen.rewards)
    found = [
        Judged(row, true_gap(payloads[row.task_id], row, outcome))
        for row in verdicts
        if row.verdict != "filtered" and row.gap_high is not None
    ]
    return found, len(of_type(rows, RolloutRecord))


def true_gap(payload: str, row: DeviationRecord, outcome: str) -> float:
    here, step = corridor(json.loads(payload)["name"]), row.step_index
    then = here.after(step, row.explored_action)
    column = 1 if outcome == "progress" else 0
    reference = here.value(step, CAP - step, STREAK)[column]
    explored = here.value(then, CAP - step - 1, STREAK, int(then == step))[column]
    return explored - reference


def false_flags(mode: str, preset: str, delta: float) -> tuple[int, int]:
    """(flagged, all) of the comparisons without a drop below delta."""
    without = [one for one in judged(mode, preset, delta)[0] if one.gap >= delta]
    return sum(one.row.verdict == "deviated" for one in without), len(without)


@pytest.mark.parametrize("outcome", ["success", "progress"])
def test_the_intervals_of_the_gap_hold_the_true_gap(outcome: str) -> None:
    found, _ = judged("sequential", "sequential", -0.3, outcome)
    assert len(found) > 100
    for missed in (
        sum(one.gap >= one.row.gap_high for one in found if one.row.gap_high is not None),
        sum(one.gap <= one.row.gap_low for one in found if one.row.gap_low is not None),
    ):
        assert missed <= 0.05 * len(found)


def test_proven_drops_are_drops_and_the_means_of_five_are_often_not() -> None:
    """The threshold is -.3, so that small drops do not count. The control is the published rule on the same turns."""
    proven, without = false_flags("sequential", "sequential", -0.3)
    published, of_same = false_flags("fixed", "paper", -0.3)
    assert min(without, of_same) > 50
    assert proven <= 0.05 * without
    assert published > 0.1 * of_same


def test_large_drops_are_proven_and_small_ones_hardly_ever() -> None:
    """Power: many drops of .3 and more are proven, hardly any below .1."""
    found, rollouts = judged("sequential", "sequential", 0.0)
    share = {}
    for name, low, high in (("large", -1.0, -0.3), ("small", -0.1, 0.0)):
        gaps = [one for one in found if low <= one.gap < high]
        assert len(gaps) > 20
        share[name] = sum(one.row.verdict == "deviated" for one in gaps) / len(gaps)
    assert share["large"] > 0.4 > 0.1 > share["small"]
    assert rollouts < 20 * len(found)
