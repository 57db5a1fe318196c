"""The files of the store and the folder that holds them: damaged, held by another process, full, not a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.faults import StorageFault
from storage.files import write_atomic
from storage.runs import RunFolder
from storage.shards import ShardStore
from storage.store import Store
from tests.support.other_process import start, temporary_files
from tests.support.store_rows import step, task


@pytest.mark.parametrize("content", [b"", b"not a database", None])
def test_a_damaged_working_database_is_named_and_rebuilt(tmp_path: Path, content: bytes | None) -> None:
    shards, store = ShardStore(tmp_path), Store(tmp_path)
    shards.write_batch("explore-1", "b0", [task("a")])
    store.ingest()
    if content != b"":  # an empty file is a new database
        store.working.write_bytes(store.working.read_bytes()[:5000] if content is None else content)
        with pytest.raises(StorageFault, match=rf"{store.working} cannot be opened: .*steca doctor"):
            store.ingest()
        assert store.query("SELECT task_id FROM tasks")[1] == [("a",)]
    store.working.unlink()
    assert store.ingest().rows == {"tasks": 1}


HOLDER = """
import sys, time
import duckdb
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
time.sleep(60)
"""


def test_a_working_database_that_someone_holds_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.ingest()
    holder = start(HOLDER, store.working)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StorageFault, match=rf"{store.working} cannot be opened: .*close what holds it"):
            store.ingest()
    finally:
        holder.kill()
        holder.communicate()
    store.ingest()


def test_a_log_beside_the_published_file_does_not_survive_its_replacement(tmp_path: Path) -> None:
    """A user who opens the published file for writing and dies leaves changes that belong to no later copy."""
    shards, store = ShardStore(tmp_path), Store(tmp_path)
    shards.write_batch("explore-1", "b0", [task("a")])
    store.ingest()
    code = "import os, sys, duckdb; held = duckdb.connect(sys.argv[1]); held.execute('DELETE FROM tasks')"
    start(f"{code}; os._exit(0)", store.published).communicate(timeout=60)
    assert Path(f"{store.published}.wal").exists()
    assert store.query("SELECT count(*) FROM tasks")[1] == [(0,)]
    store.ingest()
    assert store.query("SELECT count(*) FROM tasks")[1] == [(1,)]


def test_a_folder_that_cannot_be_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    root = tmp_path / "file" / "data"
    attempts = [
        lambda: ShardStore(root).write_batch("explore-1", "b0", [task("a")]),
        lambda: RunFolder(root, "toy-1").create("toy", {}),
        lambda: Store(root).ingest(),
        lambda: write_atomic(root / "x", b""),
    ]
    for attempt in attempts:
        with pytest.raises(
            StorageFault, match=rf"cannot write in {root}.*: Not a directory; free space"
        ) as caught:
            attempt()
        assert "\n" not in str(caught.value)


FULL = """
import resource, sys
from pathlib import Path
from storage.faults import StorageFault
from storage.shards import ShardStore
from storage.store import Store
from tests.support.store_rows import step

root, what, limit = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    if what == "write":
        ShardStore(root).write_batch("explore-1", "b1", [step("y", index) for index in range(5000)])
    else:
        Store(root).ingest()
except StorageFault as fault:
    print(fault)
    sys.exit(3)
"""


@pytest.mark.parametrize(("what", "limit"), [("write", 1000), ("ingest", 1_000_000)])
def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path: Path, what: str, limit: int) -> None:
    """RLIMIT_FSIZE stands in for a full disk: a write beyond it fails as one on a full disk does, root or not."""
    shards, store = ShardStore(tmp_path), Store(tmp_path)
    shards.write_batch("explore-1", "b0", [task("a")])
    store.ingest()
    if what == "ingest":
        shards.write_batch("explore-1", "b1", [step("y", index) for index in range(5000)])
    process = start(FULL, tmp_path, what, limit)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 3, errors
    assert output.count("\n") == 1
    assert str(tmp_path) in output
    assert "; free space there" in output
    assert temporary_files(tmp_path) == []
    assert store.query("SELECT task_id FROM tasks")[1] == [("a",)]
    ref = shards.write_batch("explore-1", "b1", [step("y", index) for index in range(5000)])
    store.ingest()
    assert len(shards.read_batch(ref)) == 5000
    assert store.query("SELECT count(*) FROM steps")[1] == [(5000,)]
