"""The schema: it holds what the records say, older stores move forward, newer ones are refused."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from pydantic import Field

from storage.columns import RECORD_OF_TABLE, column_type
from storage.faults import StorageFault
from storage.records import RECORDS, Record, TaskRecord, TrajectoryRecord
from storage.shards import ShardStore
from storage.sql import schema
from storage.sql.schema import migrations, open_database, schema_version
from storage.sql.store_names import column_comment, store_columns
from storage.store import Store
from tests.support.store_rows import scored_turn, task

PROVENANCE = {"provenance": ("VARCHAR", False)}


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with open_database(tmp_path_factory.mktemp("schema") / "new.duckdb") as opened:
        yield opened


def is_old(comment: str) -> bool:
    return comment.startswith("Old name of ")


def differences(connection: duckdb.DuckDBPyConnection, record: type[Record]) -> list[str]:
    """How the table of a record differs from what its fields ask for."""
    rows = connection.execute(
        "SELECT column_name, data_type, is_nullable, comment FROM duckdb_columns() WHERE table_name = ?",
        [record.table],
    ).fetchall()
    comments = {name: comment for name, _, _, comment in rows}
    columns = {name: (kind, nullable) for name, kind, nullable, comment in rows if not is_old(str(comment))}
    names = store_columns(record)
    wanted = {
        names[name]: column_type(field.annotation)[1:] for name, field in record.model_fields.items()
    } | PROVENANCE
    found = [
        f"{name}: {columns.get(name)} is not {wanted.get(name)}"
        for name in wanted.keys() | columns.keys()
        if columns.get(name) != wanted.get(name)
    ]
    described = {
        column: text for name, column in names.items() if (text := column_comment(record, name)) is not None
    }
    found += [
        f"{name}: comment {comments.get(name)!r}"
        for name, text in described.items()
        if comments.get(name) != text
    ]
    indexes = connection.execute(
        "SELECT constraint_type FROM duckdb_constraints() WHERE table_name = ? AND constraint_type <> 'NOT NULL'",
        [record.table],
    ).fetchall()
    return [*found, *(f"an ingest would rewrite the index of {kind}" for (kind,) in indexes)]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.table)
def test_every_field_is_a_column(connection: duckdb.DuckDBPyConnection, record: type[Record]) -> None:
    assert differences(connection, record) == []


def test_a_field_without_its_column_would_be_noticed(connection: duckdb.DuckDBPyConnection) -> None:
    class Longer(TaskRecord):
        added: str

    class Other(TrajectoryRecord):
        progress: int | None = None  # type: ignore[assignment]

    class Stricter(TrajectoryRecord):
        progress: float

    class Reworded(TaskRecord):
        world: str = Field(description="Something else")

    for changed in (Longer, Other, Stricter, Reworded):
        assert differences(connection, changed) != [], changed


def test_migrations_are_numbered_without_a_gap() -> None:
    assert [number for number, _ in migrations()] == list(range(1, len(migrations()) + 1))


def test_an_older_database_moves_forward(tmp_path: Path) -> None:
    path = tmp_path / "old.duckdb"
    number, sql = migrations()[0]
    with duckdb.connect(path) as old:
        old.execute(sql)
        old.execute("INSERT INTO schema_version VALUES (?)", [number])
        old.execute("INSERT INTO ingested_batches VALUES ('explore-1', 'b0', 'm', 's')")
    with open_database(path) as new:
        assert schema_version(new) == migrations()[-1][0]
        assert new.execute("SELECT batch_id FROM ingested_batches").fetchall() == [("b0",)]
        assert new.execute("SELECT count(*) FROM tasks").fetchall() == [(0,)]
        assert new.execute("SELECT version FROM schema_version ORDER BY 1").fetchall() == [
            (number,) for number, _ in migrations()
        ]


OLD_VIEWS = """
CREATE VIEW step_reward_gaps AS SELECT d.*, r.n, r.low FROM deviations d
LEFT JOIN step_rewards r ON r.step_reward_id = d.reference_step_reward_id;
CREATE VIEW run_summary AS SELECT (SELECT count(*) FROM step_rewards) AS step_rewards;
"""
OLD_ROWS = """
INSERT INTO step_rewards VALUES ('rolled', 'task', 'e', 3, 'expert', 'c0', 5, 2, 0.4, 0.6, 0.1, 0.8, false, 'p'),
    ('ended', 'task', 'x', 4, 'explored', 'c0', 1, 1, 1.0, 0.75, 1.0, 1.0, true, 'p');
INSERT INTO deviations VALUES ('d', 'task', 'e', 'x', 4, 'look', 'go', 'rolled', NULL, 'ended', 0.4, 1.0, 0.6, 0.0,
    'paper', 'success', 'not_deviated', 'not gap < delta', false, 'p');
"""


def test_step_rewards_of_schema_2_keep_their_scored_turns(tmp_path: Path) -> None:
    path = tmp_path / "old.duckdb"
    with duckdb.connect(path) as old:
        for number, sql in migrations()[:2]:
            old.execute(sql)
            old.execute("INSERT INTO schema_version VALUES (?)", [number])
        old.execute(OLD_VIEWS)
        old.execute(OLD_ROWS)
    with open_database(path) as new:
        assert new.execute("SELECT * EXCLUDE (side) FROM scored_turns ORDER BY 1").fetchall() == [
            ("ended", "x", 4, "task", "explored", "c0", 1.0, 0.75, "p"),
            ("rolled", "e", 3, "task", "expert", "c0", None, None, "p"),
        ]
        kept = "SELECT step_reward_id, n, reward, terminal FROM step_rewards ORDER BY 1"
        assert new.execute(kept).fetchall() == [("ended", 0, 1.0, True), ("rolled", 0, None, False)]
        assert new.execute("SELECT deviation_id, gap, gap_low, similarity FROM deviations").fetchall() == [
            ("d", 0.6, None, None)
        ]
        for view in ("step_reward_gaps", "run_summary"):
            assert new.execute(f"FROM {view}").fetchall() == []


OLD_REJECTIONS = """
INSERT INTO calibrations VALUES
    ('a', 'd', 't', 'x', 'template', '', 'look', 'planner', false, 'no_plan: none: at all', 'p', 3),
    ('b', 'd', 't', 'x', 'template', 'so', 'look', 'planner', true, NULL, 'p', NULL);
"""


def test_rejections_of_schema_5_are_split(tmp_path: Path) -> None:
    path = tmp_path / "old.duckdb"
    with duckdb.connect(path) as old:
        for number, sql in migrations()[:5]:
            old.execute(sql)
            old.execute("INSERT INTO schema_version VALUES (?)", [number])
        old.execute(OLD_REJECTIONS)
    with open_database(path) as new:
        sql = "SELECT calibration_id, rejection, rejection_detail, attempts FROM calibrations ORDER BY 1"
        assert new.execute(sql).fetchall() == [("a", "no_plan", "none: at all", 3), ("b", None, None, None)]


class OldStepReward(Record):
    """The record of schema 2, as far as it matters."""

    table = "step_rewards"
    key = ("step_reward_id",)
    step_reward_id: str
    task_id: str = "task"
    trajectory_id: str = "x"
    step_index: int = 1
    side: str = "explored"
    checkpoint: str = "c0"
    n: int
    reward: float
    progress: float
    terminal: bool


def test_shards_of_schema_2_are_rebuilt_with_their_scored_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = ShardStore(tmp_path)
    with monkeypatch.context() as older:
        older.setitem(RECORD_OF_TABLE, "step_rewards", OldStepReward)
        rolled = OldStepReward(step_reward_id="rolled", n=5, reward=0.4, progress=0.6, terminal=False)
        ended = OldStepReward(step_reward_id="ended", n=1, reward=1.0, progress=0.75, terminal=True)
        shards.write_batch("rewards-1", "b0", [rolled, ended, task("a")])
    shards.write_batch("rewards-2", "b0", [scored_turn("new", "expert")])
    report = Store(tmp_path).ingest()
    assert report.rows == {"tasks": 1, "scored_turns": 3}
    sql = "SELECT step_reward_id, side, outcome, progress FROM scored_turns ORDER BY 1"
    assert Store(tmp_path).query(sql)[1] == [
        ("ended", "explored", 1.0, 0.75),
        ("new", "expert", None, None),
        ("rolled", "explored", None, None),
    ]


def test_a_migration_that_fails_leaves_the_database_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store.duckdb"
    open_database(path).close()
    good = migrations()
    broken = [*good, (good[-1][0] + 1, "CREATE TABLE half_done (i INTEGER); SELECT nonsense FROM nowhere")]
    monkeypatch.setattr(schema, "migrations", lambda: broken)
    with pytest.raises(StorageFault, match=f"{path} cannot be migrated to schema {broken[-1][0]}"):
        open_database(path)
    monkeypatch.setattr(schema, "migrations", lambda: good)
    with open_database(path) as database:
        assert schema_version(database) == good[-1][0]
        assert database.execute(
            "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'half_done'"
        ).fetchall() == [(0,)]


def test_a_column_added_later_is_null_in_older_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ShardStore(tmp_path).write_batch("explore-1", "b0", [task("a")])
    later = [*migrations(), (migrations()[-1][0] + 1, "ALTER TABLE tasks ADD COLUMN added VARCHAR")]
    Store(tmp_path).ingest()
    monkeypatch.setattr(schema, "migrations", lambda: later)
    ShardStore(tmp_path).write_batch("explore-1", "b1", [task("b")])
    assert Store(tmp_path).ingest().rows == {"tasks": 1}
    assert Store(tmp_path).query("SELECT task_id, added FROM tasks ORDER BY 1")[1] == [
        ("a", None),
        ("b", None),
    ]


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.ingest()
    newest = migrations()[-1][0]
    with duckdb.connect(store.working) as database:
        database.execute("INSERT INTO schema_version VALUES (?)", [newest + 1])
    with pytest.raises(
        StorageFault, match=f"{store.working} has schema {newest + 1}, this version knows up to {newest}"
    ):
        store.ingest()
    assert store.rebuild().batches == 0


def test_older_duckdb_tools_can_open_the_published_file(tmp_path: Path) -> None:
    """Byte 12 on is the storage version: DuckDB 1.2 reads up to 65, 1.5 up to 68, and 2.0 itself would write 69."""
    store = Store(tmp_path)
    store.ingest()
    store.ingest()
    magic, version = struct.unpack("<4sQ", store.published.read_bytes()[8:20])
    assert magic == b"DUCK"
    assert version <= 65
