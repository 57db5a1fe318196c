"""Large stores: the published file and the working database are swapped, and the outcome is that of copying."""

from __future__ import annotations

import os
import time
from pathlib import Path

import duckdb
import pytest

from storage import publication
from storage.shards import ShardStore
from storage.store import Store
from tests.storage.test_store import content
from tests.support.other_process import start
from tests.support.store_rows import record_run, step, task

HELD = """
import sys, time
from pathlib import Path
import duckdb
connection = duckdb.connect(sys.argv[1], read_only=True)
connection.execute("SELECT count(*) FROM tasks").fetchall()
print("held", flush=True)
while not Path(sys.argv[2]).exists():
    time.sleep(0.05)
print(connection.execute("SELECT string_agg(task_id, ' ' ORDER BY task_id) FROM tasks").fetchall()[0][0], flush=True)
"""


@pytest.fixture(autouse=True)
def swapping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Swap stores of any size, and files that were published a moment ago, too."""
    monkeypatch.setattr(publication, "SWAPPED_FROM", 0)
    monkeypatch.setattr(publication, "SETTLED", 0.0)


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A line for each time that the published file is copied back."""
    made: list[str] = []
    copy_back = publication.Publication.copy_back
    monkeypatch.setattr(
        publication.Publication, "copy_back", lambda self: (made.append("copied"), copy_back(self))
    )
    return made


def add(root: Path, *names: str) -> None:
    for name in names:
        ref = ShardStore(root).write_batch(
            f"explore-{name}", "b0", [task(name), task("shared"), step(name, 0)]
        )
        record_run(root, f"run-{name}", ref)


def names(store: Store) -> list[str]:
    return [name for (name,) in store.query("SELECT task_id FROM tasks ORDER BY 1")[1]]


def test_two_files_take_turns_and_nothing_is_copied(tmp_path: Path, copies: list[str]) -> None:
    store, inodes = Store(tmp_path), []
    for number, name in enumerate("abcdef"):
        add(tmp_path, name)
        report = store.ingest()
        assert report.rows["steps"] == 1, "what the other file lacked is no news"
        assert names(store) == [*"abcdef"[: number + 1], "shared"]
        inodes.append(store.published.stat().st_ino)
    assert copies == ["copied"], "once, as the first published file had no other"
    assert len(set(inodes[2:])) == 2
    assert inodes[2::2] == [inodes[2]] * 2
    grown = content(store)
    store.rebuild()
    assert content(store) == grown


def test_a_reader_keeps_the_file_that_it_opened(tmp_path: Path, copies: list[str]) -> None:
    store = Store(tmp_path)
    for name in "abc":
        add(tmp_path, name)
        store.ingest()
    before = len(copies)
    holder = start(HELD, store.published, tmp_path / "go on")
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    for name in "de":
        add(tmp_path, name)
        store.ingest()
    assert len(copies) == before + 1, "the file that the reader holds is not written to"
    assert names(store) == [*"abcde", "shared"]
    (tmp_path / "go on").touch()
    output, errors = holder.communicate(timeout=60)
    assert output.split() == [*"abc", "shared"], errors


def test_a_reader_in_the_same_process_keeps_its_file_too(tmp_path: Path, copies: list[str]) -> None:
    """Locks do not hold within a process."""
    store = Store(tmp_path)
    for name in "abc":
        add(tmp_path, name)
        store.ingest()
    before = len(copies)
    with store.reading() as connection:
        for name in "de":
            add(tmp_path, name)
            Store(tmp_path).ingest()
        assert connection.execute("SELECT count(*) FROM tasks").fetchall() == [(4,)]
    assert len(copies) == before + 2, "each ingest beside it works on a copy"
    assert names(Store(tmp_path)) == [*"abcde", "shared"]


def test_a_file_that_was_published_a_moment_ago_is_not_written_to(
    tmp_path: Path, copies: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Someone may have opened it and not locked it yet."""
    store = Store(tmp_path)
    for name in "abc":
        add(tmp_path, name)
        store.ingest()
    monkeypatch.setattr(publication, "SETTLED", 60.0)
    before = len(copies)
    store.ingest()
    assert len(copies) == before + 1


def test_a_published_file_that_someone_changed_is_not_used_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name in "abc":
        add(tmp_path, name)
        store.ingest()
    with duckdb.connect(store.published) as connection:
        connection.execute("DELETE FROM tasks; CREATE TABLE mine (i INTEGER)")
    time.sleep(0.01)
    for name in "de":
        add(tmp_path, name)
        store.ingest()
        assert store.query("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'mine'")[1] == [(0,)]
    assert names(store) == [*"abcde", "shared"]


def test_an_ingested_batch_stays_where_a_contradicting_one_comes_first_by_name(tmp_path: Path) -> None:
    """The other file meets both at once."""
    store, shards = Store(tmp_path), ShardStore(tmp_path)
    for name in "ab":
        add(tmp_path, name)
        store.ingest()
    shards.write_batch("later", "b0", [task("odd", "first there")])
    store.ingest()
    shards.write_batch("earlier", "b0", [task("odd", "another")])
    for _ in range(3):
        (aside,) = store.ingest().set_aside
        assert aside.stage_key == "earlier"
        assert store.query("SELECT instruction FROM tasks WHERE task_id = 'odd'")[1] == [("first there",)]


def test_rows_stay_where_their_shard_is_damaged_after_the_ingest(tmp_path: Path, copies: list[str]) -> None:
    store = Store(tmp_path)
    for name in "abc":
        add(tmp_path, name)
        store.ingest()
    for path in tmp_path.glob("shards/explore-c/*.parquet"):
        path.write_bytes(b"")
    before = len(copies)
    assert store.ingest().set_aside == ()
    assert len(copies) == before + 1
    assert names(store) == [*"abc", "shared"]


@pytest.mark.parametrize(
    "lost", ["store/working.duckdb", "store/published.stamp", "trajectories.duckdb", "store"]
)
def test_a_lost_file_costs_no_more_than_a_copy_or_a_rebuild(tmp_path: Path, lost: str) -> None:
    store = Store(tmp_path)
    for name in "abc":
        add(tmp_path, name)
        store.ingest()
    before = content(store)
    path = tmp_path / lost
    if path.is_dir():
        for file in path.iterdir():
            file.unlink()
    else:
        path.unlink()
    store.ingest()
    assert content(store) == before


def test_the_working_database_is_never_the_published_file(tmp_path: Path) -> None:
    """What an ingest leaves that was killed between the link and the renames."""
    store = Store(tmp_path)
    for name in "abc":
        add(tmp_path, name)
        store.ingest()
    store.working.unlink()
    os.link(store.published, store.working)
    os.link(store.published, store.working.with_name("retired.duckdb"))
    add(tmp_path, "d")
    store.ingest()
    assert not store.working.samefile(store.published) if store.working.exists() else True
    assert names(store) == [*"abcd", "shared"]
