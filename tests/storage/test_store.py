"""The store: ingest, publish, rebuild and query."""

from __future__ import annotations

import random
from itertools import permutations
from math import inf, nan
from pathlib import Path

import duckdb
import pytest

from storage.columns import RECORD_OF_TABLE
from storage.faults import StorageFault, UnusableDatabase
from storage.records import CheckpointRecord
from storage.runs import RunFolder, list_runs, run_called
from storage.shards import ShardStore
from storage.sql.schema import failed
from storage.store import Store
from tests.support.store_rows import BEGUN, checkpoint, in_the_store, one_of_each, record_run, step, task

BOOKKEEPING = (
    "ingested_batches",
    "superseded_batches",
    "set_aside_batches",
    "set_aside_files",
    "rollout_conflicts",
    "provenance_batches",
    "runs",
    "run_stages",
    "run_batches",
)


@pytest.fixture
def shards(tmp_path: Path) -> ShardStore:
    return ShardStore(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def content(store: Store) -> dict[str, list[tuple]]:
    """Every row of every table of the published file."""
    with duckdb.connect(store.published, read_only=True) as connection:
        return {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY ALL").fetchall()
            for table in (*RECORD_OF_TABLE, *BOOKKEEPING)
        }


def batches_of(store: Store, task_id: str) -> list[tuple[str, str]]:
    tables = "tasks JOIN provenance_batches USING (provenance)"
    return store.query(f"SELECT stage_key, batch_id FROM {tables} WHERE task_id = ? ORDER BY ALL", [task_id])[
        1
    ]


def test_every_record_arrives_as_it_was(shards: ShardStore, store: Store) -> None:
    records = one_of_each()
    shards.write_batch("explore-1", "b0", records)
    report = store.ingest()
    assert report.rows == dict.fromkeys(RECORD_OF_TABLE, 1)
    assert report.batches == 1
    for record in records:
        wanted = in_the_store(record)
        columns, rows = store.query(f"SELECT {', '.join(wanted)} FROM {record.table}")
        assert [dict(zip(columns, row, strict=True)) for row in rows] == [wanted]


def test_ingesting_again_changes_nothing(shards: ShardStore, store: Store) -> None:
    shards.write_batch("explore-1", "b0", one_of_each())
    store.ingest()
    before = content(store)
    report = store.ingest()
    assert (report.batches, report.rows) == (0, {})
    shards.write_batch("explore-1", "b0", one_of_each())
    assert store.ingest().batches == 0
    assert content(store) == before


def test_more_rows_than_a_row_group_arrive_whole(shards: ShardStore, store: Store) -> None:
    for batch in range(3):
        steps = [step(f"x{batch}", index) for index in range(45_000)]
        shards.write_batch("explore-1", f"b{batch}", steps)
    assert store.ingest().rows == {"steps": 135_000}
    sql = "SELECT trajectory_id, count(*), count(DISTINCT step_index) FROM steps GROUP BY ALL ORDER BY ALL"
    assert store.query(sql)[1] == [(f"x{batch}", 45_000, 45_000) for batch in range(3)]


def test_a_row_of_two_batches_is_stored_once_and_leads_to_both(shards: ShardStore, store: Store) -> None:
    shards.write_batch("explore-1", "b0", [task("a"), task("b")])
    shards.write_batch("explore-1", "b1", [task("b"), task("c")])
    assert store.ingest().rows == {"tasks": 3}
    later = shards.write_batch("explore-2", "b0", [task("b"), task("d")])
    assert store.ingest().rows == {"tasks": 1}
    assert batches_of(store, "a") == [("explore-1", "b0")]
    assert batches_of(store, "b") == [("explore-1", "b0"), ("explore-1", "b1"), ("explore-2", "b0")]
    assert batches_of(store, "d") == [(later.stage_key, later.batch_id)]


def test_batches_of_one_stage_with_equal_rows_share_a_file(shards: ShardStore, store: Store) -> None:
    for batch in ("b0", "b1"):
        shards.write_batch("explore-1", batch, [task("a")])
    assert len(list(shards.folder.rglob("*.parquet"))) == 1
    assert store.ingest().rows == {"tasks": 1}
    assert batches_of(store, "a") == [("explore-1", "b0"), ("explore-1", "b1")]


def tasks_of(store: Store) -> dict[str, str]:
    return dict(store.query("SELECT task_id, instruction FROM tasks")[1])


def test_a_batch_that_contradicts_an_ingested_one_is_set_aside_and_the_rest_is_published(
    shards: ShardStore, store: Store
) -> None:
    shards.write_batch("explore-2", "b0", [task("a", "first there")])
    store.ingest()
    wrong = shards.write_batch("explore-1", "b1", [task("a", "something else"), task("b")])
    shards.write_batch("explore-3", "b2", [task("c")])
    report = store.ingest()
    assert report.rows == {"tasks": 1}
    (aside,) = report.set_aside
    assert (aside.stage_key, aside.batch_id, aside.sha256) == ("explore-1", "b1", wrong.sha256)
    assert "another row of tasks under the key a than what is already ingested" in aside.reason
    assert tasks_of(store) == {"a": "first there", "c": task("x").instruction}
    kept = store.query("SELECT stage_key, batch_id, manifest, sha256, reason FROM set_aside_batches")[1]
    assert kept == [("explore-1", "b1", wrong.manifest, wrong.sha256, aside.reason)]
    assert store.ingest().set_aside == (aside,)
    (shards.folder / "explore-2" / "b0.json").unlink()
    assert store.ingest().set_aside == ()
    assert tasks_of(store)["a"] == "something else"
    assert store.query("SELECT count(*) FROM set_aside_batches")[1] == [(0,)]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_of_new_batches_that_contradict_each_other_the_same_ones_are_set_aside_in_any_order(
    shards: ShardStore, store: Store, order: tuple[int, ...]
) -> None:
    """The second contradicts the first in one key and the third in another: only it goes."""
    batches = [
        ("explore-1", [task("a"), step("x", 0)]),
        ("explore-2", [task("a", "other"), task("c", "other"), step("y", 0)]),
        ("explore-3", [task("c"), task("b")]),
    ]
    for place in order:
        shards.write_batch(batches[place][0], "b0", batches[place][1])
    report = store.ingest()
    assert [item.stage_key for item in report.set_aside] == ["explore-2"]
    assert "than batch explore-1/b0" in report.set_aside[0].reason
    assert report.rows == {"tasks": 3, "steps": 1}
    grown = content(store)
    store.rebuild()
    assert content(store) == grown


def test_equal_weights_of_several_trainings_are_rows_of_their_own(shards: ShardStore, store: Store) -> None:
    """A training that changed nothing has its parent's digest; a diverged one has losses that are no numbers."""
    warmup = checkpoint("c0")
    still = {"role": "trained", "round": 1, "parent": "c0", "training_id": ""}
    trained = CheckpointRecord.model_validate(warmup.model_dump() | still)
    lost = CheckpointRecord.model_validate(trained.model_dump() | {"losses": [nan, inf], "training_id": ""})
    for number, row in enumerate((warmup, trained, lost, lost)):
        shards.write_batch("train-1", f"b{number}", [row])
    report = store.ingest()
    assert (report.set_aside, report.rows) == ((), {"checkpoints": 3})
    sql = "SELECT role, round, training_id, trainings FROM policies"
    assert store.query(sql)[1] == [("warmup", 0, warmup.training_id, 3)]


def test_a_redo_replaces_the_rows_of_its_batch(shards: ShardStore, store: Store) -> None:
    old = shards.write_batch("explore-1", "b0", [task("a"), task("shared")])
    shards.write_batch("explore-1", "b1", [task("shared")])
    store.ingest()
    shards.write_batch("explore-1", "b0", [task("a", "done better"), task("new")])
    store.ingest()
    rows = store.query("SELECT task_id, instruction FROM tasks ORDER BY 1")[1]
    assert rows == [("a", "done better"), ("new", task("x").instruction), ("shared", task("x").instruction)]
    assert batches_of(store, "shared") == [("explore-1", "b1")]
    assert store.query("SELECT sha256 FROM superseded_batches")[1] == [(old.sha256,)]


def test_a_batch_whose_manifest_was_deleted_leaves(shards: ShardStore, store: Store) -> None:
    shards.write_batch("explore-1", "b0", [task("a"), task("shared")])
    gone = shards.write_batch("explore-1", "b1", [task("b"), task("shared")])
    store.ingest()
    (shards.root / gone.manifest).unlink()
    store.ingest()
    assert store.query("SELECT task_id FROM tasks ORDER BY 1")[1] == [("a",), ("shared",)]
    assert batches_of(store, "shared") == [("explore-1", "b0")]


@pytest.mark.parametrize("seed", range(2))
def test_a_rebuilt_store_equals_the_grown_one(shards: ShardStore, store: Store, seed: int) -> None:
    """Batches that overlap, are redone and vanish, ingested at any moment: the order leaves no trace."""
    draw = random.Random(seed)
    refs = {}
    for _ in range(8):
        stage, batch = f"explore-{draw.randrange(3)}", f"b{draw.randrange(3)}"
        rows = [row for name in draw.sample("abcdefgh", 4) for row in (task(name), step(name, 0))]
        refs[stage, batch] = shards.write_batch(stage, batch, rows)
        if draw.random() < 0.2:
            (shards.root / refs.pop(draw.choice(list(refs))).manifest).unlink()
        if draw.random() < 0.5:
            store.ingest()
    record_run(shards.root, "toy-1", *refs.values())
    store.ingest()
    grown = content(store)
    report = store.rebuild()
    assert content(store) == grown
    assert report.batches == len(refs)
    assert store.ingest().batches == 0
    present = {row.task_id for ref in refs.values() for row in shards.read_batch(ref) if row.table == "tasks"}
    assert {row[0] for row in grown["tasks"]} == present


def test_runs_and_stages_follow_their_files(shards: ShardStore, store: Store) -> None:
    ref = shards.write_batch("explore-1", "b0", [task("a")])
    run = RunFolder(shards.root, "toy-1")
    record_run(shards.root, "toy-1", ref)
    store.ingest()
    columns, (row,) = store.query("FROM run_stages")
    state = dict(zip(columns, row, strict=True))
    assert (state["run_id"], state["stage"], state["round"], state["status"]) == (
        "toy-1",
        "explore",
        1,
        "completed",
    )
    assert (state["started_at"], state["batches"]) == (BEGUN.replace(tzinfo=None), 1)
    known = run.stage(1, "explore")
    assert known is not None
    run.save_stage(known.model_copy(update={"status": "failed", "error": "it broke"}))
    store.ingest()
    assert store.query("SELECT status, error FROM run_stages")[1] == [("failed", "it broke")]
    assert store.query("SELECT config->>'name', config_digest FROM run_configs")[1] == [
        ("toy-1", run.load().config_digest)
    ]
    assert store.query("SELECT sha256 FROM run_batches")[1] == [(ref.sha256,)]


def test_a_run_is_its_configuration(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, "toy-1")
    first = run.create("toy", {"seed": 1})
    assert run.create("toy", {"seed": 1}) == first
    with pytest.raises(StorageFault, match="run toy-1 exists with another configuration"):
        run.create("toy", {"seed": 2})
    assert list_runs(tmp_path) == [first]
    assert run.stage(1, "explore") is None
    with pytest.raises(StorageFault, match=r"no run toy-2 .* the only one is toy-1"):
        RunFolder(tmp_path, "toy-2").load()


def test_a_run_is_found_by_its_name_or_the_start_of_its_id(tmp_path: Path) -> None:
    for run, name in (("toy-1a", "toy"), ("toy-1b", "toy"), ("other-2", "other"), ("toy", "last")):
        RunFolder(tmp_path, run).create(name, {"of": run})
    for wanted, run in (
        ("toy-1a", "toy-1a"),
        ("toy", "toy"),
        ("last", "toy"),
        ("o", "other-2"),
        ("other", "other-2"),
    ):
        assert run_called(tmp_path, wanted) == run
    with pytest.raises(StorageFault, match=r"2 runs in .* match 'toy-': toy-1a, toy-1b; give more of the id"):
        run_called(tmp_path, "toy-")
    for unknown in ("toys", "../toy", ""):
        with pytest.raises(StorageFault, match=r"no run .* there are 4, e.g. "):
            run_called(tmp_path, unknown)


def test_rows_lead_to_the_runs_that_share_them(shards: ShardStore, store: Store) -> None:
    both = shards.write_batch("explore-1", "b0", [task("shared"), task("twice")])
    mine = shards.write_batch("explore-2", "b0", [task("mine"), task("twice")])
    record_run(shards.root, "one", both, mine)
    record_run(shards.root, "two", both)
    store.ingest()

    def of(run: str) -> list[str]:
        return [row[0] for row in store.query("SELECT task_id FROM of_run('tasks', ?) ORDER BY 1", [run])[1]]

    assert of("one") == ["mine", "shared", "twice"]
    assert of("two") == ["shared", "twice"]
    assert of("three") == []


def test_a_query_cannot_write(shards: ShardStore, store: Store) -> None:
    shards.write_batch("explore-1", "b0", [task("a")])
    store.ingest()
    for sql in ("DELETE FROM tasks", "CREATE TABLE x (i INTEGER)", "DROP TABLE tasks"):
        with pytest.raises(StorageFault, match="read-only"):
            store.query(sql)
    assert store.query("SELECT task_id, ? AS given FROM tasks", [7]) == (["task_id", "given"], [("a", 7)])


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELEC 1", 'Parser Error: syntax error at or near "SELEC"'),
        ("FROM no_such_table", "Catalog Error: Table with name no_such_table does not exist"),
        ("SELECT nothing\nFROM tasks", "Binder Error: Referenced column"),
        ("FROM sql", "Catalog Error: Table with name sql does not exist"),
    ],
)
def test_wrong_sql_is_one_clear_line(shards: ShardStore, store: Store, sql: str, message: str) -> None:
    store.ingest()
    with pytest.raises(StorageFault) as caught:
        store.query(sql)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_an_empty_data_folder_has_an_empty_store(store: Store) -> None:
    with pytest.raises(StorageFault, match=f"nothing is published in {store.root} yet"):
        store.query("FROM tasks")
    assert store.ingest().batches == 0
    assert store.query("SELECT count(*) FROM tasks")[1] == [(0,)]


@pytest.mark.parametrize("folder", ["data", "my [data] *", "it's ü"])
def test_the_data_folder_may_have_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my d x").mkdir()  # what the second name would match as a pattern
    store = Store(Path(folder))
    ShardStore(Path(folder)).write_batch("explore-1", "b0", [task("a")])
    assert store.ingest().rows == {"tasks": 1}
    assert store.query("SELECT task_id FROM tasks")[1] == [("a",)]


def test_a_file_published_with_other_views_is_outdated(tmp_path: Path) -> None:
    """A later version may change a view without a migration: its code must not trust the views that are there."""
    store = Store(tmp_path)
    store.ingest()
    assert not store.outdated()
    with duckdb.connect(store.published) as connection:
        connection.execute("CREATE OR REPLACE MACRO views_digest() AS 'of another version'")
    assert store.outdated()
    with pytest.raises(StorageFault, match="`steca doctor` brings it up to date"):
        store.query("FROM no_such_view")
    store.ingest()
    assert not store.outdated()


def test_queries_of_one_block_see_what_is_published_when_it_begins(shards: ShardStore, store: Store) -> None:
    count = "SELECT count(*) FROM tasks"
    shards.write_batch("explore-1", "b0", [task("one")])
    store.ingest()
    with store.opened():
        assert store.query(count)[1] == [(1,)]
        shards.write_batch("explore-1", "b1", [task("two")])
        store.ingest()
        assert store.query(count)[1] == [(1,)]
        with store.opened():
            assert store.query(count)[1] == [(1,)]
        with pytest.raises(StorageFault, match="taks"):
            store.query("FROM taks")
    assert store.query(count)[1] == [(2,)]


def test_a_block_on_a_file_that_cannot_be_opened_leaves_it_to_the_queries_to_say_why(store: Store) -> None:
    with store.opened(), pytest.raises(StorageFault, match="nothing is published"):
        store.query("SELECT 1")
    store.published.write_text("no database")
    with store.opened(), pytest.raises(StorageFault, match="not a valid DuckDB"):
        store.query("SELECT 1")


def test_a_database_that_ends_too_early_is_named_as_damaged_where_it_is_met(tmp_path: Path) -> None:
    """DuckDB opens it: what it reads first may lie before the end."""
    file = tmp_path / "cut.duckdb"
    with duckdb.connect(file) as database:
        database.execute("CREATE TABLE numbers AS SELECT i, random() AS r FROM range(400_000) AS t(i)")
        database.execute(
            "CHECKPOINT; CREATE TABLE filler AS FROM numbers; CHECKPOINT; DROP TABLE filler; CHECKPOINT"
        )
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])
    with pytest.raises(duckdb.Error) as met, duckdb.connect(file) as database:
        database.execute("SELECT sum(r) FROM numbers").fetchall()
    assert isinstance(failed("cannot read", met.value), UnusableDatabase)
    assert not isinstance(failed("cannot read", duckdb.IOException("No space left")), UnusableDatabase)
