"""What goes wrong: killed processes, damaged files, full disks. Nothing is lost, doubled or half there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from storage.faults import StorageFault
from storage.files import write_atomic
from storage.runs import RunFolder
from storage.shards import ShardStore
from storage.store import Store
from tests.store_rows import one_of_each, record_run, step, task

CHECKOUT = Path(__file__).parent.parent


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Another Python process in the checkout; `code` finds the arguments in sys.argv[1:]."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    return subprocess.Popen(
        command, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def temporary_files(root: Path) -> list[Path]:
    return [path for path in root.rglob(".*") if path.name.startswith((".writing-", ".publishing-"))]


WRITER = """
import os, sys
from pathlib import Path
import storage.shards
from storage.shards import ShardStore
from tests.store_rows import one_of_each

write, die_at = storage.shards.write_atomic, sys.argv[2]

def write_or_die(path, data):
    if path.suffix == die_at:
        os._exit(9)
    write(path, data)

storage.shards.write_atomic = write_or_die
ShardStore(Path(sys.argv[1])).write_batch("explore-1", "b0", one_of_each())
"""


@pytest.mark.parametrize("die_at", [".json", "never"])
def test_a_writer_that_dies_before_its_manifest_leaves_no_batch(tmp_path: Path, die_at: str) -> None:
    shards, store = ShardStore(tmp_path), Store(tmp_path)
    writer = start(WRITER, tmp_path, die_at)
    _, errors = writer.communicate(timeout=60)
    assert writer.returncode == (0 if die_at == "never" else 9), errors
    assert len(list(shards.folder.glob("*/*.parquet"))) == len(one_of_each())
    assert len(list(shards.batches())) == (die_at == "never")
    assert store.ingest().batches == (die_at == "never")
    ref = shards.write_batch("explore-1", "b0", one_of_each())
    store.ingest()
    assert sorted(map(repr, shards.read_batch(ref))) == sorted(map(repr, one_of_each()))
    assert store.query("SELECT count(*) FROM steps")[1] == [(1,)]


INGESTER = """
import os, signal, sys
from pathlib import Path
import storage.store
from storage.store import Store

def die(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)

point = sys.argv[2]
if point == "before the commit":
    storage.store.refresh_runs = die
elif point == "before the copy":
    Store._publish = die
elif point == "before the rename":
    storage.store.os.replace = die
Store(Path(sys.argv[1])).ingest()
"""


@pytest.mark.parametrize("point", ["before the commit", "before the copy", "before the rename"])
def test_an_ingest_that_is_killed_is_made_good_by_the_next(tmp_path: Path, point: str) -> None:
    shards, store = ShardStore(tmp_path), Store(tmp_path)
    shards.write_batch("explore-1", "b0", [task("old")])
    store.ingest()
    steps = [step("x", index) for index in range(500)]
    record_run(tmp_path, "toy-1", shards.write_batch("explore-1", "b1", [task("new"), *steps]))
    ingester = start(INGESTER, tmp_path, point)
    ingester.communicate(timeout=60)
    assert ingester.returncode == -signal.SIGKILL
    assert store.query("SELECT task_id FROM tasks")[1] == [("old",)]
    store.ingest()
    assert store.query("SELECT task_id FROM tasks ORDER BY 1")[1] == [("new",), ("old",)]
    assert store.query("SELECT count(*), count(DISTINCT step_index) FROM steps")[1] == [(500, 500)]
    assert store.query("SELECT count(*) FROM of_run('steps', 'toy-1')")[1] == [(500,)]
    assert temporary_files(tmp_path) == []


BUSY_WRITER = """
import sys
from pathlib import Path
from storage.shards import ShardStore
from storage.store import Store
from tests.store_rows import step, task

root, name = Path(sys.argv[1]), sys.argv[2]
for batch in range(3):
    rows = [task("shared"), *(step(f"{name}-{batch}", index) for index in range(50))]
    ShardStore(root).write_batch("explore-1", f"{name}-{batch}", rows)
    ShardStore(root).write_batch("explore-1", f"same-{batch}", [task(f"same-{batch}")])
    Store(root).ingest()
"""

READER = """
import sys
from pathlib import Path
from storage.store import Store

store, seen = Store(Path(sys.argv[1])), [0]
while seen[-1] < 300:
    whole, ragged = store.query(
        "SELECT count(*), count(*) FILTER (n <> 50) FROM (SELECT count(*) AS n FROM steps GROUP BY trajectory_id)"
    )[1][0]
    assert ragged == 0, "half of a batch was published"
    (steps,) = store.query("SELECT count(*) FROM steps")[1][0]
    assert steps >= seen[-1], "an older file came back"
    seen.append(steps)
print(len(set(seen)))
"""


def test_two_writers_and_a_reader_never_disturb_each_other(tmp_path: Path) -> None:
    Store(tmp_path).ingest()
    reader = start(READER, tmp_path)
    writers = [start(BUSY_WRITER, tmp_path, name) for name in ("one", "two")]
    for process in (*writers, reader):
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    store = Store(tmp_path)
    assert store.query("SELECT count(*), count(DISTINCT (trajectory_id, step_index)) FROM steps")[1] == [
        (300, 300)
    ]
    assert store.query("SELECT count(*) FROM tasks")[1] == [(4,)]
    assert store.ingest().batches == 0


def test_a_corrupt_shard_stops_the_ingest_and_a_redo_mends_it(tmp_path: Path) -> None:
    shards, store = ShardStore(tmp_path), Store(tmp_path)
    shards.write_batch("explore-1", "b0", [task("a")])
    store.ingest()
    shards.write_batch("explore-2", "b0", [task("b"), step("x", 0)])
    (path,) = tmp_path.rglob("steps-*.parquet")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StorageFault, match=f"shard {path} is corrupt"):
        store.ingest()
    assert store.query("SELECT task_id FROM tasks")[1] == [("a",)]
    shards.write_batch("explore-2", "b0", [task("b"), step("x", 0)])
    assert store.ingest().rows == {"steps": 1, "tasks": 1}


def test_a_truncated_manifest_stops_the_ingest(tmp_path: Path) -> None:
    shards, store = ShardStore(tmp_path), Store(tmp_path)
    ref = shards.write_batch("explore-1", "b0", [task("a")])
    path = tmp_path / ref.manifest
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(StorageFault, match=f"manifest {path} is truncated or no manifest; delete it"):
        store.ingest()
    path.unlink()
    assert store.ingest().batches == 0


def test_a_damaged_run_file_is_named(tmp_path: Path) -> None:
    record_run(tmp_path, "toy-1")
    (path,) = tmp_path.rglob("*-explore.json")
    path.write_text(path.read_text()[:30])
    with pytest.raises(StorageFault, match=f"run file {path} is damaged"):
        Store(tmp_path).ingest()


@pytest.mark.parametrize("content", [b"", b"not a database", None])
def test_a_damaged_working_database_is_named_and_made_anew(tmp_path: Path, content: bytes | None) -> None:
    shards, store = ShardStore(tmp_path), Store(tmp_path)
    shards.write_batch("explore-1", "b0", [task("a")])
    store.ingest()
    if content != b"":  # an empty file is a new database
        store.working.write_bytes(store.working.read_bytes()[:5000] if content is None else content)
        with pytest.raises(StorageFault, match=rf"{store.working} cannot be opened: .*delete it"):
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
from tests.store_rows import step

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
    assert temporary_files(tmp_path) == []
    assert store.query("SELECT task_id FROM tasks")[1] == [("a",)]
    ref = shards.write_batch("explore-1", "b1", [step("y", index) for index in range(5000)])
    store.ingest()
    assert len(shards.read_batch(ref)) == 5000
    assert store.query("SELECT count(*) FROM steps")[1] == [(5000,)]
