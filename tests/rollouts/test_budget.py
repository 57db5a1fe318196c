"""Stored rollouts are never played again, and a budget ends the work cleanly, so that it can be resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from configs.schema import BudgetConfig, FactoryConfig
from rollouts.budget import CHUNK, FIRST_CHUNK, BudgetTracker, describe_spending
from rollouts.rows import demonstrations, of_type
from rollouts.stages.decide import decide
from rollouts.stages.explore import explore
from rollouts.stages.score import score
from storage.records import Record, RolloutRecord, ScoredTurnRecord
from storage.rollout_pool import RolloutPool, Rollouts
from storage.runs import Spent
from tests.support.rollouts_toys import Toy, config, demonstrated, fragile, world

SPEAK = fragile(0.5)


def settings(mode: str, **sections: Any) -> FactoryConfig:
    return config(
        environment={"step_cap": 14},
        rewards={"mode": mode, "rollouts": 4, **sections.pop("rewards", {})},
        deviation={"preset": "sequential" if mode == "sequential" else "paper"},
        **sections,
    )


def explored(count: int = 5) -> list[Record]:
    rows = demonstrated(count)
    return [*rows, *explore(world(), Toy(SPEAK), rows, settings("fixed"))]


def scored(
    records: list[Record], chosen: FactoryConfig, pool: RolloutPool | None = None, **budget: Any
) -> tuple[list[Record], BudgetTracker]:
    tracker = BudgetTracker(BudgetConfig(**budget))
    return score(world(), Toy(SPEAK), records, chosen, None, pool, tracker), tracker


@pytest.mark.parametrize("mode", ["fixed", "curtailed", "sequential"])
def test_a_second_time_everything_comes_from_the_pool(mode: str, tmp_path: Path) -> None:
    records, pool = explored(), RolloutPool(tmp_path, "toy")
    first, paid = scored(records, settings(mode), pool)
    again, nothing = scored(records, settings(mode), pool)
    assert paid.spent.rollouts == len(of_type(first, RolloutRecord)) > 0
    assert paid.spent.tokens == sum(row.tokens for row in of_type(first, RolloutRecord))
    assert again == first
    assert nothing.spent == Spent()


def test_the_pool_is_shared_by_every_mode_and_changes_nothing(tmp_path: Path) -> None:
    records, pool = explored(), RolloutPool(tmp_path, "toy")
    scored(records, settings("fixed", rewards={"rollouts": 24}), pool)
    with_pool, tracker = scored(records, settings("sequential"), pool)
    assert tracker.spent.rollouts == 0
    assert with_pool == scored(records, settings("sequential"))[0]


@pytest.mark.parametrize("change", [{"seed": 1}, {"rewards": {"temperature": 0.5}}])
def test_other_settings_share_nothing(change: dict[str, Any], tmp_path: Path) -> None:
    records, pool = explored(), RolloutPool(tmp_path, "toy")
    _, first = scored(records, settings("fixed"), pool)
    _, other = scored(records, settings("fixed", **change), pool)
    assert first.spent.rollouts == other.spent.rollouts > 0


def test_another_scorer_has_a_pool_of_its_own(tmp_path: Path) -> None:
    records = explored()
    scored(records, settings("fixed"), RolloutPool(tmp_path, "toy"))
    assert RolloutPool(tmp_path, "other").load(demonstrations(records)[0].task.task_id) == {}


def test_what_was_played_before_a_crash_is_kept(tmp_path: Path) -> None:
    records, pool = explored(), RolloutPool(tmp_path, "toy")

    class Dies(Toy):
        def act(self, *args: Any) -> Any:
            if len(self.sizes) > 60:
                raise KeyboardInterrupt
            return super().act(*args)

    tracker = BudgetTracker()
    with pytest.raises(KeyboardInterrupt):
        score(world(), Dies(SPEAK), records, settings("sequential"), None, pool, tracker)
    rows, rest = scored(records, settings("sequential"), pool)
    assert 0 < rest.spent.rollouts < len(of_type(rows, RolloutRecord))
    assert tracker.spent.rollouts + rest.spent.rollouts == len(of_type(rows, RolloutRecord))


def test_rows_of_two_processes_are_both_kept_and_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    records, said = explored(1), []
    rows = of_type(scored(records, settings("fixed"))[0], RolloutRecord)
    one, other = RolloutPool(tmp_path, "toy", said.append), RolloutPool(tmp_path, "toy")
    one.add("a/task", rows[:3])
    other.add("a/task", rows[2:6])
    assert sorted(one.load("a/task").values(), key=place) == sorted(rows[:6], key=place)
    [file] = tmp_path.rglob("*.parquet")
    file.write_bytes(file.read_bytes()[:-5])
    assert one.load("a/task") == {}
    assert said == [
        f"rollout file {file} is damaged: renamed to {file.name}.damaged, its rollouts are played again"
    ]
    assert [path.name for path in file.parent.iterdir()] == [f"{file.name}.damaged"]
    one.add("a/task", rows[:2])
    assert sorted(other.load("a/task").values(), key=place) == sorted(rows[:2], key=place)


def place(row: RolloutRecord) -> tuple[str, int]:
    return row.step_reward_id, row.sample_index


def otherwise(row: RolloutRecord) -> RolloutRecord:
    """The same sample with another result, as from a nondeterministic server."""
    return row.model_copy(update={"outcome": 1.0 - row.outcome, "rollout_id": f"0{row.rollout_id[1:]}"})


def test_what_was_saved_first_stays(tmp_path: Path) -> None:
    rows = of_type(scored(explored(1), settings("fixed"))[0], RolloutRecord)
    one, other = RolloutPool(tmp_path, "toy"), RolloutPool(tmp_path, "toy")
    one.add("a/task", rows[:3])
    filed = other.add("a/task", [otherwise(row) for row in rows[1:5]])
    assert filed == {place(row): row for row in [*rows[1:3], *map(otherwise, rows[3:5])]}
    assert one.load("a/task") == {place(row): row for row in rows[:3]} | filed


@pytest.mark.parametrize("mode", ["fixed", "sequential"])
def test_two_runs_that_score_the_same_turns_at_once_use_the_same_rollouts(tmp_path: Path, mode: str) -> None:
    """A second run saves other outcomes of some turns while the first is running: the first adopts them, and gives the
    result of a run that finds them from the start."""
    records, chosen = explored(), settings(mode)
    alone = of_type(scored(records, chosen)[0], RolloutRecord)
    theirs = [otherwise(row) for row in alone[::3]]
    task_of = {
        turn.step_reward_id: turn.task_id for turn in of_type(scored(records, chosen)[0], ScoredTurnRecord)
    }
    pool = RolloutPool(tmp_path, "toy")

    class Meanwhile(Toy):
        def act(self, *args: Any) -> Any:
            for row in theirs:
                pool.add(task_of[row.step_reward_id], [row])
            theirs.clear()
            return super().act(*args)

    filed = {place(row): row for row in theirs}
    mine = score(world(), Meanwhile(SPEAK), records, chosen, None, pool, BudgetTracker())
    assert not theirs
    used = {place(row): row for row in of_type(mine, RolloutRecord)}
    assert any(used[key] == row for key, row in filed.items() if key in used)
    assert all(used[key] == row for key, row in filed.items() if key in used)
    assert scored(records, chosen, pool)[0] == mine


@pytest.mark.parametrize("mode", ["fixed", "curtailed", "sequential"])
def test_a_budget_is_never_exceeded_and_a_larger_one_resumes(mode: str, tmp_path: Path) -> None:
    records, pool, chosen = explored(), RolloutPool(tmp_path, "toy"), settings(mode)
    whole, free = scored(records, chosen)
    few, tracker = scored(records, chosen, pool, rollouts=20)
    assert tracker.limit_reached == "budget.rollouts = 20"
    assert tracker.exhausted
    assert tracker.spent.rollouts == len(of_type(few, RolloutRecord)) == 20
    verdicts = decide([*records, *few], chosen.deviation, chosen.rewards)
    assert "undecided" in {row.verdict for row in verdicts}
    rest, more = scored(records, chosen, pool, rollouts=10_000)
    assert more.limit_reached is None
    assert rest == whole
    kept = sum(len(pool.load(demo.task.task_id)) for demo in demonstrations(records))
    assert kept == 20 + more.spent.rollouts, "a rollout was charged twice"
    # If a budget sets the order, a plan may sample a side that it would otherwise have left alone.
    assert 0 <= kept - free.spent.rollouts <= (free.spent.rollouts // 3 if mode == "sequential" else 0)


def test_what_is_cut_in_a_comparison_of_means_is_undecided_and_never_used() -> None:
    records, chosen = explored(), settings("fixed")
    few, _ = scored(records, chosen, rollouts=30)
    whole, _ = scored(records, chosen)
    cut = decide([*records, *few], chosen.deviation, chosen.rewards)
    full = {
        row.explored_trajectory_id: row.verdict
        for row in decide([*records, *whole], chosen.deviation, chosen.rewards)
    }
    assert {row.rule for row in cut if row.verdict == "undecided"} == {"too few rollouts"}
    decided = [row for row in cut if row.verdict in ("deviated", "not_deviated")]
    assert decided
    assert all(row.verdict == full[row.explored_trajectory_id] for row in decided)


def test_the_comparisons_of_highest_priority_are_sampled_first() -> None:
    """Every reference is sampled once (all have the same priority); the rest goes to those that succeeded."""
    records, chosen = explored(30), settings("sequential", datasets={"expert_suffixes": False})
    firsts = next(n for n in range(1, 60) if has_second(scored(records, chosen, rollouts=n)[0])) - 1
    looked, _ = scored(records, chosen, rollouts=firsts)
    more, _ = scored(records, chosen, rollouts=firsts + 3)
    won = {row.step_reward_id for row in of_type(looked, RolloutRecord) if row.outcome == 1.0}
    lost = {row.step_reward_id for row in of_type(looked, RolloutRecord)} - won
    assert won
    assert len(lost) > 5
    new = [row for row in of_type(more, RolloutRecord) if row not in looked]
    assert len(new) == 3
    promising = {
        name
        for row in decide([*records, *more], chosen.deviation, chosen.rewards)
        if row.reference_step_reward_id in won
        for name in (row.reference_step_reward_id, row.explored_step_reward_id)
    }
    assert {row.step_reward_id for row in new} <= promising


def has_second(rows: list[Record]) -> bool:
    return any(row.sample_index for row in of_type(rows, RolloutRecord))


@pytest.mark.parametrize(
    ("budget", "cut"),
    [
        ({"tokens": 300}, "tokens"),
        ({"usd": 0.001, "usd_per_million_tokens": 1.0}, "usd"),
        ({"minutes": 1e-9}, "minutes"),
    ],
)
def test_every_kind_of_limit_ends_the_work(budget: dict[str, Any], cut: str) -> None:
    rows, tracker = scored(explored(), settings("sequential"), **budget)
    assert tracker.limit_reached is not None
    assert tracker.limit_reached.startswith(f"budget.{cut} = ")
    assert 0 < tracker.spent.rollouts == len(of_type(rows, RolloutRecord))
    assert tracker.spent.rollouts < len(of_type(scored(explored(), settings("sequential"))[0], RolloutRecord))


def test_what_a_killed_run_lost_is_not_charged(tmp_path: Path) -> None:
    """A kill loses unsaved rollouts and does not charge them; saved rollouts are charged."""
    records, pool, kept = explored(), RolloutPool(tmp_path, "toy"), []

    class Killed(Exception): ...

    class Dies(Toy):
        def act(self, *args: Any) -> Any:
            if len(self.sizes) > 60:
                raise Killed
            return super().act(*args)

    class Unfiled(RolloutPool):
        def add(self, *_: Any) -> Rollouts:
            raise Killed  # as if the process had ended before anything was saved

    tracker = BudgetTracker(on_saved=kept.append)
    with pytest.raises(Killed):
        score(world(), Dies(SPEAK), records, settings("sequential"), None, Unfiled(tmp_path, "toy"), tracker)
    assert tracker.spent.rollouts > 0
    assert kept == []
    scored(records, settings("sequential"), pool)
    tracker = BudgetTracker(on_saved=kept.append)
    score(world(), Toy(SPEAK), records, settings("fixed"), None, pool, tracker)
    assert kept[-1] == tracker.spent


def test_chunks_are_cut_by_their_duration() -> None:
    tracker = BudgetTracker()
    tracker.charge(100, 1000, 100 * 0.5)
    assert tracker.affordable(10**6) == 120  # a minute of rollouts of half a second
    slow = BudgetTracker(BudgetConfig(minutes=60))
    assert slow.affordable(10**6) == FIRST_CHUNK


def test_parts_divide_what_is_left_without_a_remainder() -> None:
    charged: list[Spent] = []
    tracker = BudgetTracker(BudgetConfig(rollouts=100), Spent(rollouts=40), charged.append)
    one, other = tracker.parts(2)
    assert one.affordable(1000) == 30
    one.charge(30, 0, 0.0)
    assert (one.affordable(1000), one.limit_reached, tracker.exhausted) == (0, "budget.rollouts = 100", False)
    assert other.affordable(1000) == 30, "what one spends is not taken from the other"
    [rest] = tracker.parts(1)
    assert (rest.affordable(1000), rest.limit_reached) == (30, None)
    rest.charge(30, 0, 0.0)
    assert (rest.affordable(1), tracker.exhausted, charged[-1].rollouts) == (0, True, 100)
    uneven = BudgetTracker(BudgetConfig(rollouts=10)).parts(4)
    assert sum(part.affordable(1000) for part in uneven) == 10


def test_batches_that_play_at_once_share_the_time() -> None:
    tracker = BudgetTracker(BudgetConfig(minutes=60))
    one, other = tracker.parts(2)
    with one.playing(), other.playing():
        one.charge(10, 0, 60.0)
        other.charge(10, 0, 60.0)
    assert (one.spent.seconds, tracker.spent.seconds) == (30.0, 60.0)
    with one.playing():
        one.charge(10, 0, 60.0)
    assert tracker.spent.seconds == 120.0


def test_what_another_batch_has_not_saved_yet_is_not_reported_as_saved() -> None:
    saved: list[Spent] = []
    one, other = BudgetTracker(on_saved=saved.append).parts(2)
    one.charge(10, 0, 0.0)
    other.charge(5, 0, 0.0)
    one.mark_saved()
    assert saved[-1].rollouts == 10
    other.mark_saved()
    assert saved[-1].rollouts == 15


def test_without_a_limit_work_is_only_cut_into_chunks() -> None:
    tracker = BudgetTracker()
    assert (tracker.affordable(3), tracker.affordable(10**6), tracker.exhausted, tracker.limit_reached) == (
        3,
        CHUNK,
        False,
        None,
    )


def test_what_was_spent_is_described_with_its_limits() -> None:
    budget = BudgetConfig(rollouts=1000, usd=2, usd_per_hour=3.6)
    tracker = BudgetTracker(budget)
    tracker.charge(20, 4000, 90.0)
    assert (
        describe_spending(tracker.spent, budget)
        == "20 of 1,000 rollouts, 4,000 tokens, 1.5 min, $0.0900 of 2"
    )
