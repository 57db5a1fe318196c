"""Where runs meet: a run goes on as it was begun, shares what others did, and changes nothing of theirs."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from configs.cache_inputs import GENERATION_SETTINGS, rollout_id_settings, run_id_settings
from configs.load import load_config
from configs.schema import BudgetConfig, FactoryConfig
from configs.stages import STAGES
from environments.alfworld.generation.world import GeneratedAlfworld
from environments.base import EnvironmentFault
from environments.registry import open_world
from flows.factory import factory
from flows.faults import StageFault
from flows.runs.from_cache import run_from_cache
from flows.runs.run import config_of_run, folder_of, open_run, outdate, run_id
from flows.stage_run import stage_run
from flows.stages import STAGE_FLOWS
from flows.work.planning import WARMUP_PARTS, planned
from rollouts.comparisons import _basis
from storage.ids import content_id
from storage.records import RECORDS
from storage.row_digest import digest_of_rows
from storage.runs import RunFolder, StageState
from storage.store import Store
from tasks.caching import results_of, stored_result
from tests.support.tiny_factory import ROOT, TINY, tiny

OF_0_3_0 = {
    None: "factory-67450828",
    "tests/support/tiny.yaml": "tiny-a89e8359",
    "configs/quickstart.yaml": "quickstart-02f01fc2",
    "configs/alfworld-cpu.yaml": "alfworld-cpu-3dda3e49",
    "configs/alfworld-qwen2.5-1.5b.yaml": "alfworld-qwen2-5-1-5b-e628a794",
    "configs/alfworld-llama3-8b.yaml": "alfworld-llama3-8b-81f30b8a",
}
"""Run ids as 0.3.0 made them. A configuration that is changed on purpose gets a new one here."""


def states(config: FactoryConfig) -> dict[str, StageState]:
    return {state.stage: state for state in RunFolder(config.data_dir, run_id(config)).stages()}


def executed(config: FactoryConfig) -> dict[str, int]:
    """Batches of each stage's last run that did not come from the cache."""
    return {stage: len(state.batches) - state.cached_batches for stage, state in states(config).items()}


def rows(config: FactoryConfig) -> dict[str, list[tuple[object, ...]]]:
    store = Store(config.data_dir)
    sql = "SELECT * EXCLUDE (provenance) FROM of_run('{}', $run) ORDER BY ALL"
    return {r.table: store.query(sql.format(r.table), {"run": run_id(config)})[1] for r in RECORDS}


def cut_by(config: FactoryConfig, batch_tasks: int) -> FactoryConfig:
    how = config.execution.model_copy(update={"batch_tasks": batch_tasks})
    return config.model_copy(update={"execution": how})


@pytest.mark.parametrize("path", OF_0_3_0, ids=str)
def test_a_setting_that_came_later_leaves_run_ids_as_they_were(path: str | None) -> None:
    assert run_id(load_config(ROOT / path if path else None)) == OF_0_3_0[path]


def test_a_setting_that_came_later_leaves_the_ids_of_rollouts_as_they_were() -> None:
    world = open_world(FactoryConfig().environment)
    of_0_3_0 = {None: "a6c52c8408b59fc4", "configs/alfworld-qwen2.5-1.5b.yaml": "949d99fb08bded87"}
    for path, known in of_0_3_0.items():
        config = load_config(ROOT / path if path else None)
        assert content_id(_basis(config, "s", world)) == known


def test_what_decides_a_turn_is_in_the_ids_of_rollouts_and_in_the_keys_of_stages() -> None:
    """One list of settings, so that a new one cannot be in the one and not in the other."""
    served = FactoryConfig.model_validate({"policy": {"engine": "openai"}})
    names = {name.removeprefix("policy.") for name in GENERATION_SETTINGS}
    assert set(rollout_id_settings(served)) <= names
    for name, value in (
        ("stop", ("x",)),
        ("constrain", "admissible"),
        ("arguments", ("--quantization", "fp8")),
    ):
        other = FactoryConfig.model_validate({"policy": {"engine": "openai", name: value}})
        assert rollout_id_settings(other) != rollout_id_settings(served)


def test_a_run_keeps_how_it_was_done(copied: FactoryConfig) -> None:
    how = {"execution": {"threads": 1, "batch_tasks": 2, "device": "cpu"}, "budget": {"rollouts": 50_000}}
    config = FactoryConfig.model_validate({**copied.model_dump(), **how, "name": "kept"})
    folder = folder_of(config)
    open_run(folder, config)
    opened = config_of_run(config.data_dir, folder.run_id)
    assert (opened.execution, opened.budget) == (config.execution, config.budget)
    changed = config_of_run(config.data_dir, folder.run_id, ["execution.batch_tasks=64", "budget.rollouts=7"])
    assert changed.execution == config.execution.model_copy(update={"batch_tasks": 64})
    assert changed.budget.rollouts == 7


def test_a_stage_alone_is_cut_as_the_run_was(copied: FactoryConfig) -> None:
    run = run_id(copied)
    STAGE_FLOWS["demonstrate"](run, data_dir=str(copied.data_dir))
    assert executed(copied) == dict.fromkeys(STAGES, 0) | {
        stage: executed(copied)[stage] for stage in STAGES[1:]
    }
    assert {state.status for state in states(copied).values()} == {"completed"}


def test_another_cut_runs_nothing_again_and_outdates_nothing(copied: FactoryConfig) -> None:
    before = rows(copied)
    STAGE_FLOWS["demonstrate"](cut_by(copied, 3))
    after = states(copied)
    assert len(after["demonstrate"].batches) == 8
    assert {state.status for state in after.values()} == {"completed"}
    factory(cut_by(copied, 3))
    assert rows(copied) == before
    assert executed(copied)["train"] == executed(copied)["warmup"] == 0
    assert RunFolder(copied.data_dir, run_id(copied)).spent().rollouts == 68  # of the first run
    calls = [ref for state in states(copied).values() for ref in state.calls]
    assert calls == []


def test_identical_rows_in_another_batch_do_not_train_again(copied: FactoryConfig) -> None:
    """Content decides, not the name of the batch."""
    digest = states(copied)["train"].checkpoint
    for stage in ("demonstrate", "explore", "rewards", "calibrate"):
        STAGE_FLOWS[stage](cut_by(copied, 8))
    assert len(states(copied)["calibrate"].batches) == 1
    STAGE_FLOWS["train"](copied)
    assert (executed(copied)["train"], states(copied)["train"].checkpoint) == (0, digest)


def test_a_batch_that_a_budget_cut_is_never_taken_for_a_whole_one(stopped: FactoryConfig) -> None:
    results = [path for path in results_of(stopped.data_dir).iterdir() if path.name.startswith("score-")]
    cut = [path for path in results if json.loads(json.loads(path.read_text())["result"])["cut"]]
    assert cut
    assert all(stored_result(stopped.data_dir, path.name) is None for path in cut)
    assert any(stored_result(stopped.data_dir, path.name) for path in results)  # those of the finished run
    whole = tiny(stopped.data_dir, "seed=5", "name=whole")  # the same batches, and no budget
    for stage in ("demonstrate", "warmup", "explore", "rewards"):
        STAGE_FLOWS[stage](whole)
    sql = "SELECT count(*) FROM of_run('deviations', $run) WHERE verdict = 'undecided'"
    store = Store(stopped.data_dir)
    assert store.query(sql, {"run": run_id(stopped)})[1] != [(0,)]
    assert store.query(sql, {"run": run_id(whole)})[1] == [(0,)]
    assert executed(whole)["explore"] == 0 < executed(whole)["rewards"]


def test_force_plays_rollouts_anew(copied: FactoryConfig) -> None:
    folder = RunFolder(copied.data_dir, run_id(copied))
    before, known = folder.spent().rollouts, rows(copied)
    STAGE_FLOWS["rewards"](copied, force=True)
    assert folder.spent().rollouts == 2 * before > 0
    assert rows(copied) == known  # this policy's rollouts repeat


@pytest.mark.parametrize("stage", ["rewards", "train", "evaluate"])
def test_a_round_beyond_the_runs_is_refused_and_not_filed(copied: FactoryConfig, stage: str) -> None:
    with pytest.raises(StageFault, match="has 1 round, so there is no round 2"):
        STAGE_FLOWS[stage](copied, round=2)
    assert not list(copied.data_dir.glob("runs/*/stages/2-*"))


def test_a_mistyped_option_of_the_world_leaves_no_run(prefect_api: str, tmp_path: Path) -> None:
    wrong = tiny(tmp_path, "environment.options={receptacle: 6}")
    for start in (factory, STAGE_FLOWS["demonstrate"]):
        with pytest.raises(EnvironmentFault, match="receptacle"):
            start(wrong)
    assert not (tmp_path / "runs").exists()


def test_a_killed_redo_of_the_same_rows_outdates_nothing(copied: FactoryConfig) -> None:
    """The stage is filed as running when it is killed; done again, it finds the rows that it had before."""
    folder = RunFolder(copied.data_dir, run_id(copied))
    explored = states(copied)["explore"]
    killed = explored.model_copy(update={"status": "running", "batches": (), "before": explored.batches})
    folder.save_stage(killed)
    STAGE_FLOWS["explore"](copied)
    assert {state.status for state in states(copied).values()} == {"completed"}


def test_a_world_that_changed_gets_nothing_from_the_cache(
    copied: FactoryConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_from_cache(copied) == run_id(copied)
    monkeypatch.setattr(GeneratedAlfworld, "version", "changed")
    assert run_from_cache(copied) is None
    STAGE_FLOWS["demonstrate"](copied)
    assert executed(copied)["demonstrate"] == len(states(copied)["demonstrate"].batches)
    world = open_world(copied.environment)
    monkeypatch.undo()
    assert _basis(copied, "s", world) == _basis(copied, "s", world)
    assert content_id(_basis(copied, "s", world)) != content_id(
        {**_basis(copied, "s", world), "world": "changed"}
    )


def test_where_every_result_is_there_nothing_is_started(copied: FactoryConfig) -> None:
    """Neither Prefect nor torch is loaded; the files of the run stay as they were."""
    before = {path: path.read_bytes() for path in copied.data_dir.glob("runs/*/stages/*")}
    said = again(copied.data_dir)
    assert f"every result is in the cache: nothing was computed again (run {run_id(copied)})" in said
    assert said.splitlines()[-1] == "[]"
    assert {path: path.read_bytes() for path in copied.data_dir.glob("runs/*/stages/*")} == before


def test_a_run_of_another_name_is_filed_from_the_cache(copied: FactoryConfig) -> None:
    said = again(copied.data_dir, "name=twin")
    assert said.splitlines()[-1] == "[]"
    twin = tiny(copied.data_dir, "name=twin")
    assert list(states(twin)) == list(STAGES)
    assert rows(twin) == rows(copied)


def again(data_dir: Path, *overrides: str) -> str:
    """`steca run` in a process of its own; ends with what it has loaded of what is slow to load."""
    sets = [part for override in (f"data_dir={data_dir}", *overrides) for part in ("--set", override)]
    arguments = ["run", "--config", str(TINY), *sets]
    code = (
        "import sys; from cli.main import app\n"
        f"app({arguments!r}, standalone_mode=False)\n"
        "print(sorted({'torch', 'transformers', 'prefect'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_missing_result_is_not_made_up(copied: FactoryConfig) -> None:
    victim = next(path for path in results_of(copied.data_dir).iterdir() if path.name.startswith("decide-"))
    whole = victim.read_bytes()
    for damaged in (None, b"", whole[:-20], b'{"result": "{}"}'):
        victim.unlink() if damaged is None else victim.write_bytes(damaged)
        assert run_from_cache(copied) is None
    victim.write_bytes(whole)
    assert run_from_cache(copied) == run_id(copied)


def test_the_digest_of_rows_does_not_depend_on_how_they_are_cut(finished: FactoryConfig) -> None:
    from storage.shards import ShardStore

    shards = ShardStore(finished.data_dir)
    refs = states(finished)["explore"].batches
    every = [row for ref in refs for row in shards.read_batch(ref)]
    assert shards.rows_digest(refs) == shards.rows_digest(refs[::-1]) == digest_of_rows(reversed(every))
    assert digest_of_rows(every[:-1]) != digest_of_rows(every) != digest_of_rows([*every, every[0]])


def test_run_id_settings_leave_out_how_the_work_is_done() -> None:
    assert not {"execution", "budget", "name", "data_dir"} & set(run_id_settings(FactoryConfig()))


def test_a_forced_stage_that_a_budget_cuts_goes_on_from_what_it_played_itself(copied: FactoryConfig) -> None:
    """It comes back to a cut batch with what the others left over, and must not begin that batch anew."""
    budget = copied.model_copy(
        update={"budget": BudgetConfig(rollouts=136)}
    )  # 68 of the first run, and once more
    STAGE_FLOWS["rewards"](budget, force=True)
    rewards = states(copied)["rewards"]
    assert rewards.stopped is None
    scored = [ref.rows["rollouts"] for ref in rewards.batches if ref.batch_id.startswith("score-")]
    assert sum(scored) == 68
    assert RunFolder(copied.data_dir, run_id(copied)).spent().rollouts == 136


def test_a_budget_that_buys_nothing_more_outdates_nothing(stopped: FactoryConfig) -> None:
    assert states(stopped)["rewards"].stopped
    STAGE_FLOWS["rewards"](stopped)
    assert {state.status for state in states(stopped).values()} == {"completed"}


def test_a_replay_that_finds_not_all_leaves_nothing(copied: FactoryConfig) -> None:
    other = tiny(copied.data_dir, "name=new", "training.steps=4")  # shares all before the last training
    before = sorted(copied.data_dir.rglob("*"))
    assert run_from_cache(other) is None
    new = set(copied.data_dir.rglob("*")) - set(before)
    assert {path.parent.name for path in new} <= {"locks"}


def test_shared_demonstrations_come_in_the_order_of_the_tasks() -> None:
    """Equal rows decide one key, so they must also come to a training in one order."""
    world = GeneratedAlfworld({"receptacles": 6, "objects": 4})
    apart = planned(world, tiny(Path("data"), "tasks.exploration=3"))
    shared = planned(world, tiny(Path("data"), "tasks.exploration=3", "tasks.explore_demonstrated=true"))
    both = [task for part in shared if part in WARMUP_PARTS for task in shared[part]]
    assert both == [task for part in apart if part in WARMUP_PARTS for task in apart[part]]


def test_nothing_is_made_from_evaluations(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "run-1")
    folder.create("run", {})
    for round in (1, 2):
        for stage in STAGES[2:]:
            state = StageState(
                stage=stage, round=round, stage_key="k", status="completed", started_at=datetime.now(UTC)
            )
            folder.save_stage(state)
    outdate(folder, "evaluate", 1)
    assert {state.status for state in folder.stages()} == {"completed"}
    outdate(folder, "train", 1)
    outdated = {(state.round, state.stage) for state in folder.stages() if state.status == "outdated"}
    assert outdated == {(1, "evaluate"), *((2, stage) for stage in STAGES[2:])}


def test_a_damaged_how_is_replaced(tmp_path: Path) -> None:
    config = tiny(tmp_path)
    folder = folder_of(config)
    open_run(folder, config)
    execution = folder.execution()
    assert execution is not None
    (folder.folder / "how.json").write_text("{")
    open_run(folder, config)
    assert folder.execution() == execution


def test_a_stage_that_was_told_to_end_did_not_fail_whatever_goes_wrong_on_the_way_out(
    copied: FactoryConfig,
) -> None:
    def ends(error: Exception, first: BaseException | None = None) -> StageState:
        with suppress(RuntimeError), stage_run("demonstrate", copied, run_id(copied), 1, False):
            try:
                if first:
                    raise first
            finally:
                raise error
        return states(copied)["demonstrate"]

    ended = ends(RuntimeError("closing"), KeyboardInterrupt())
    assert ended.status == "crashed"
    assert (ended.error or "").startswith("ended from outside")
    for first in (None, ValueError("why")):
        failed = ends(RuntimeError("broken"), first)
        assert (failed.status, failed.error) == ("failed", "broken")
