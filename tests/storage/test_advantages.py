"""GiGPO's advantages: the view against another implementation, and figures worked out by hand."""

from __future__ import annotations

import random
from collections import defaultdict
from itertools import groupby
from pathlib import Path
from statistics import mean, stdev

import pytest

from storage.records import Record, StepRecord, TrajectoryRecord
from storage.shards import ShardStore
from storage.store import Store
from tests.support.store_rows import record_run, step, trajectory

GAMMA, EPSILON = 0.95, 1e-6
Key = tuple[str, int]
"""Trajectory and step."""


def sampled(
    name: str,
    observations: str,
    outcome: float,
    task: str = "task",
    checkpoint: str = "c0",
    temperature: float = 1.0,
    kind: str = "sampled",
) -> list[Record]:
    """A run that saw these observations (single letters), one before each of its turns."""
    head = trajectory(name).model_copy(
        update={
            "task_id": task, "kind": kind, "checkpoint": checkpoint, "temperature": temperature, "sample_index": 0,
            "first_observation": observations[0], "n_steps": len(observations), "outcome": outcome,
        }
    )  # fmt: skip
    seen = [*observations[1:], "the end"]
    return [head, *(step(name, i).model_copy(update={"observation": text}) for i, text in enumerate(seen))]


def expected(records: list[Record]) -> dict[Key, tuple[float, float, float]]:
    """(episode, step, whole) advantage of every turn, as the paper and the authors' code say, over lists."""
    groups: dict[tuple[object, ...], list[TrajectoryRecord]] = defaultdict(list)
    steps: dict[str, list[StepRecord]] = defaultdict(list)
    for row in records:
        if isinstance(row, TrajectoryRecord) and row.kind == "sampled":
            groups[row.task_id, row.checkpoint, row.temperature].append(row)
        elif isinstance(row, StepRecord):
            steps[row.trajectory_id].append(row)
    found: dict[Key, tuple[float, float, float]] = {}
    for runs in groups.values():
        turns = []
        for run in runs:
            rewards = [0.0] * (run.n_steps - 1) + [run.outcome]
            seen = [run.first_observation, *(row.observation for row in steps[run.trajectory_id])]
            value = 0.0
            for at in reversed(range(run.n_steps)):
                value = rewards[at] + GAMMA * value
                turns.append((seen[at], run.trajectory_id, at, run.outcome, value))
        outcomes = [outcome for *_, outcome, _ in turns]
        for _, of_anchor in groupby(sorted(turns), key=lambda turn: turn[0]):
            anchor = list(of_anchor)
            values = [value for *_, value in anchor]
            for _, run_id, at, outcome, value in anchor:
                episode, local = normal(outcome, outcomes), normal(value, values)
                found[run_id, at] = (episode, local, episode + 1.0 * local)
    return found


def normal(value: float, among: list[float]) -> float:
    return (value - mean(among)) / (stdev(among) + EPSILON) if len(among) > 1 else 0.0


def advantages(root: Path, records: list[Record], run: str = "run") -> dict[Key, tuple[float, ...]]:
    store = Store(root)
    record_run(root, run, ShardStore(root).write_batch("explore-1", f"sample-{run}", records))
    store.ingest()
    sql = """SELECT trajectory_id, step_index, episode_advantage, step_advantage, advantage FROM gigpo_advantages
             WHERE run_id = ?"""
    return {(name, at): tuple(rest) for name, at, *rest in store.query(sql, [run])[1]}


def test_two_runs_by_hand(tmp_path: Path) -> None:
    """One wins in two turns, one loses in three. Their first turns saw the same, `b` was seen twice in one run."""
    found = advantages(tmp_path, [*sampled("won", "ab", 1.0), *sampled("lost", "acb", 0.0)])
    by_turns = [1.0, 1.0, 0.0, 0.0, 0.0]  # a run counts once for each of its turns
    assert found["won", 0][0] == pytest.approx((1 - 0.4) / (stdev(by_turns) + EPSILON))
    assert found["lost", 2][0] == pytest.approx((0 - 0.4) / (stdev(by_turns) + EPSILON))
    assert found["won", 0][1] == pytest.approx((0.95 - 0.475) / (stdev([0.95, 0.0]) + EPSILON))
    assert found["won", 1][1] == pytest.approx((1.0 - 0.5) / (stdev([1.0, 0.0]) + EPSILON))
    assert found["lost", 1][1] == 0.0  # nobody else saw c
    assert found["lost", 1][2] == found["lost", 1][0] != 0.0


def test_random_runs_as_another_implementation_has_them(tmp_path: Path) -> None:
    chance = random.Random(7)
    records: list[Record] = []
    for index in range(24):
        seen = "".join(chance.choices("abcd", k=chance.randint(1, 6)))
        task, checkpoint = chance.choice(["t1", "t2"]), chance.choice(["c0", "c1"])
        warmth = chance.choice([1.0, 0.5])
        outcome = chance.choice([0.0, 0.5, 1.0])
        records += sampled(f"s{index}", seen, outcome, task, checkpoint, warmth)
    wanted, found = expected(records), advantages(tmp_path, records)
    assert found.keys() == wanted.keys()
    assert len(found) > 50
    for key, values in wanted.items():
        assert found[key] == pytest.approx(values, abs=1e-9), key


@pytest.mark.parametrize(
    "other", [{"task": "other"}, {"checkpoint": "c1"}, {"temperature": 0.5}, {"kind": "explored"}]
)
def test_only_runs_of_one_task_policy_and_temperature_are_compared(
    other: dict[str, object], tmp_path: Path
) -> None:
    alone = [*sampled("won", "ab", 1.0), *sampled("lost", "ab", 0.0)]
    foreign = sampled("foreign", "ab", 1.0, **other)  # type: ignore[arg-type]
    found = advantages(tmp_path, [*alone, *foreign])
    wanted = expected(alone)
    assert {key: found[key] for key in wanted} == {
        key: pytest.approx(values, abs=1e-9) for key, values in wanted.items()
    }
    assert {values for key, values in found.items() if key not in wanted} <= {(0.0, 0.0, 0.0)}


def test_another_run_of_the_factory_is_another_group(tmp_path: Path) -> None:
    """It has one of the samples only, which then has nothing to be compared with."""
    alone = [*sampled("won", "ab", 1.0), *sampled("lost", "ab", 0.0)]
    advantages(tmp_path, alone)
    found = advantages(tmp_path, sampled("won", "ab", 1.0), run="small")
    assert set(found.values()) == {(0.0, 0.0, 0.0)}
