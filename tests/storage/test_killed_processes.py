"""Processes that are killed or work at the same time: nothing is lost, stored twice or published half."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from storage import publication
from storage.ingest.scan import present_batches
from storage.shards import ShardStore
from storage.store import Store
from tests.support.other_process import start, temporary_files
from tests.support.store_rows import one_of_each, record_run, step, task

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
    assert len(present_batches(shards)[0]) == (die_at == "never")
    assert store.ingest().batches == (die_at == "never")
    ref = shards.write_batch("explore-1", "b0", one_of_each())
    store.ingest()
    assert sorted(map(repr, shards.read_batch(ref))) == sorted(map(repr, one_of_each()))
    assert store.query("SELECT count(*) FROM steps")[1] == [(1,)]


INGESTER = """
import os, signal, sys
from pathlib import Path
import storage.publication, storage.store
from storage.store import Store

storage.publication.SWAPPED_FROM = int(sys.argv[3])

def die(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)

point = sys.argv[2]
if point == "before the commit":
    storage.store.refresh_runs = die
elif point == "before the copy":
    storage.publication.Publication.publish = die
elif point == "before the rename":
    storage.publication.os.replace = die
Store(Path(sys.argv[1])).ingest()
"""


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("point", ["before the commit", "before the copy", "before the rename"])
def test_the_next_ingest_completes_one_that_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str, swapped: bool
) -> None:
    size = 0 if swapped else publication.SWAPPED_FROM
    monkeypatch.setattr(publication, "SWAPPED_FROM", size)
    shards, store = ShardStore(tmp_path), Store(tmp_path)
    shards.write_batch("explore-1", "b0", [task("old")])
    store.ingest()
    steps = [step("x", index) for index in range(500)]
    record_run(tmp_path, "toy-1", shards.write_batch("explore-1", "b1", [task("new"), *steps]))
    ingester = start(INGESTER, tmp_path, point, size)
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
