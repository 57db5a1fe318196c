"""What the pages show of runs and trajectories is what the store holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from configs.schema import FactoryConfig
from flows.runs.run import run_id
from storage.faults import StorageFault
from tests.support.made_up_run import made_up_run
from tests.support.store_rows import scored_turn, step, task, trajectory
from view.published import Published
from view.queries.listing import Filter, facets, listed, neighbours, rows_of
from view.queries.rollouts import rollouts
from view.queries.run import run_page
from view.queries.runs import run_called, runs
from view.queries.trajectory import trajectories
from view.queries.trajectory import trajectory as trajectory_of


@pytest.fixture(scope="module")
def published(finished: FactoryConfig) -> Iterator[Published]:
    found = Published(finished.data_dir)
    yield found
    found.close()


@pytest.fixture(scope="module")
def run(finished: FactoryConfig) -> str:
    return run_id(finished)


def ids(published: Published, run: str, **filters: object) -> list[str]:
    """The ids of all pages."""
    found: list[str] = []
    while True:
        page = listed(published, run, Filter.model_validate(filters), page=len(found) // 7, size=7)
        found += [row["trajectory_id"] for row in page["rows"]]
        if len(found) == page["total"]:
            return found


def test_the_list_of_runs_has_success(published: Published, run: str) -> None:
    [row] = [row for row in runs(published) if row["run_id"] == run]
    assert row["status"] == "completed"
    assert {each["role"] for each in row["success"]} == {"warmup", "trained"}


def test_a_run_is_called_by_its_name_or_first_letters(published: Published, run: str) -> None:
    assert run_called(published, run[:-2]) == run
    assert run_called(published, None) == runs(published)[0]["run_id"]
    with pytest.raises(StorageFault):
        run_called(published, "nobody")


def test_the_run_page_has_what_the_views_say(published: Published, run: str) -> None:
    page = run_page(published, run)
    assert [row["stage"] for row in page["stages"]] == [
        row["stage"] for row in published.rows("SELECT stage FROM stage_costs WHERE run_id = $run", run=run)
    ]
    assert page["summary"]["trajectories"] == len(ids(published, run))
    (checkpoint, *_) = page["trainings"]
    assert checkpoint["role"] == "trained" or checkpoint["role"] == "warmup"
    assert len(checkpoint["losses"]) == min(checkpoint["steps"], 400)


def test_a_long_curve_is_drawn_by_means(published: Published) -> None:
    from view.queries.run import POINTS, _shortened

    drawn = _shortened([float(step) for step in range(POINTS * 3 + 1)])
    assert drawn is not None
    assert len(drawn) <= POINTS
    assert drawn[0] == [2.5, 1.5]
    assert _shortened([4.0, 2.0]) == [[1.0, 4.0], [2.0, 2.0]]
    assert _shortened(None) is None


def test_an_unknown_run_is_refused(published: Published) -> None:
    with pytest.raises(StorageFault, match="no run has the id nobody"):
        run_page(published, "nobody")


def test_pages_hold_every_trajectory_once(published: Published, run: str) -> None:
    found = ids(published, run)
    stored = published.rows(
        "SELECT DISTINCT trajectory_id FROM run_trajectories WHERE run_id = $run", run=run
    )
    assert len(found) == len(set(found))
    assert set(found) == {row["trajectory_id"] for row in stored}


@pytest.mark.parametrize(
    ("filters", "condition"),
    [
        ({"kind": "explored"}, "kind = 'explored'"),
        ({"success": False}, "NOT success"),
        ({"split": "unseen"}, "task_id IN (SELECT task_id FROM tasks WHERE split = 'unseen')"),
        ({"reward_from": 0.5}, "outcome >= 0.5"),
        ({"reward_to": 0.5, "kind": "evaluation"}, "outcome <= 0.5 AND kind = 'evaluation'"),
        (
            {"trained": True},
            "trajectory_id IN (SELECT trajectory_id FROM run_training_examples e WHERE e.run_id = t.run_id)",
        ),
        (
            {"role": "trained"},
            "trajectory_id IN (SELECT trajectory_id FROM run_evaluations WHERE run_id = t.run_id AND role = 'trained')",
        ),
        (
            {"q": "You PICK up"},
            "trajectory_id IN (SELECT trajectory_id FROM steps WHERE observation ILIKE '%you pick up%')",
        ),
        ({"kind": "nothing of that"}, "false"),
    ],
)
def test_filters(published: Published, run: str, filters: dict[str, object], condition: str) -> None:
    sql = f"SELECT DISTINCT trajectory_id FROM run_trajectories t WHERE run_id = $run AND {condition}"
    wanted = {row["trajectory_id"] for row in published.rows(sql, run=run)}
    assert set(ids(published, run, **filters)) == wanted


def test_verdicts_filter_the_explored_runs(judged: Published) -> None:
    for verdict in ("deviated", "not_deviated", "filtered"):
        found = listed(judged, "paper", Filter(verdict=verdict), size=1000)["rows"]
        sql = "SELECT DISTINCT explored_trajectory_id AS id FROM run_deviations WHERE run_id = 'paper' AND verdict = $v"
        stored = {row["id"] for row in judged.rows(sql, v=verdict)}
        known = {row["trajectory_id"] for row in listed(judged, "paper", Filter(), size=10_000)["rows"]}
        assert {row["trajectory_id"] for row in found} == stored & known
        assert all(verdict in row["verdicts"] for row in found)


def test_neighbours_follow_the_list(published: Published, run: str) -> None:
    order = ids(published, run, kind="explored", order="steps")
    filter = Filter(kind="explored", order="steps")
    for place, id in enumerate(order):
        found = neighbours(published, run, filter, id)
        assert (found["place"], found["total"]) == (place + 1, len(order))
        assert found["previous"] == (order[place - 1] if place else None)
        assert found["next"] == (order[place + 1] if place + 1 < len(order) else None)


def test_a_trajectory_outside_of_the_filter_has_no_neighbours(published: Published, run: str) -> None:
    [expert, *_] = ids(published, run, kind="expert")
    assert neighbours(published, run, Filter(kind="explored"), expert)["place"] is None


def test_facets_are_what_can_be_filtered_by(published: Published, run: str) -> None:
    found = facets(published, run)
    for name, filter in (("kinds", "kind"), ("splits", "split"), ("types", "type")):
        assert sum(len(ids(published, run, **{filter: value})) for value in found[name]) == len(
            ids(published, run)
        )


def test_a_trajectory_has_its_turns_in_order(published: Published, run: str) -> None:
    for id in ids(published, run)[:20]:
        found = trajectory_of(published, run, id)
        assert [step["step_index"] for step in found["steps"]] == list(range(found["n_steps"]))
        assert found["instruction"]
        assert all(each["trajectory_id"] != id for each in found["same_task"])


def test_values_are_those_of_the_view(published: Published, run: str) -> None:
    scored = published.rows(
        "SELECT DISTINCT trajectory_id FROM run_scored_turns WHERE run_id = $run", run=run
    )
    assert scored
    for row in scored:
        sql = """SELECT DISTINCT step_index, n, successes, reward, low, high, terminal FROM run_step_rewards
            WHERE run_id = $run AND trajectory_id = $id ORDER BY step_index"""
        wanted = published.rows(sql, run=run, id=row["trajectory_id"])
        values = trajectory_of(published, run, row["trajectory_id"])["values"]
        assert [{name: value[name] for name in wanted[0]} for value in values] == wanted
        for value in values:
            assert len(rollouts(published, value["step_reward_id"])) == value["n"]


def test_several_are_each_as_one(published: Published, run: str) -> None:
    some = ids(published, run)[3:9]
    assert trajectories(published, run, some) == [trajectory_of(published, run, id) for id in some]
    assert {row["trajectory_id"] for row in rows_of(published, run, some)} == set(some)


def test_an_unknown_trajectory_is_refused(published: Published, run: str) -> None:
    with pytest.raises(StorageFault, match=f"run {run} has no trajectory nothing"):
        trajectory_of(published, run, "nothing")


@pytest.fixture
def two_rounds(tmp_path: Path) -> Iterator[Published]:
    """A run whose second round scores the turns of an expert's run again, with its own policy."""
    expert = [task("task"), trajectory("x"), step("x", 0), step("x", 1)]
    scored = [scored_turn("first", "expert", 0.0), scored_turn("second", "expert", 1.0)]
    rows = [
        {("explore", round): [*expert, own], ("rewards", round): [scored[round - 1]]}
        for round, own in ((1, trajectory("y")), (2, trajectory("z")))
    ]
    made_up_run(tmp_path, rows[0] | rows[1], rounds=2)
    found = Published(tmp_path)
    yield found
    found.close()


def test_values_of_several_rounds_are_in_their_order(two_rounds: Published) -> None:
    values = trajectory_of(two_rounds, "made-up", "x")["values"]
    assert [(row["round"], row["step_reward_id"], row["reward"]) for row in values] == [
        (1, "first", 0.0),
        (2, "second", 1.0),
    ]


def test_a_trajectory_of_two_rounds_is_listed_in_both(two_rounds: Published) -> None:
    assert ids(two_rounds, "made-up", round=1) == ["x", "y"]
    assert ids(two_rounds, "made-up", round=2) == ["x", "z"]
