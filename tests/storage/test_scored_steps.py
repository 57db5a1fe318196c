"""The view scored_steps: the scored turns with what was written and how the rollouts after them ended."""

from __future__ import annotations

import pytest

from steca.rewards import wilson_interval
from storage.shards import ShardStore
from storage.store import Store
from tests.support.store_rows import record_run, rollout, scored_turn, step, task, trajectory


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A trajectory of three turns; the second has three rollouts, the third ended the episode, the first has none."""
    root = tmp_path_factory.mktemp("scored")
    ends = ("done", "step_cap", "step_cap")
    played = [
        rollout(f"o{n}", n, ["look"], "second", float(end == "done")).model_copy(update={"end_reason": end})
        for n, end in enumerate(ends)
    ]
    turns = [step("x", n).model_copy(update={"action": f"go {n}"}) for n in range(3)]
    scored = [
        scored_turn("first", "expert", step_index=0),
        scored_turn("second", "expert", step_index=1),
        scored_turn("third", "expert", 1.0, step_index=2),
    ]
    rows = [task("task"), trajectory("x").model_copy(update={"n_steps": 3}), *turns, *scored, *played]
    record_run(root, "one", ShardStore(root).write_batch("explore-1", "b0", rows))
    record_run(root, "none")
    store = Store(root)
    store.ingest()
    return store


def test_a_row_a_scored_turn(store: Store) -> None:
    columns = "step_index, steps_left, action, next_action, n, successes, terminal, ends"
    assert store.query(f"SELECT {columns} FROM scored_steps WHERE run_id = 'one' ORDER BY step_index")[1] == [
        (0, 2, "go 0", "go 1", 0, 0, False, {}),
        (1, 1, "go 1", "go 2", 3, 1, False, {"done": 1, "step_cap": 2}),
        (2, 0, "go 2", None, 0, 0, True, {}),
    ]
    assert store.query("FROM scored_steps WHERE run_id = 'none'")[1] == []


def test_its_rewards_are_those_of_step_rewards(store: Store) -> None:
    rewards = store.query("SELECT reward, low, high FROM scored_steps ORDER BY step_index")[1]
    assert rewards[0] == (None, None, None)
    assert rewards[1] == pytest.approx((1 / 3, *wilson_interval(1, 3)))
    assert rewards[2] == (1.0, 1.0, 1.0)


def test_it_leads_to_each_rollout(store: Store) -> None:
    sql = "SELECT action, outcome FROM scored_steps JOIN distinct_rollouts USING (step_reward_id) ORDER BY outcome"
    assert store.query(sql)[1] == [("go 1", 0.0), ("go 1", 0.0), ("go 1", 1.0)]
