"""What goes wrong: killed processes, damaged files, full disks. Nothing is lost, doubled or half there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.faults import StorageFault
from storage.files import write_atomic
from storage.ids import digest_file
from storage.runs import RunFolder
from storage.shards import BatchRef, ShardStore
from storage.store import Store
from tests.support.store_rows import one_of_each, record_run, step, task

CHECKOUT = Path(__file__).parents[2]


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
from tests.support.store_rows import one_of_each

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
from tests.support.store_rows import step, task

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


def test_a_corrupt_shard_sets_its_batch_aside_and_a_redo_mends_it(tmp_path: Path) -> None:
    shards, store = ShardStore(tmp_path), Store(tmp_path)
    shards.write_batch("explore-1", "b0", [task("a")])
    shards.write_batch("explore-2", "b0", [task("b"), step("x", 0)])
    (path,) = tmp_path.rglob("steps-*.parquet")
    path.write_bytes(path.read_bytes()[:-1])
    (aside,) = store.ingest().set_aside
    assert aside.batch_id == "b0"
    assert f"shard {path} is corrupt" in aside.reason
    assert store.query("SELECT task_id FROM tasks")[1] == [("a",)]
    path.unlink()
    (aside,) = store.ingest().set_aside
    assert f"shard {path} of batch b0 cannot be read" in aside.reason
    shards.write_batch("explore-2", "b0", [task("b"), step("x", 0)])
    report = store.ingest()
    assert (report.rows, report.set_aside) == ({"steps": 1, "tasks": 1}, ())


@pytest.mark.parametrize("ingested", [False, True])
def test_a_truncated_manifest_is_set_aside(tmp_path: Path, ingested: bool) -> None:
    """Also that of a batch that was ingested: its rows cannot be trusted any more, and a rebuild would lack them."""
    shards, store = ShardStore(tmp_path), Store(tmp_path)
    ref = shards.write_batch("explore-1", "b0", [task("a")])
    shards.write_batch("explore-1", "b1", [task("b")])
    if ingested:
        store.ingest()
    path = tmp_path / ref.manifest
    path.write_bytes(path.read_bytes()[:-10])
    (aside,) = store.ingest().set_aside
    assert (aside.stage_key, aside.batch_id, aside.file) == ("explore-1", "b0", ref.manifest)
    assert f"manifest {path} is truncated or no manifest; run `steca doctor`" in aside.reason
    assert store.query("SELECT task_id FROM tasks")[1] == [("b",)]
    shards.write_batch("explore-1", "b0", [task("a")])
    assert store.ingest().set_aside == ()
    assert store.query("SELECT task_id FROM tasks ORDER BY 1")[1] == [("a",), ("b",)]


def rewritten(root: Path, ref: BatchRef, **changes: object) -> None:
    """Change what the manifest of a batch of one shard says of it."""
    path = root / ref.manifest
    manifest = json.loads(path.read_text())
    manifest["shards"][0] |= changes
    path.write_text(json.dumps(manifest))


def newer_shard(root: Path, ref: BatchRef, change: Callable[[pa.Table], pa.Table]) -> None:
    """Another shard in the place of a batch's one, with the digest that belongs to it."""
    (old,) = root.glob(f"shards/{ref.stage_key}/*.parquet")
    pq.write_table(change(pq.read_table(old)), old)
    rewritten(root, ref, sha256=digest_file(old))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda root, ref: rewritten(root, ref, table="dreams"), "table dreams, which a newer version wrote"),
        (lambda root, ref: rewritten(root, ref, rows=7), "has 1 rows, its manifest says 7"),
        (lambda root, ref: rewritten(root, ref, table="steps"), "columns that this version does not know"),
        (
            lambda root, ref: newer_shard(root, ref, lambda t: t.append_column("dream", [["x"]])),
            "does not know (dream): update the project",
        ),
        (lambda root, ref: newer_shard(root, ref, lambda t: t.drop(["world"])), "lacks the columns world"),
        (
            lambda root, ref: newer_shard(
                root, ref, lambda t: t.drop(["world"]).append_column("world", [[None]])
            ),
            "cannot be loaded (Constraint Error",
        ),
        (
            lambda root, ref: shutil.copy(root / ref.manifest, root / "shards/explore-2/copy.json"),
            "is that of batch explore-2/b0: a copy",
        ),
    ],
)
def test_whatever_is_wrong_with_a_batch_the_others_are_published(
    tmp_path: Path, change: Callable[[Path, BatchRef], object], reason: str
) -> None:
    shards, store = ShardStore(tmp_path), Store(tmp_path)
    for number in range(3):
        shards.write_batch("explore-1", f"b{number}", [task(f"good {number}")])
    change(tmp_path, shards.write_batch("explore-2", "b0", [task("odd")]))
    for _ in range(2):
        (aside,) = store.ingest().set_aside
        assert reason in aside.reason
        assert "\n" not in aside.reason
        assert store.query("SELECT count(*) FROM tasks WHERE task_id LIKE 'good%'")[1] == [(3,)]


def test_damaged_run_files_are_set_aside_and_the_other_runs_published(tmp_path: Path) -> None:
    refs = [ShardStore(tmp_path).write_batch("explore-1", f"b{n}", [task(f"t{n}")]) for n in range(3)]
    for number, run in enumerate(("sound", "no-stage", "no-run")):
        record_run(tmp_path, run, refs[number])
    stage = tmp_path / "runs/no-stage/stages/1-explore.json"
    stage.write_text(stage.read_text().replace('"completed"', '"dreaming"'))
    run = tmp_path / "runs/no-run/run.json"
    run.write_text(run.read_text()[:30])
    shutil.copytree(tmp_path / "runs/sound", tmp_path / "runs/copy")
    report = Store(tmp_path).ingest()
    reasons = {item.file: item.reason for item in report.set_aside}
    assert reasons.keys() == {
        "runs/no-stage/stages/1-explore.json",
        "runs/no-run/run.json",
        "runs/copy/run.json",
    }
    assert (
        f"run file {stage} is damaged, or a newer version wrote it (status: "
        in reasons[stage.relative_to(tmp_path).as_posix()]
    )
    assert "is that of run sound: a copy" in reasons["runs/copy/run.json"]
    assert Store(tmp_path).query("FROM set_aside_files ORDER BY 1")[1] == sorted(reasons.items())
    assert Store(tmp_path).query("SELECT run_id FROM run_batches")[1] == [("sound",)]
    assert Store(tmp_path).query("SELECT count(*) FROM tasks")[1] == [(3,)]


def test_a_damaged_manifest_of_a_replaced_batch_is_set_aside(tmp_path: Path) -> None:
    shards, store = ShardStore(tmp_path), Store(tmp_path)
    for name in ("old", "new"):
        shards.write_batch("explore-1", "b0", [task(name)])
    (path,) = tmp_path.glob("shards/*/superseded/*.json")
    path.write_text("")
    assert [item.file for item in store.ingest().set_aside] == [path.relative_to(tmp_path).as_posix()]
    assert store.query("SELECT task_id FROM tasks")[1] == [("new",)]


def test_what_killed_processes_left_is_swept_when_it_is_old(tmp_path: Path) -> None:
    ShardStore(tmp_path).write_batch("explore-1", "b0", [task("a")])
    places = ["shards/explore-1", "results", "evidence/s/t", "replies/ab", "runs/toy-1", "."]
    left = [tmp_path / place / ".writing-x1" for place in places]
    for file in left:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("half")
    folder = tmp_path / "checkpoints/.writing-y2/checkpoint"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_text("half")
    busy = tmp_path / "checkpoints/.writing-z3"
    busy.mkdir()
    (busy / "model.safetensors").write_text("half")
    for file in (*left, *folder.parent.rglob("*"), folder.parent, busy):
        os.utime(file, (1, 1))
    young = tmp_path / "results/.writing-young"
    young.write_text("half")
    assert set(Store(tmp_path).ingest().swept) == {*left, folder.parent}
    assert set(tmp_path.rglob(".writing-*")) == {busy, young}
    assert Store(tmp_path).query("SELECT count(*) FROM tasks")[1] == [(1,)]


@pytest.mark.parametrize("content", [b"", b"not a database", None])
def test_a_damaged_working_database_is_named_and_made_anew(tmp_path: Path, content: bytes | None) -> None:
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
    assert temporary_files(tmp_path) == []
    assert store.query("SELECT task_id FROM tasks")[1] == [("a",)]
    ref = shards.write_batch("explore-1", "b1", [step("y", index) for index in range(5000)])
    store.ingest()
    assert len(shards.read_batch(ref)) == 5000
    assert store.query("SELECT count(*) FROM steps")[1] == [(5000,)]
