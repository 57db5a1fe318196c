"""No query leaves the store: neither on the command line, nor of the pages, nor on a connection for long reads."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner

from benchmarks.attacks import ATTACKS, Attack, Outside
from cli.main import app
from formats.faults import FormatFault
from storage.faults import StorageFault
from storage.files import WRITING, sweep
from storage.sql.guard import statements_of
from storage.sql.query_errors import STAYING
from storage.store import Store
from tests.support.exported_run import MadeUp, exported_run
from tests.support.exports import exported
from view.published import Published

EVERY = [pytest.param(attack, id=attack.name) for kind in ATTACKS.values() for attack in kind]
EFFECTIVE = [each for each in EVERY if each.values[0].effect]  # type: ignore[union-attr]
SPILLS = """SELECT y FROM (SELECT hash(a.range + b.range) AS r, repeat('x', 200) || b.range AS y
    FROM range(1000) a, range(500) b ORDER BY r) OFFSET 499999"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeUp:
    return exported_run(tmp_path_factory.mktemp("guarded") / "data")


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    return Outside.made(tmp_path / "outside")


@pytest.fixture(scope="module")
def published(made: MadeUp) -> Iterator[Published]:
    pages = Published(made.store.root)
    yield pages
    pages.close()


@pytest.mark.parametrize("attack", EVERY)
def test_steca_sql_refuses_what_leaves_the_store(made: MadeUp, outside: Outside, attack: Attack) -> None:
    before = sorted(made.store.root.iterdir())
    said = CliRunner().invoke(app, ["sql", outside.sql(attack), "--data-dir", str(made.store.root)])
    assert not outside.came_through(said.output), attack.sql
    assert said.exit_code in (1, 2), said.output
    assert said.output.startswith("error: ")
    assert said.output.count("\n") == 1
    assert sorted(made.store.root.iterdir()) == before


@pytest.mark.parametrize("attack", EVERY)
def test_no_connection_of_the_pages_or_for_long_reads_leaves_the_store(
    made: MadeUp, published: Published, outside: Outside, attack: Attack
) -> None:
    sql = outside.sql(attack)
    with pytest.raises(StorageFault) as pages, published.cursor() as cursor:
        cursor.execute(sql)
    published.close()
    with (
        pytest.raises(StorageFault),
        made.store.reading(memory_limit="200MB", temp_directory=str(outside.folder / "own")) as connection,
    ):
        connection.execute(sql)
    assert not outside.came_through(str(pages.value))


@pytest.mark.parametrize("attack", EFFECTIVE)
def test_duckdb_alone_would_let_it_through(made: MadeUp, outside: Outside, attack: Attack) -> None:
    with duckdb.connect(made.store.published, read_only=True) as connection:
        rows = connection.execute(outside.sql(attack)).fetchall()
    assert outside.came_through(str(rows))


@pytest.mark.parametrize(
    "expression",
    [
        "EXISTS (FROM read_text('{at}/lines.csv'))",
        "(SELECT content FROM read_text('{at}/lines.csv')) <> ''",
        "EXISTS (FROM '{at}/lines.csv')",
        "EXISTS (FROM query('FROM read_text(''{at}/lines.csv'')'))",
        "EXISTS (FROM glob('/etc/*'))",
        "true); COPY (SELECT 1) TO '{out}'; SELECT (true",
    ],
)
def test_a_condition_of_an_export_does_not_leave_the_store(
    made: MadeUp, outside: Outside, tmp_path: Path, expression: str
) -> None:
    where = outside.sql(Attack("where", expression))
    with pytest.raises((StorageFault, FormatFault)) as caught:
        exported(made, tmp_path / "export", "sharegpt", where=where)
    assert not outside.came_through(str(caught.value))


def test_the_error_says_what_to_do_instead(made: MadeUp) -> None:
    for sql, said in (
        ("FROM read_text('/etc/passwd')", "a query cannot reach '/etc/passwd'"),
        ("SET threads = 1", "a query cannot change DuckDB's setting threads"),
        ("LOAD httpfs", "a query cannot load extensions of DuckDB"),
        ("FROM read_xlsx('x')", "a query cannot use DuckDB's extension excel"),
        ("ATTACH 'https://a.b/x.duckdb'", "a query cannot reach 'https://a.b/x.duckdb'"),
    ):
        with pytest.raises(StorageFault) as caught:
            made.store.query(sql)
        assert str(caught.value) == f"{said}: {STAYING}"


def test_what_a_query_may_do_it_still_does(made: MadeUp) -> None:
    ask = made.store.query
    assert ask("SET VARIABLE n = 2; SELECT getvariable('n')")[1] == [(2,)]
    assert ask("CREATE TEMP TABLE t AS SELECT 3 AS n; FROM t")[1] == [(3,)]
    assert ask("PREPARE p AS SELECT 4; EXECUTE p")[1] == [(4,)]
    for sql in ("SHOW TABLES", "DESCRIBE runs", "SUMMARIZE runs", "FROM help", "EXPLAIN FROM runs"):
        assert ask(sql)[1], sql


def test_what_does_not_fit_into_memory_goes_to_a_folder_that_is_gone_afterwards(made: MadeUp) -> None:
    root = made.store.root
    with made.store.connect(memory_limit="60MB", threads=1) as connection:
        assert connection.execute(SPILLS).fetchone()
        there = [path for path in root.iterdir() if path.name.startswith(WRITING)]
        connection.execute(f"{SPILLS} - 400000").fetchone()
        there += [path for path in root.iterdir() if path.name.startswith(WRITING)]
    assert there, "the query has not spilled"
    assert not [path for path in root.iterdir() if path.name.startswith(WRITING)]


def test_the_temporary_folder_of_a_killed_process_is_swept(tmp_path: Path) -> None:
    name = Store(tmp_path)
    duckdb.connect(name.published).close()
    with name.connect() as connection:
        ((folder,),) = connection.execute("SELECT current_setting('temp_directory')").fetchall()
    left = Path(folder)
    assert left.parent == tmp_path
    left.mkdir()
    long_ago = time.time() - 1e6
    os.utime(left, (long_ago, long_ago))
    assert sweep(tmp_path) == [left]


def test_threads_that_open_the_store_at_once_are_all_guarded(made: MadeUp) -> None:
    refused: list[str] = []

    def ask() -> None:
        for _ in range(5):
            try:
                made.store.query("FROM read_text('/etc/passwd')")
            except StorageFault as fault:
                refused.append(str(fault))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == [f"a query cannot reach '/etc/passwd': {STAYING}"] * 40


def test_taking_a_query_apart_reads_no_file(tmp_path: Path) -> None:
    """DuckDB reads the files of IMPORT DATABASE as soon as it parses it."""
    (tmp_path / "schema.sql").write_text("SELECT 1; SELECT 2;")
    (tmp_path / "load.sql").write_text("SELECT 3;")
    assert len(statements_of(f"IMPORT DATABASE '{tmp_path}'")) == 1
