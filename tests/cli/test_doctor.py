"""`steca doctor` reports whatever is wrong with a data folder, and repairs what can be repaired."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner

from cli.findings import Finding, examine
from cli.main import app
from cli.summary import refuse_incomplete_tables
from flows.runs.lock import lock_run
from storage.faults import StorageFault
from storage.runs import RunFolder, StageStatus
from storage.shards import ShardStore
from storage.sql.schema import migrations
from storage.store import Store
from tests.support.old_folders import POISONED_030, RUN_030
from tests.support.store_rows import ingested_run, record_run, rollout, scored_turn, task


def steca(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output
    return result.stdout + result.stderr


def found(root: Path, state: str, rebuild: bool = False) -> list[Finding]:
    return [finding for finding in examine(root, rebuild) if finding.state == state]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two batches of one run, ingested; its name would be markup."""
    return ingested_run(tmp_path / "brack[et]s [/INST]", 2)


def test_a_healthy_folder_is_said_to_be(folder: Path) -> None:
    assert steca("doctor", "--data-dir", folder) == f"{folder}: healthy\n"
    assert "healthy" in steca("doctor", "--rebuild", "--data-dir", folder)


def test_what_is_no_folder_is_one_line_and_none_is_made(tmp_path: Path) -> None:
    said = steca("doctor", "--data-dir", tmp_path / "dtaa", code=1)
    folder = tmp_path / "dtaa"
    start = f"start one with `steca run --set data_dir={folder}`"
    assert (
        said == f"error: no runs in {folder} yet: {start}, or give the folder of your runs with --data-dir\n"
    )
    assert not (tmp_path / "dtaa").exists()


def test_a_folder_that_equal_trainings_poisoned_is_repaired(poisoned_030: Path) -> None:
    said = steca("doctor", "--data-dir", poisoned_030)
    assert "3 batches were not in it: ingested and published" in said
    assert said.endswith(": healthy\n")
    store = Store(poisoned_030)
    assert store.query("SELECT role, round FROM checkpoints ORDER BY ALL")[1] == [
        ("trained", 1),
        ("warmup", 0),
    ]
    assert store.query("SELECT role, trainings FROM policies")[1] == [("warmup", 2)]
    sql = f"SELECT count(*), count(calibration_id) FROM of_run('training_examples', '{POISONED_030}')"
    assert store.query(sql)[1] == [(23, 7)]
    for (example,) in store.query("SELECT example_id FROM training_examples")[1]:
        rows = store.query("SELECT side, rollout_id FROM lineage(?)", [example])[1]
        assert len(set(rows)) == len(rows)
    assert found(poisoned_030, "repaired") == []


def test_a_set_aside_batch_is_listed_with_its_run_until_its_cause_is_gone(folder: Path) -> None:
    ref = ShardStore(folder).write_batch("explore-2", "b9", [task("t0", "something else"), task("new")])
    record_run(folder, "toy-2", ref, round=2)
    said = steca("doctor", "--data-dir", folder, code=1)
    for words in (
        "to do",
        "batch explore-2/b9 (stage explore of run toy-2)",
        "another row of tasks under the key t0",
        "1 thing left",
    ):
        assert words in said
    refuse_incomplete_tables(folder, "toy-1")
    with pytest.raises(StorageFault) as refused:
        refuse_incomplete_tables(folder, "toy-2")
    assert "the tables of run toy-2 lack 1 of its batches (see `steca doctor --data-dir " in str(
        refused.value
    )
    assert f"such as {ref.manifest}: batch explore-2/b9 holds another row of tasks" in str(refused.value)
    (folder / ref.manifest).unlink()
    steca("doctor", "--data-dir", folder)
    refuse_incomplete_tables(folder, "toy-2")


def test_a_damaged_shard_behind_a_cached_result_is_listed_once_and_computed_again(data_030: Path) -> None:
    """The rows of the batch stay in the store; its result no longer fails every run that needs it."""
    steca("doctor", "--data-dir", data_030)
    results = set((data_030 / "results").iterdir())
    manifest = next(data_030.glob("shards/*/train-all-*.json"))
    shard = next(manifest.parent.glob("checkpoints-*.parquet"))
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    said = steca("doctor", "--data-dir", data_030, code=1)
    assert f"batch {manifest.parent.name}/{manifest.stem} (stage train of run {RUN_030})" in said
    assert f"its rows are in the store, but shard {shard} is corrupt" in said
    (gone,) = results - set((data_030 / "results").iterdir())
    assert (
        json.loads(json.loads(gone.with_name(f"{gone.name}.damaged").read_bytes())["result"])["batch_id"]
        == manifest.stem
    )
    assert f"results/{gone.name}" in said
    assert said.count(shard.name) == 1
    assert "1 thing left to do" in said
    assert "run `steca doctor`" not in said
    shard.write_bytes(whole)
    said = steca("doctor", "--data-dir", data_030)
    assert "1 damaged file" in said
    assert "repaired" not in said


@pytest.mark.parametrize("status", ["completed", "failed"])
def test_a_damaged_checkpoint_is_named_with_the_command_that_trains_it_again(
    status: StageStatus, data_030: Path
) -> None:
    """A run that has met it has a failed stage."""
    folder = RunFolder(data_030, RUN_030)
    state = folder.stage(0, "warmup")
    assert state
    assert state.checkpoint
    folder.save_stage(state.model_copy(update={"status": status}))
    assert found(data_030, "to do") == []
    (data_030 / "checkpoints" / state.checkpoint[:16] / "config.json").write_text("{")
    (finding,) = found(data_030, "to do")
    assert finding.subject == f"checkpoints/{state.checkpoint[:16]}"
    assert f"steca stage warmup --run {RUN_030} --force" in finding.message


def test_a_damaged_result_is_set_aside(data_030: Path) -> None:
    steca("doctor", "--data-dir", data_030)
    path = next((data_030 / "results").iterdir())
    path.write_bytes(path.read_bytes()[:40])
    (repaired,) = found(data_030, "repaired")
    assert (repaired.subject, path.exists()) == (path.relative_to(data_030).as_posix(), False)
    assert found(data_030, "repaired") == []


def test_results_are_left_alone_while_a_run_is_at_work(data_030: Path) -> None:
    path = next((data_030 / "results").iterdir())
    path.write_bytes(b"half writt")
    with lock_run(RunFolder(data_030, RUN_030)):
        assert any(f"works on run {RUN_030} now" in note.message for note in found(data_030, "note"))
    assert path.exists()


def test_damaged_evidence_is_set_aside(data_030: Path) -> None:
    steca("doctor", "--data-dir", data_030)
    path = next(data_030.glob("evidence/*/*/*.parquet"))
    path.write_bytes(path.read_bytes()[:-3])
    (repaired,) = found(data_030, "repaired")
    assert (repaired.subject, path.exists()) == (path.relative_to(data_030).as_posix(), False)


def truncate(store: Store) -> None:
    store.working.write_bytes(store.working.read_bytes()[:5000])


def spoil(store: Store) -> None:
    """Damage that is met only when the tables are read."""
    data = bytearray(store.working.read_bytes())
    for place in range(300_000, len(data), 50_000):
        data[place] ^= 0xFF
    store.working.write_bytes(data)


@pytest.mark.parametrize("damage", [truncate, spoil])
def test_a_damaged_working_database_is_rebuilt(data_030: Path, damage: Callable[[Store], None]) -> None:
    steca("doctor", "--data-dir", data_030)
    store = Store(data_030)
    before = store.query("FROM run_summary")
    damage(store)
    (repaired,) = found(data_030, "repaired")
    assert repaired.message.endswith("makes it anew from the shards: done")
    assert store.query("FROM run_summary") == before
    assert found(data_030, "repaired") == []


def test_a_database_of_a_newer_version_is_kept_unless_one_asks(folder: Path) -> None:
    with duckdb.connect(Store(folder).working) as database:
        database.execute("INSERT INTO schema_version VALUES (?)", [migrations()[-1][0] + 1])
    assert "steca doctor --rebuild" in steca("doctor", "--data-dir", folder, code=1)
    steca("doctor", "--rebuild", "--data-dir", folder)
    steca("doctor", "--data-dir", folder)


def test_a_stage_whose_process_was_killed_is_no_longer_running(folder: Path) -> None:
    run = RunFolder(folder, "toy-1")
    state = run.stage(1, "explore")
    assert state is not None
    run.save_stage(state.model_copy(update={"status": "running"}))
    with lock_run(RunFolder(folder, "toy-1")):
        assert found(folder, "repaired") == []
    (repaired,) = found(folder, "repaired")
    assert "marked as crashed" in repaired.message
    assert Store(folder).query("SELECT status, error FROM run_stages")[1] == [
        ("crashed", "its process was killed")
    ]


def test_leftovers_and_damaged_run_files_are_named(folder: Path) -> None:
    left = folder / "shards/explore-1/.writing-abc"
    left.write_text("half")
    os.utime(left, (1, 1))
    (folder / "runs/toy-1/spent.json").write_text("{")
    (folder / "runs/toy-1/stages/1-explore.json").write_text("{")
    said = steca("doctor", "--data-dir", folder, code=1)
    for words in (
        "shards/explore-1/.writing-abc",
        "left half-written by a killed process",
        "spent.json is damaged",
        "runs/toy-1/stages/1-explore.json",
        "2 things left",
    ):
        assert words in said
    assert not left.exists()


def test_rollouts_that_were_played_twice_are_a_note(folder: Path) -> None:
    rows = [scored_turn("r", "expert"), rollout("a", 0, ["look"], "r", 0.0)]
    ShardStore(folder).write_batch("rewards-1", "b0", rows)
    ShardStore(folder).write_batch("rewards-2", "b0", [rollout("b", 0, ["dance"], "r", 1.0)])
    said = steca("doctor", "--data-dir", folder)
    assert "1 rollout played twice" in said
    assert "FROM rollout_conflicts" in said
