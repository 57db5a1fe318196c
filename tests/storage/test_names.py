"""The store in words: every table, view, column and macro says what it is, and old names answer as the new ones do."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import duckdb
import pytest

from steca.vocabulary import CalibrationRejection, CallPurpose, Origin, RepairPlan, TrajectoryKind
from storage.columns import RECORD_OF_TABLE
from storage.records import RECORDS
from storage.shards import ShardStore
from storage.sql.comments import ALIKE
from storage.sql.schema import migrations, open_database
from storage.sql.store_names import COLUMNS, VALUES, renamed_in
from storage.store import Store
from tests.support.store_rows import deviation, evaluation, one_of_each, record_run, scored_turn, task

BARE = "SELECT name, column_name FROM help WHERE about IS NULL OR about = '' ORDER BY ALL"
OLD = "SELECT name, column_name FROM help WHERE starts_with(about, 'Old name of') AND column_name IS NOT NULL"
UNDECIDED = "if(expert_beats_explored = 'unknown', 'undecided', expert_beats_explored)"
NEW_OF_OLD = {
    ("deviations", "expert_is_better"): UNDECIDED,
    ("step_reward_gaps", "expert_is_better"): UNDECIDED,
    ("deviations", "outcome"): "compared_outcome",
    ("step_reward_gaps", "outcome"): "compared_outcome",
    ("scored_turns", "side"): "trajectory_kind",
    ("step_rewards", "side"): "trajectory_kind",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Run `one` has a row of every table, and all of it in two rounds; run `two` has others, but shares a batch."""
    root = tmp_path_factory.mktemp("names")
    shards = ShardStore(root)
    first = shards.write_batch("explore-1", "b0", one_of_each())
    sides = [scored_turn(side, side) for side in ("expert", "explored")]
    better = [deviation(word, "undecided", expert_is_better=word) for word in ("yes", "no", "undecided")]
    starts = [evaluation(start, "pick", True, start=start) for start in VALUES["evaluations"]["start"]]
    second = shards.write_batch("explore-1", "b1", [*sides, *better, *starts, task("b")])
    record_run(root, "one", first, round=1)
    record_run(root, "one", first, round=2)
    record_run(root, "two", first, second)
    store = Store(root)
    store.ingest()
    return store


def test_everything_has_a_comment(store: Store, tmp_path: Path) -> None:
    assert store.query(BARE)[1] == []
    with open_database(tmp_path / "bare.duckdb") as database:  # a control for each kind
        database.execute("CREATE TABLE bare (a INT); CREATE VIEW seen AS FROM bare; CREATE MACRO one() AS 1")
        assert database.execute(BARE).fetchall() == [
            ("bare", "a"), ("bare", None), ("one()", None), ("seen", "a"), ("seen", None)
        ]  # fmt: skip


def test_no_comment_can_name_a_column_that_is_not_there(tmp_path: Path) -> None:
    with open_database(tmp_path / "new.duckdb") as database, pytest.raises(duckdb.BinderException):
        database.execute("COMMENT ON COLUMN success.no_such_column IS 'nothing'")


def test_every_view_takes_comments_from_what_is_there(store: Store) -> None:
    names = {
        name for (name,) in store.query("SELECT DISTINCT name FROM help WHERE column_name IS NOT NULL")[1]
    }
    assert {*ALIKE, *(source for sources in ALIKE.values() for source in sources)} <= names


@pytest.mark.parametrize("table", RECORD_OF_TABLE)
def test_every_table_can_be_filtered_by_run(store: Store, table: str) -> None:
    columns, rows = store.query(f"FROM run_{table} WHERE run_id = 'one'")
    assert columns[:2] == ["run_id", "round"]
    assert sorted(row[1] for row in rows) == [1, 2]
    shared = ", ".join(column for column in columns if column not in ("run_id", "round"))
    for run in ("one", "two"):
        mine = store.query(f"SELECT DISTINCT {shared} FROM run_{table} WHERE run_id = '{run}' ORDER BY ALL")[
            1
        ]
        assert mine == store.query(f"SELECT {shared} FROM of_run('{table}', '{run}') ORDER BY ALL")[1]
    assert len(mine) == {"tasks": 2, "scored_turns": 3, "deviations": 4, "evaluations": 4}.get(table, 1)


def test_every_old_column_answers_as_the_new_one(store: Store) -> None:
    old = {(name, column) for name, column in store.query(OLD)[1]}
    assert old == set(NEW_OF_OLD)
    for (name, column), new in NEW_OF_OLD.items():
        assert store.query(f"SELECT {column} FROM {name} WHERE {column} IS DISTINCT FROM {new}")[1] == []
    words = "SELECT DISTINCT expert_is_better, expert_beats_explored FROM deviations ORDER BY ALL"
    assert store.query(words)[1] == [("no", "no"), ("undecided", "unknown"), ("yes", "yes"), (None, None)]


def test_old_columns_of_macros_answer(store: Store) -> None:
    ((found,),) = store.query("SELECT DISTINCT expert_is_better FROM lineage('undecided')")[1]
    assert found == "undecided"
    assert "expert_is_better" in store.query("FROM what_if('two')")[0]


def test_what_no_longer_answers_is_said() -> None:
    for query in (
        "FROM evaluations WHERE start = 'task'",
        "FROM success WHERE start IN ('forced_control')",
        "FROM success WHERE start IN ('beginning', 'task')",
        "FROM success WHERE start NOT IN ('task')",
        "FROM success WHERE 'task' = start",
        "FROM success WHERE start == 'task'",
        "FROM success WHERE start LIKE 'forced%'",
    ):
        assert "beginning (was task)" in str(renamed_in(query))
    for query in (
        "FROM trajectories WHERE kind = 'forced_deviation'",
        "FROM success WHERE start = 'beginning'",
        "SELECT config FROM run_configs",
    ):
        assert renamed_in(query) is None


def test_words_are_replaced_while_rows_are_ingested(store: Store) -> None:
    starts = store.query("SELECT DISTINCT start FROM run_evaluations ORDER BY ALL")[1]
    assert starts == [("after_deviation",), ("before_deviation",), ("beginning",)]
    sql = "SELECT evaluation_id, start FROM evaluations WHERE evaluation_id <> 'v'"
    assert dict(store.query(sql)[1]) == VALUES["evaluations"]["start"]


def test_only_words_that_records_know_are_replaced() -> None:
    for table in RECORD_OF_TABLE:
        fields = RECORD_OF_TABLE[table].model_fields
        assert COLUMNS.get(table, {}).keys() <= fields.keys()
        for field, words in VALUES.get(table, {}).items():
            assert words.keys() <= _words(fields[field].annotation), field


def _words(annotation: object) -> set[object]:
    """The values of a Literal, or of those in a union."""
    return {word for part in get_args(annotation) for word in (_words(part) or {part})}


SCHEMA_7 = """
INSERT INTO runs VALUES ('run', 'name', '{"seed": 3}', 'digest', '2026-01-02', '0.3.0');
INSERT INTO evaluations VALUES ('e', 'c', 'warmup', 'seen', 'forced_control', 't', 'pick', 'x', true, 3, 0, NULL, 'p');
INSERT INTO scored_turns VALUES ('r', 'x', 1, 't', 'explored', 'c', NULL, NULL, 'p');
INSERT INTO deviations BY NAME SELECT
    'd' AS deviation_id, 't' AS task_id, 'e' AS expert_trajectory_id, 'x' AS explored_trajectory_id, 1 AS step_index,
    '' AS expert_action, '' AS explored_action, 0 AS delta, 'paper' AS preset, 'success' AS outcome,
    'undecided' AS verdict, '' AS rule, false AS selected, 'undecided' AS expert_is_better, 'p' AS provenance;
"""


def test_a_store_of_schema_7_gets_the_new_words(tmp_path: Path) -> None:
    path = tmp_path / "old.duckdb"
    with duckdb.connect(path) as old:
        for number, sql in migrations()[:7]:
            old.execute(sql)
            old.execute("INSERT INTO schema_version VALUES (?)", [number])
        old.execute(SCHEMA_7)
    with open_database(path) as new:
        assert new.execute("SELECT start FROM evaluations").fetchall() == [("before_deviation",)]
        assert new.execute("SELECT trajectory_kind, side FROM scored_turns").fetchall() == [("explored",) * 2]
        words = "SELECT expert_beats_explored, expert_is_better, verdict FROM deviations"
        assert new.execute(words).fetchall() == [("unknown", "undecided", "undecided")]
        assert new.execute("SELECT run_id, seed, package_version FROM runs").fetchall() == [
            ("run", 3, "0.3.0")
        ]


def test_views_are_made_anew_where_the_code_changed(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    with open_database(path) as database:
        digest = database.execute("SELECT views_digest()").fetchall()
        database.execute("CREATE OR REPLACE VIEW success AS SELECT 1 AS changed")
    with open_database(path) as database:  # the same code: nothing is made
        assert database.execute("FROM success").fetchall() == [(1,)]
        database.execute("CREATE OR REPLACE MACRO views_digest() AS 'that of another version'")
    with open_database(path) as database:
        assert database.execute("FROM success").fetchall() == []
        assert database.execute("SELECT views_digest()").fetchall() == digest


def test_help_says_what_a_view_is(store: Store) -> None:
    columns, rows = store.query("FROM help WHERE name = 'success'")
    assert columns == ["name", "kind", "column_name", "type", "about"]
    assert [row[2] for row in rows] == [None, *store.query("FROM success LIMIT 0")[0]]
    names = {name for (name,) in store.query("SELECT name FROM help")[1]}
    assert {f"run_{record.table}" for record in RECORDS} <= names


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("steps.origin", get_args(Origin)),
        ("run_steps.origin", get_args(Origin)),
        ("calibrations.plan", get_args(RepairPlan)),
        ("calibrations.rejection", get_args(CalibrationRejection)),
        ("llm_calls.purpose", get_args(CallPurpose)),
        ("trajectories.kind", get_args(TrajectoryKind)),
        ("evaluations.start", VALUES["evaluations"]["start"].values()),
        ("deviations.expert_beats_explored", ("yes", "no", "unknown")),
    ],
)
def test_a_column_with_few_values_lists_them(store: Store, column: str, values: Iterable[str]) -> None:
    ((about,),) = store.query("SELECT about FROM help WHERE name = ? AND column_name = ?", column.split("."))[
        1
    ]
    assert about.endswith(f"; one of: {', '.join(values)}")


def test_deviated_turns_are_the_comparisons_that_deviated(store: Store) -> None:
    deviated = "FROM step_reward_gaps SELECT deviation_id WHERE verdict = 'deviated' ORDER BY ALL"
    assert store.query("FROM deviated_turns SELECT deviation_id ORDER BY ALL")[1] == store.query(deviated)[1]
    assert store.query(deviated)[1] != store.query("FROM deviations SELECT deviation_id ORDER BY ALL")[1]
