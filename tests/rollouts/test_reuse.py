"""What stored rollouts spare is found without playing, and is what the stage then does not play."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from configs.schema import FactoryConfig
from rollouts.budget import BudgetTracker
from rollouts.comparisons import PointBuilder, StoredPoints, comparisons_of, ipr_comparisons
from rollouts.rows import of_type
from rollouts.stages.explore import explore
from rollouts.stages.reuse import Reuse, reuse
from rollouts.stages.score import score
from storage.records import Record, RolloutRecord, TrajectoryRecord
from storage.rollout_pool import RolloutPool
from tests.support.rollouts_toys import LOOK, Toy, config, demonstrated, forever, fragile, world

MODES = ("fixed", "curtailed", "sequential")
SPEAK = fragile(0.5)


def settings(mode: str, delta: float = 0.0, **more: Any) -> FactoryConfig:
    preset = "sequential" if mode == "sequential" else "paper"
    return config(
        environment={"step_cap": 14},
        rewards={"mode": mode, "rollouts": 4, "max_rollouts": 8},
        deviation={"preset": preset, "delta": delta},
        **more,
    )


@cache
def explored() -> tuple[Record, ...]:
    rows = demonstrated(6)
    return (*rows, *explore(world(), Toy(SPEAK), rows, settings("fixed")))


def played(chosen: FactoryConfig, pool: RolloutPool) -> tuple[int, int]:
    """Rollouts that the stage (uses, plays)."""
    tracker = BudgetTracker()
    rows = score(world(), Toy(SPEAK), explored(), chosen, None, pool, tracker)
    return len(of_type(rows, RolloutRecord)), tracker.spent.rollouts


def spared(chosen: FactoryConfig, pool: RolloutPool) -> list[Reuse]:
    tasks = comparisons_of(world(), explored(), chosen, "toy", StoredPoints)
    return [reuse(task, chosen, pool.load(task.task_id)) for task in tasks]


def forget(pool: RolloutPool, folder: Path, every: int) -> RolloutPool:
    """Another pool, without every so manieth point."""
    less = RolloutPool(folder, "toy")
    for task in comparisons_of(world(), explored(), settings("fixed"), "toy"):
        rows = pool.load(task.task_id)
        gone = set(sorted({point for point, _ in rows})[::every])
        less.add(task.task_id, [row for (point, _), row in rows.items() if point not in gone])
    return less


def ended_at_once() -> tuple[tuple[Record, ...], FactoryConfig]:
    """A run whose first own turn ends the episode, because of the cap, where the expert's turn wins."""
    rows = demonstrated(1)
    [expert] = of_type(rows, TrajectoryRecord)
    tight = config(environment={"step_cap": expert.n_steps}, rewards={"mode": "fixed"})
    speak = forever(LOOK, at=expert.n_steps - 1)
    return (*rows, *explore(world(), Toy(speak), rows, tight)), tight


@pytest.mark.parametrize("compare", [comparisons_of, ipr_comparisons])
def test_stored_rows_give_the_points_that_playing_gives(compare: Any) -> None:
    ends = 0
    for rows, chosen in ((explored(), settings("fixed")), ended_at_once()):
        by_playing, by_rows = (
            [point for task in compare(world(), rows, chosen, "toy", kind) for point in task.points.values()]
            for kind in (PointBuilder, StoredPoints)
        )
        assert by_rows
        for mine, theirs in zip(by_rows, by_playing, strict=True):
            assert mine.id == theirs.id
            assert mine.after.trajectory.end == theirs.after.trajectory.end
            assert mine.after.trajectory.outcome == theirs.after.trajectory.outcome
            if mine.ended:
                ends += 1
                assert mine.after.progress == theirs.after.progress
    assert ends, "no turn ended an episode: nothing was tested of known values"


@pytest.mark.parametrize("mode", MODES)
def test_with_all_rollouts_nothing_is_left(mode: str, tmp_path: Path) -> None:
    chosen, pool = settings(mode), RolloutPool(tmp_path, "toy")
    used, _ = played(chosen, pool)
    found = spared(chosen, pool)
    assert sum(one.stored for one in found) == used > 0
    assert {(one.next, one.most, one.open_share, one.begun) for one in found} == {(0, 0, 0.0, 0)}


@pytest.mark.parametrize("mode", MODES)
def test_without_rollouts_all_is_left(mode: str, tmp_path: Path) -> None:
    chosen, pool = settings(mode), RolloutPool(tmp_path, "toy")
    found = spared(chosen, pool)
    assert {(one.stored, one.begun) for one in found} == {(0, 0)}
    assert {one.open_share for one in found if one.most} == {1.0}
    _, paid = played(chosen, pool)
    assert sum(one.next for one in found) <= paid <= sum(one.most for one in found)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("every", [2, 5])
def test_with_some_rollouts_the_rest_is_between_what_is_sure_and_what_is_possible(
    mode: str, every: int, tmp_path: Path
) -> None:
    chosen, whole = settings(mode), RolloutPool(tmp_path / "whole", "toy")
    played(chosen, whole)
    pool = forget(whole, tmp_path / "less", every)
    found = spared(chosen, pool)
    stored, following, most = (
        sum(getattr(one, name) for one in found) for name in ("stored", "next", "most")
    )
    used, paid = played(chosen, pool)
    assert 0 < following <= paid <= most
    assert 0 < stored <= used - paid
    if mode == "fixed":
        assert following == paid == most
        assert stored == used - paid


def test_another_threshold_needs_only_what_no_run_has_played(tmp_path: Path) -> None:
    pool, strict = RolloutPool(tmp_path, "toy"), settings("curtailed", delta=0.3)
    played(settings("curtailed"), pool)
    found = spared(strict, pool)
    used, paid = played(strict, pool)
    assert 0 < sum(one.stored for one in found) <= used - paid
    assert sum(one.next for one in found) <= paid <= sum(one.most for one in found)


def test_rollouts_of_other_settings_spare_nothing(tmp_path: Path) -> None:
    pool = RolloutPool(tmp_path, "toy")
    played(settings("fixed"), pool)
    assert {one.stored for one in spared(settings("fixed", seed=1), pool)} == {0}


@pytest.mark.parametrize("mode", MODES)
def test_batches_that_want_the_same_rollouts_share_them(tmp_path: Path, mode: str) -> None:
    """Two batches of the same tasks, at the same time, beside one that plays everything itself."""
    chosen, trackers = settings(mode), [BudgetTracker(), BudgetTracker()]
    pools = [RolloutPool(tmp_path, "toy") for _ in trackers]

    def batch(place: int) -> list[Record]:
        return score(world(), Toy(SPEAK), explored(), chosen, None, pools[place], trackers[place])

    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(batch, range(2))
    alone, shared = BudgetTracker(), sum(tracker.spent.rollouts for tracker in trackers)
    assert one == other == score(world(), Toy(SPEAK), explored(), chosen, None, None, alone)
    assert shared == alone.spent.rollouts > 0
