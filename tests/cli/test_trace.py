"""`steca trace` and the macro `lineage`: every rollout behind a training example, and nothing else."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from cli.terminal.console import make_console
from cli.trace import print_trace
from steca.deviation import preset
from storage.faults import StorageFault
from storage.records import CheckpointRecord
from storage.shards import ShardStore
from storage.store import Store
from tests.support.judged_run import judged_run
from tests.support.store_rows import (
    calibration,
    checkpoint,
    deviation,
    example,
    judgement,
    pair,
    record_run,
    rollout,
    rollouts,
    scored_turn,
    step,
    task,
    trajectory,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A repaired deviation `dev` (its reference has rollouts beyond the verdict's, its explored turn ended the
    episode), one compared by progress, and examples of every set."""
    root = tmp_path_factory.mktemp("traced")
    parts = [rollout(f"p{n}", n, ["look"], "part", 0.0, progress=n / 4) for n in range(3)]
    records = [
        task("task"),
        checkpoint("c0"),
        *(trajectory(name).model_copy(update={"kind": kind}) for name, kind in (("x", "explored"), ("e", "expert"))),
        *(step(name, index) for name in "ex" for index in range(2)),
        scored_turn("before", "expert", trajectory_id="e", step_index=0),
        scored_turn("same", "expert", trajectory_id="e"),
        scored_turn("after", "explored", outcome=0.0),
        *rollouts("before", [1.0, 1.0, 0.0, 1.0, 1.0]),
        *rollouts("same", [1.0] * 12),
        *rollouts("other", [1.0]),
        deviation(
            "dev", "deviated", ("before", 2 / 3, 3), ("after", 0.0, 0),
            expert_step_reward_id="same", expert_reward=1.0, expert_n=12, expert_is_better="yes",
        ),
        deviation("moved", "deviated", ("before", 0.0, 5), ("part", 0.25, 3), outcome="progress"),
        scored_turn("part", "explored"),
        scored_turn("unused", "explored"),
        *parts,
        deviation("skipped", "filtered"),
        judgement("judged", "bad"),
        judgement("unclear", None, model="other"),
        judgement("later", "good", step_index=2),
        calibration("cal", "planner", None, deviation_id="dev"),
        example("repaired", "calibrated", "cal", "dev"),
        example("by-calibration", "calibrated", "cal"),
        example("suffix", "expert_suffix", deviation_id="dev"),
        example("expert-run", "expert").model_copy(update={"trajectory_id": "e"}),
        example("success", "explored_success"),
        pair(
            "better", "e", "x", method="ipr", kind="step", chosen_from=1, rejected_from=1, deviation_id="dev",
            chosen_reward=1.0, rejected_reward=0.0, margin=1.0,
        ),
        pair("turn", "e", "x", method="step_dpo", chosen_to=1, rejected_to=1, chosen_rollout_id="before-0"),
        trajectory("y"),
        pair("whole", "e", "y", margin=0.5),
    ]  # fmt: skip
    ref = ShardStore(root).write_batch("train-1", "b0", records)
    record_run(root, "one", ref)
    record_run(root, "two", ref, round=2)
    store = Store(root)
    store.ingest()
    return store


def lineage(store: Store, identity: str) -> list[dict[str, object]]:
    columns, rows = store.query("FROM lineage(?)", [identity])
    return [dict(zip(columns, row, strict=True)) for row in rows]


def trace(store: Store, *arguments: str, code: int = 0, width: int = 110) -> str:
    result = CliRunner().invoke(
        app, ["trace", "--data-dir", str(store.root), *arguments], env={"COLUMNS": str(width)}
    )
    assert result.exit_code == code, result.output
    return result.stderr if code else result.stdout


def test_the_rollouts_are_those_that_the_verdict_used(store: Store) -> None:
    rows = lineage(store, "repaired")
    assert [(row["side"], row["rollout_id"]) for row in rows] == [
        *(("reference", f"before-{n}") for n in range(3)),
        *(("expert", f"same-{n}") for n in range(12)),
        ("explored", None),
    ]
    assert {row["scorer"] for row in rows} == {"c0"}
    assert rows[-1]["known_outcome"] == 0.0
    assert [row["turn_index"] for row in rows] == [0] * 3 + [1] * 13


def test_all_between_the_example_and_its_run_is_on_every_row(store: Store) -> None:
    for row in lineage(store, "repaired"):
        assert row["calibration_id"] == "cal"
        assert row["deviation_id"] == "dev"
        assert (row["explorer"], row["explorer_role"]) == ("c0", "warmup")
        assert row["instruction"] == "put a cup in the sink"
        assert [(run["run_id"], run["round"]) for run in row["runs"]] == [("one", 1), ("two", 2)]


@pytest.mark.parametrize("identity", ["by-calibration", "suffix", "better", "cal", "dev"])
def test_every_way_in_leads_to_the_same_rollouts(store: Store, identity: str) -> None:
    found = {row["rollout_id"] for row in lineage(store, identity)}
    assert found == {row["rollout_id"] for row in lineage(store, "repaired")}
    assert "other-0" not in found


def test_an_example_without_a_deviation_is_one_row(store: Store) -> None:
    (expert,) = lineage(store, "expert-run")
    assert (expert["trajectory_id"], expert["side"], expert["explorer"]) == ("e", None, None)
    (success,) = lineage(store, "success")
    assert (success["trajectory_id"], success["deviation_id"], success["explorer"]) == ("x", None, "c0")


def test_an_unknown_id_is_an_error_in_sql_too(store: Store) -> None:
    for query in ("FROM lineage('repair')", "SELECT count(*) FROM lineage('repair')"):
        with pytest.raises(StorageFault, match="has the id repair: give a whole id, or use `steca trace`"):
            store.query(query)


def test_the_stored_rewards_follow_from_the_rollouts(tmp_path: Path) -> None:
    """For every compared deviation of a run whose turns have more rollouts than the verdicts used."""
    store = judged_run(tmp_path, "one", preset("sequential"))
    identities = store.query("SELECT deviation_id FROM deviations WHERE gap IS NOT NULL")[1]
    assert len(identities) > 20
    for (identity,) in identities:
        every = lineage(store, identity)
        for side in ("reference", "expert", "explored"):
            rows = [row for row in every if row["side"] == side]
            assert len(rows) == rows[0]["n"] == 10
            assert sum(row["rollout_outcome"] for row in rows) / len(rows) == pytest.approx(rows[0]["reward"])


def test_the_tree_tells_the_whole_story(store: Store) -> None:
    said = trace(store, "repaired")
    for part in (
        "example repaired  D_c, weight 1.000",
        'pick, train: "put a cup in the sink"',
        "run one  round 1",
        "run two  round 2",
        "calibration cal  kept, plan planner",
        "reflection by template: That was wrong.",
        "verdict dev  step 1: deviated (made up), selected",
        "rule paper, delta 0, compares success",
        "better than the agent's: yes",
        "1 expert step, then 1 by checkpoint c0 (warmup): success",
        "0.67 = 2 of 3",
        "scorer c0 (warmup)",
        "0.00: the turn ended the episode",
        "failed 2 steps, step_cap, seed 9223372036854775805: look; go 2",
        "... and 4 more rollouts: --all shows them",
    ):
        assert part in said, said
    assert "#3" not in said.split("(for D_s)")[0]  # there, but not what the verdict used
    assert "BUT" not in said


def test_a_pair_is_told_with_both_sides_and_its_verdict(store: Store) -> None:
    said = trace(store, "better")
    for part in (
        "pair better  ipr, by step, margin 1.000, chosen: step 1 (reward 1.00)",
        "run two  round 2",
        "trajectory e  expert",
        "rejected x  step 1 (reward 0.00)",
        "verdict dev  step 1: deviated (made up), selected",
        "0.67 = 2 of 3",
    ):
        assert part in said, said
    said = trace(store, "turn")
    assert "chosen: the first turn of rollout before-0 as step 0" in said
    assert "verdict" not in said
    assert "chosen: steps 0 to 1" in trace(store, "whole")


def test_a_trajectory_that_only_a_pair_uses_leads_there(store: Store) -> None:
    assert "show what uses it: `steca trace whole" in trace(store, "y", code=1)


def test_all_rollouts_may_be_asked_for(store: Store) -> None:
    said = trace(store, "repaired", "--all")
    assert said.count("seed ") == 15
    assert "more rollouts" not in said


def test_partial_outcomes_are_summed_where_the_verdict_did(store: Store) -> None:
    assert "0.25 = 0.75 of 3" in trace(store, "moved")


def test_evidence_that_does_not_give_the_reward_is_called_out(store: Store) -> None:
    """`moved` says that the reference's five rollouts all failed; they did not."""
    assert "BUT these rollouts come to 0.80" in trace(store, "moved")


def test_other_examples_trace_as_far_as_they_go(store: Store) -> None:
    said = trace(store, "expert-run")
    assert "trajectory e  expert, checkpoint" in said
    assert not any(part in said for part in ("verdict", "calibration", "step reward", "exploration"))
    assert "exploration x" in trace(store, "success")
    said = trace(store, "skipped")
    assert "verdict skipped" in said
    assert "step reward" not in said


def test_a_rollout_is_one_line_whatever_the_width(store: Store) -> None:
    narrow = trace(store, "repaired", width=60)
    assert narrow.count("#0") == 2


def test_the_first_letters_are_enough_where_they_are_unique(store: Store) -> None:
    assert trace(store, "rep") == trace(store, "repaired")
    assert trace(store, "de").startswith("deviation dev")
    assert trace(store, "ca").startswith("calibration cal")


def test_an_id_that_is_not_one_is_one_line(store: Store) -> None:
    said = trace(store, "s", code=1)
    assert "3 ids begin with 's'" in said
    for named in ("skipped (deviation, filtered)", "success (example, explored_success)", "suffix (example"):
        assert named in said
    for wrong in ("nothing", "%"):
        said = trace(store, wrong, code=1)
        assert "no training example, preference pair, calibration or deviation" in said
        assert f'LIMIT 5" --data-dir {store.root}`' in said
        assert len(said.strip().splitlines()) == 1
    assert "the id is empty" in trace(store, "", code=1)


@pytest.mark.parametrize(
    ("identity", "what"),
    [
        ("before", "a step reward; show what uses it: `steca trace dev "),
        ("x", "a trajectory; show what uses it: `steca trace by-calibration "),
        ("part", "a step reward; show what uses it: `steca trace moved "),
        ("unused", "a step reward; nothing uses it"),
    ],
)
def test_an_id_inside_a_tree_says_what_to_ask_instead(store: Store, identity: str, what: str) -> None:
    (line,) = trace(store, identity, code=1).splitlines()
    assert f"{identity} is {what}" in line


def test_what_a_language_model_said_of_the_turn_is_shown(store: Store) -> None:
    said = trace(store, "dev")
    assert "gpt-4o says bad: It looks around twice." in said
    assert "other says nothing usable: It looks around twice." in said
    assert "says good" not in said


def test_a_side_that_was_never_sampled_is_named(store: Store) -> None:
    said = trace(store, "moved")
    assert "the expert's turn at this step (for D_s), step 1: no rollouts" in said
    assert said.count("no rollouts") == 1
    assert trace(store, "skipped").count("no rollouts") == 3
    assert "no rollouts" not in trace(store, "expert-run")


def test_weights_of_two_trainings_and_rollouts_played_twice_repeat_no_row(tmp_path: Path) -> None:
    again = checkpoint("c0").model_dump() | {"role": "trained", "round": 1, "parent": "c0", "training_id": ""}
    records = [
        task("task"), trajectory("x"), trajectory("e"), checkpoint("c0"), CheckpointRecord.model_validate(again),
        scored_turn("before", "expert", trajectory_id="e", step_index=0), scored_turn("after", "explored"),
        *rollouts("before", [1.0, 1.0]), *rollouts("after", [0.0, 0.0]),
        deviation("dev", "deviated", ("before", 1.0, 2), ("after", 0.0, 2)),
        calibration("cal", "planner", "step_cap", "12 steps ran out", deviation_id="dev"),
    ]  # fmt: skip
    shards = ShardStore(tmp_path)
    record_run(tmp_path, "one", shards.write_batch("train-1", "b0", records))
    shards.write_batch("train-2", "b0", [rollout("a", 1, ["dance"], "after", 1.0)])  # the smallest id
    store = Store(tmp_path)
    store.ingest()
    rows = lineage(store, "cal")
    assert [row["rollout_id"] for row in rows] == ["before-0", "before-1", "after-0", "a"]
    assert {(row["explorer_role"], row["explorer_round"], row["scorer_role"]) for row in rows} == {
        ("warmup", 0, "warmup")
    }
    said = trace(store, "cal")
    assert "rejected: step_cap (12 steps ran out)" in said
    assert (
        "BUT these rollouts come to 0.50: they are not those that the verdict used; 1 were played again"
        in said
    )


def on_a_terminal(store: Store, everything: bool) -> str:
    out = io.StringIO()
    print_trace(store, "dev", everything, make_console(out, 60))
    return out.getvalue()


def test_all_cuts_nothing_and_the_instruction_is_always_whole(tmp_path: Path) -> None:
    instruction = " ".join(f"word{n}" for n in range(30))
    acted = [f"action-{n}" for n in range(30)]
    records = [
        task("task", instruction),
        *(trajectory(name) for name in "ex"),
        *(scored_turn(name, side) for name, side in (("before", "expert"), ("after", "explored"))),
        rollout("b0", 0, acted, "before"), rollout("a0", 0, acted, "after"),
        deviation("dev", "deviated", ("before", 0.0, 1), ("after", 0.0, 1)),
    ]  # fmt: skip
    record_run(tmp_path, "one", ShardStore(tmp_path).write_batch("train-1", "b0", records))
    store = Store(tmp_path)
    store.ingest()
    cut, whole = on_a_terminal(store, everything=False), on_a_terminal(store, everything=True)
    assert "…" in cut
    assert "…" not in whole
    assert max(map(len, whole.splitlines())) <= 60
    assert all(word in cut for word in instruction.split())
    assert "action-29" not in cut
    assert whole.count("action-29") == 2


def test_what_belongs_to_no_run_any_more_says_so(tmp_path: Path) -> None:
    shards = ShardStore(tmp_path)
    first = shards.write_batch("train-1", "b0", [task("task"), trajectory("e"), example("old", "expert")])
    second = shards.write_batch("train-2", "b0", [task("task"), trajectory("e"), example("new", "expert")])
    record_run(tmp_path, "one", first)
    Store(tmp_path).ingest()
    gone = "of no run any more: its stage was redone with another result"
    assert gone not in trace(Store(tmp_path), "old")
    record_run(tmp_path, "one", second)
    Store(tmp_path).ingest()
    assert gone in trace(Store(tmp_path), "old")
    assert "run one" in trace(Store(tmp_path), "new")
