"""The whole factory on a tiny configuration: what it stores, what it takes from the cache, what it does again."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from cli.summary import print_summary
from cli.terminal.console import make_console
from configs.schema import FactoryConfig
from configs.stages import STAGES
from flows.factory import factory
from flows.faults import StageFault
from flows.runs.run import run_id
from flows.stages import STAGE_FLOWS
from flows.what_if import OtherRule, WhatIf
from flows.work.planning import planned
from models.checkpoint_ref import PolicyFault
from models.policy import Sampling
from storage.faults import StorageFault
from storage.records import RECORDS
from storage.runs import RunFolder, Spent, StageState
from storage.store import Store
from tasks.preflight import preflight
from tasks.resources.run_resources import RunResources
from tests.support.tiny_factory import tiny


def states(config: FactoryConfig) -> dict[tuple[str, int], StageState]:
    stages = RunFolder(config.data_dir, run_id(config)).stages()
    return {(state.stage, state.round): state for state in stages}


def executed(config: FactoryConfig) -> dict[str, int]:
    """Batches of each stage's last run that did not come from the cache."""
    return {stage: len(s.batches) - s.cached_batches for (stage, _), s in states(config).items()}


def row_counts(config: FactoryConfig) -> dict[str, int]:
    store = Store(config.data_dir)
    return {record.table: store.query(f"SELECT count(*) FROM {record.table}")[1][0][0] for record in RECORDS}


def test_a_run_fills_every_table_and_completes_every_stage(finished: FactoryConfig) -> None:
    assert [stage for stage, _ in states(finished)] == list(STAGES)
    assert {state.status for state in states(finished).values()} == {"completed"}
    empty = [table for table, rows in row_counts(finished).items() if not rows]
    # no model was asked, by API or as a judge; no method with pairs; nothing was chosen
    assert sorted(empty) == ["judgements", "llm_calls", "preference_pairs", "repair_choices"]


def test_evaluation_holds_both_policies_on_the_same_starts(finished: FactoryConfig) -> None:
    sql = "SELECT role, split, start, list(task_id ORDER BY task_id) FROM evaluations GROUP BY ALL"
    starts: dict[str, set[tuple[str, str, tuple[str, ...]]]] = {"warmup": set(), "trained": set()}
    for role, split, start, tasks in Store(finished.data_dir).query(sql)[1]:
        starts[role].add((split, start, tuple(tasks)))
    assert starts["warmup"] == starts["trained"]
    assert {(split, start) for split, start, _ in starts["warmup"]} >= {
        ("seen", "beginning"),
        ("unseen", "beginning"),
    }


def test_the_same_settings_run_nothing_again_even_where_the_data_moved(copied: FactoryConfig) -> None:
    before = row_counts(copied)
    how = copied.execution.model_copy(update={"threads": 2})
    again = copied.model_copy(update={"execution": how})
    assert factory(again) == run_id(copied)
    assert executed(again) == dict.fromkeys(STAGES, 0)
    assert row_counts(again) == before


def test_another_threshold_redoes_the_verdicts_and_what_follows_but_no_rollout(
    copied: FactoryConfig,
) -> None:
    other = tiny(copied.data_dir, "deviation.delta=-0.5")
    factory(other)
    batches = {stage: len(state.batches) for (stage, _), state in states(other).items()}
    assert executed(other) == {
        "demonstrate": 0,
        "warmup": 0,
        "explore": 0,
        "rewards": batches["rewards"],
        "calibrate": batches["calibrate"],
        "train": batches["train"],
        "evaluate": executed(other)["evaluate"],
    }
    assert 0 < executed(other)["evaluate"] < batches["evaluate"]  # the warm-up policy is not tested again
    assert spent(other).rollouts == 0 < spent(copied).rollouts
    _, rows = Store(other.data_dir).query("SELECT DISTINCT delta FROM deviations ORDER BY delta")
    assert rows == [(-0.5,), (0.5,)]


def test_another_run_takes_the_rollouts_that_are_there_and_plays_the_rest(copied: FactoryConfig) -> None:
    before = spent(copied)
    fewer, more = tiny(copied.data_dir, "rewards.rollouts=1"), tiny(copied.data_dir, "rewards.rollouts=3")
    for other in (fewer, more):
        for stage in ("demonstrate", "warmup", "explore", "rewards"):
            STAGE_FLOWS[stage](other)
        assert executed(other) == {"demonstrate": 0, "warmup": 0, "explore": 0, "rewards": 8}
    assert spent(fewer).rollouts == 0
    assert spent(more).rollouts * 2 == before.rollouts > 0
    for config, n in ((copied, 2), (fewer, 1), (more, 3)):
        sql = "SELECT DISTINCT explored_n FROM of_run('deviations', $run) WHERE explored_n > 0"
        assert Store(copied.data_dir).query(sql, {"run": run_id(config)})[1] == [(n,)]
    sql = "SELECT DISTINCT n FROM step_rewards WHERE NOT terminal"
    assert Store(copied.data_dir).query(sql)[1] == [(3,)]  # a step reward is all that is known of it


def test_a_budget_ends_the_stage_with_what_it_has_and_a_larger_one_goes_on(stopped: FactoryConfig) -> None:
    """The run stays the same run; what was made of less evidence is made again."""
    small, other = stopped, tiny(stopped.data_dir, "seed=5", "name=small")
    state = states(small)["rewards", 1]
    assert (state.status, state.stopped) == ("completed", "budget.rollouts = 7 is spent")
    assert state.spent is not None
    assert state.spent.rollouts == 7
    sql = "SELECT count(*) FROM of_run('deviations', $run) WHERE verdict = 'undecided'"
    undecided = Store(other.data_dir).query(sql, {"run": run_id(small)})[1][0][0]
    assert undecided > 0
    factory(small)
    assert spent(small).rollouts == 7  # the same budget buys nothing more
    factory(other)
    assert run_id(other) == run_id(small)
    assert states(other)["rewards", 1].stopped is None
    assert Store(other.data_dir).query(sql, {"run": run_id(other)})[1][0][0] < undecided
    sql = "SELECT count(*), count(DISTINCT (step_reward_id, sample_index)) FROM of_run('rollouts', $run)"
    [(rows, distinct)] = Store(other.data_dir).query(sql, {"run": run_id(other)})[1]
    assert rows == distinct == spent(other).rollouts
    assert executed(other)["evaluate"] > 0


def spent(config: FactoryConfig) -> Spent:
    return RunFolder(config.data_dir, run_id(config)).spent()


def test_the_second_round_explores_with_the_trained_policy(copied: FactoryConfig) -> None:
    two = tiny(copied.data_dir, "rounds=2", "evaluation.splits=[]")
    factory(two)
    done = states(two)
    assert done["explore", 1].checkpoint == done["warmup", 0].checkpoint
    assert done["explore", 2].checkpoint == done["train", 1].checkpoint
    assert done["rewards", 2].checkpoint == done["warmup", 0].checkpoint  # the scorer stays frozen
    assert done["train", 2].checkpoint not in {done["train", 1].checkpoint, done["warmup", 0].checkpoint}
    assert done["explore", 1].cached_batches == len(done["explore", 1].batches)
    _, rows = Store(two.data_dir).query(
        "SELECT parent FROM checkpoints WHERE digest = $d", {"d": done["train", 2].checkpoint}
    )
    assert rows == [(done["train", 1].checkpoint,)]


def test_a_run_that_trains_on_expert_runs_only_explores_nothing(copied: FactoryConfig) -> None:
    none = {"calibrated": False, "explored_successes": False, "expert_suffixes": False}
    config = copied.model_copy(update={"datasets": copied.datasets.model_copy(update=none)})
    factory(config)
    found = states(config)
    assert {stage for (stage, _), state in found.items() if not state.batches} == {
        "explore",
        "rewards",
        "calibrate",
    }
    assert all(state.status == "completed" for state in found.values())
    store = Store(config.data_dir)
    sets = store.query(
        "SELECT DISTINCT dataset FROM run_training_examples WHERE run_id = $run", {"run": run_id(config)}
    )
    assert sets[1] == [("expert",)]
    whole = store.query("SELECT count(*) FROM run_rollouts WHERE run_id = $run", {"run": run_id(copied)})
    assert whole[1] != [(0,)], "control: the whole run has rollouts"
    check_that_commands_name_skipped_stages(config, copied)


def steca(*arguments: object) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "200"})
    return " ".join(result.output.split())


def check_that_commands_name_skipped_stages(config: FactoryConfig, whole: FactoryConfig) -> None:
    data = ("--data-dir", config.data_dir)
    not_needed = "nothing to do: what the run trains on does not need it"
    assert steca("status", "--run", run_id(config), *data).count(not_needed) == 3
    assert not_needed not in steca("status", "--run", run_id(whole), *data)
    said = steca("stage", "rewards", "--run", run_id(config), *data)
    assert f"stage rewards has nothing to do: what run {run_id(config)} trains on does not need it." in said
    assert "--set rewards.evidence=always" in said
    assert "nothing to do" not in steca("stage", "rewards", "--run", run_id(whole), *data)
    with pytest.raises(StageFault, match=r"has no step rewards.*--set rewards\.evidence=always"):
        WhatIf(Store(config.data_dir), run_id(config), OtherRule())
    out = io.StringIO()
    for one in (config, whole):
        print_summary(make_console(out, 100), one.data_dir, run_id(one))
    assert out.getvalue().count("not needed") == 3


def test_a_run_with_evidence_has_the_comparisons_that_what_if_asks_for(copied: FactoryConfig) -> None:
    """The advice of `steca what-if` where a run has no step rewards."""
    none = {"calibrated": False, "explored_successes": False, "expert_suffixes": False}
    always = copied.model_copy(
        update={
            "datasets": copied.datasets.model_copy(update=none),
            "rewards": copied.rewards.model_copy(update={"evidence": "always"}),
        }
    )
    for stage in STAGES[: STAGES.index("calibrate")]:
        STAGE_FLOWS[stage](always)
    assert WhatIf(Store(always.data_dir), run_id(always), OtherRule()).matrix()


def test_a_forced_stage_runs_again_and_leaves_no_duplicate(copied: FactoryConfig) -> None:
    before = row_counts(copied)
    STAGE_FLOWS["explore"](copied, force=True)
    assert executed(copied)["explore"] == len(states(copied)["explore", 1].batches)
    assert row_counts(copied) == before
    assert states(copied)["rewards", 1].status == "completed"  # the same rows came out: nothing is outdated


def test_a_stage_whose_result_changed_outdates_those_behind_it(copied: FactoryConfig) -> None:
    folder = RunFolder(copied.data_dir, run_id(copied))
    explored = states(copied)["explore", 1]
    folder.save_stage(explored.model_copy(update={"batches": explored.batches[:-1]}))
    STAGE_FLOWS["explore"](copied)
    after = states(copied)
    assert after["rewards", 1].status == after["evaluate", 1].status == "outdated"
    assert after["demonstrate", 0].status == after["warmup", 0].status == "completed"
    with pytest.raises(StageFault, match="first run: steca stage rewards --run tiny-"):
        STAGE_FLOWS["calibrate"](copied)


def test_a_stage_without_what_it_needs_names_the_command(prefect_api: str, tmp_path: Path) -> None:
    config = tiny(tmp_path)
    with pytest.raises(StageFault) as caught:
        STAGE_FLOWS["warmup"](config)
    run = run_id(config)
    assert str(caught.value) == (
        f"stage demonstrate of run {run} has not run; first run: steca stage demonstrate --run {run} "
        f"--data-dir {config.data_dir}"
    )


def shard_of(config: FactoryConfig, stage: str, table: str) -> Path:
    keys = {ref.stage_key for ref in states(config)[stage, 1 if stage != "demonstrate" else 0].batches}
    return next(
        path for key in sorted(keys) for path in (config.data_dir / "shards" / key).glob(f"{table}-*.parquet")
    )


def test_a_damaged_cached_shard_is_not_used_and_force_mends_it(copied: FactoryConfig) -> None:
    shard = shard_of(copied, "explore", "steps")
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StorageFault, match=f"{shard.name} is corrupt"):
        STAGE_FLOWS["explore"](copied)
    STAGE_FLOWS["explore"](copied, force=True)
    assert shard.read_bytes() == whole


def test_a_missing_cached_shard_is_not_used(copied: FactoryConfig) -> None:
    shard = shard_of(copied, "demonstrate", "tasks")
    shard.unlink()
    with pytest.raises(StorageFault, match="--force"):
        STAGE_FLOWS["demonstrate"](copied)


def test_a_changed_checkpoint_is_not_used(copied: FactoryConfig) -> None:
    digest = states(copied)["warmup", 0].checkpoint
    assert digest is not None
    weights = copied.data_dir / "checkpoints" / digest[:16] / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8] + b"damaged!")
    with pytest.raises(PolicyFault, match="does not match its digest"):
        STAGE_FLOWS["warmup"](copied)


def test_run_ids_stand_for_the_outcome(tmp_path: Path) -> None:
    base = tiny(tmp_path)
    assert run_id(base) == run_id(tiny(tmp_path / "x", "execution.batch_tasks=9", "execution.threads=2"))
    assert run_id(base) != run_id(tiny(tmp_path, "seed=1"))
    assert run_id(base) != run_id(tiny(tmp_path, "deviation.delta=0.1"))


def test_the_parts_of_a_plan_share_no_task_unless_told_to() -> None:
    from environments.registry import open_world

    config = tiny(Path("data"), "tasks.demonstrations=5", "tasks.exploration=4")
    world = open_world(config.environment)
    parts = {part: {task.task_id for task in tasks} for part, tasks in planned(world, config).items()}
    assert {part: len(ids) for part, ids in parts.items()} == {
        "demonstrations": 5, "exploration": 4, "seen": 2, "unseen": 2,
    }  # fmt: skip
    assert len(set.union(*parts.values())) == 13
    shared = planned(world, tiny(Path("data"), "tasks.explore_demonstrated=true", "tasks.exploration=3"))
    assert {part: len(tasks) for part, tasks in shared.items()} == {
        "demonstrations": 5, "shared": 3, "seen": 2, "unseen": 2,
    }  # fmt: skip


def test_another_choice_of_repairs_changes_the_repairs_and_nothing_before(copied: FactoryConfig) -> None:
    """The control of the method: as many turns at random, with the same verdicts, D_s and D_e."""
    random = tiny(copied.data_dir, "calibration.choose=random")
    for stage in ("demonstrate", "warmup", "explore", "rewards", "calibrate", "train"):
        STAGE_FLOWS[stage](random)
    played = executed(random)
    assert {
        stage: played[stage] for stage in ("demonstrate", "warmup", "explore", "rewards")
    } == dict.fromkeys(("demonstrate", "warmup", "explore", "rewards"), 0)
    store, usual, other = Store(copied.data_dir), run_id(copied), run_id(random)

    def rows(sql: str, run: str) -> list[tuple[object, ...]]:
        return sorted(store.query(sql, {"run": run})[1])

    for same in (
        "SELECT deviation_id, selected FROM run_deviations WHERE run_id = $run",
        "SELECT example_id FROM run_training_examples WHERE run_id = $run AND dataset <> 'calibrated'",
    ):
        assert rows(same, usual) == rows(same, other) != []
    repaired = "SELECT deviation_id, choose, selected FROM repaired_turns WHERE run_id = $run"
    chosen = "SELECT deviation_id FROM run_repair_choices WHERE run_id = $run AND chosen"
    selected = "SELECT deviation_id FROM run_deviations WHERE run_id = $run AND selected"
    assert [row[:1] for row in rows(repaired, other)] == rows(chosen, other)
    assert [row[:1] for row in rows(repaired, usual)] == rows(selected, usual)
    assert len(rows(chosen, other)) == len(rows(selected, other)) > 0
    assert {row[1] for row in rows(repaired, other)} == {"random"}
    assert {row[1:] for row in rows(repaired, usual)} == {("verdict", True)}
    assert rows(chosen, usual) == []
    plans = "SELECT calibration_id, plan FROM run_calibrations WHERE run_id = $run"
    assert rows(plans.replace("run_calibrations", "repaired_turns"), usual) == rows(plans, usual)
    turns = "SELECT repair_turns FROM repaired_turns WHERE run_id = $run"
    steps = "FROM run_calibrations JOIN steps USING (trajectory_id) WHERE run_id = $run AND origin = 'repair'"
    assert rows(turns, usual) == rows(f"SELECT count(*) {steps} GROUP BY calibration_id", usual) != []
    lineage = "SELECT choices FROM lineage($id) LIMIT 1"
    name = rows(chosen, other)[0][0]
    ((choices,),) = store.query(lineage, {"id": name})[1]
    assert [(one["run_id"], one["choose"]) for one in choices] == [(other, "random")]


def test_another_scorer_is_known_by_its_digest_and_forces_no_other_deviations(copied: FactoryConfig) -> None:
    """The trained policy scores; then the same model from another folder."""
    folder = copied.data_dir / "checkpoints" / str(states(copied)["train", 1].checkpoint)[:16]
    scored = tiny(copied.data_dir, f"rewards.scorer={folder}")
    factory(scored)
    trained = states(copied)["train", 1].checkpoint
    store = Store(copied.data_dir)
    scorers = "SELECT DISTINCT checkpoint FROM run_scored_turns WHERE run_id = $run"
    forced = "SELECT trajectory_id FROM run_trajectories WHERE run_id = $run AND kind = 'forced_deviation' ORDER BY 1"
    assert store.query(scorers, {"run": run_id(scored)})[1] == [(trained,)]
    assert store.query(scorers, {"run": run_id(copied)})[1] == [(states(copied)["warmup", 0].checkpoint,)]
    assert (
        store.query(forced, {"run": run_id(scored)})[1]
        == store.query(forced, {"run": run_id(copied)})[1]
        != []
    )
    assert (executed(scored)["explore"], spent(scored).rollouts > 0) == (0, True)
    moved = shutil.copytree(folder, copied.data_dir.parent / "elsewhere")
    other = tiny(copied.data_dir, f"rewards.scorer={moved}")
    assert run_id(other) != run_id(scored)
    factory(other)
    assert executed(other) == dict.fromkeys(STAGES, 0)


def test_a_scorer_that_changes_while_it_scores_is_noticed(copied: FactoryConfig) -> None:
    folder = copied.data_dir / "checkpoints" / str(states(copied)["train", 1].checkpoint)[:16]
    moved = shutil.copytree(folder, copied.data_dir.parent / "elsewhere")
    resources = RunResources(tiny(copied.data_dir, f"rewards.scorer={moved}"))
    digest = resources.scorer()
    assert digest == states(copied)["train", 1].checkpoint
    assert resources.checkpoint(digest).path == moved
    (moved / "more.txt").write_text("changed")
    with pytest.raises(PolicyFault, match=r"rewards\.scorer .*elsewhere has changed since the stage began"):
        resources.policy(digest).act([[{"role": "user", "content": "look"}]], [0], Sampling())
    assert RunResources(copied).scorer() is None


def test_a_scorer_that_cannot_play_is_refused_before_the_first_stage(tmp_path: Path) -> None:
    config = tiny(tmp_path / "data", f"rewards.scorer={tmp_path / 'missing'}")
    with pytest.raises(PolicyFault, match=r"rewards\.scorer .*missing: there is no such folder"):
        preflight(config)
    preflight(config, ["explore"])  # the stages that do not need it run
