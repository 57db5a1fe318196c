"""What no run refers to, and only that, is garbage."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from storage.faults import StorageFault
from storage.garbage import delete, find_garbage
from storage.runs import RunFolder
from storage.shards import BatchRef, ShardStore
from storage.store import Store
from tests.support.store_rows import record_run, task


def aged(root: Path, days: float = 3.0) -> None:
    """Everything in the folder was written days ago."""
    then = time.time() - days * 86400
    for path in root.rglob("*"):
        os.utime(path, (then, then))


def result_of(root: Path, ref: BatchRef) -> Path:
    path = root / "results" / f"score-1-{ref.batch_id}-{ref.sha256[:8]}"
    path.parent.mkdir(exist_ok=True)
    result = json.dumps({"ref": ref.model_dump(mode="json"), "cut": None})
    path.write_text(json.dumps({"result": result}))
    return path


def test_batches_of_no_run_are_garbage_with_their_files_and_results(tmp_path: Path) -> None:
    shards = ShardStore(tmp_path)
    replaced = shards.write_batch("explore-1", "b0", [task("a", "old")])
    used = shards.write_batch("explore-1", "b0", [task("a"), task("b")])
    same = shards.write_batch("explore-1", "b1", [task("a"), task("b")])  # shares its file with b0
    lone = shards.write_batch("explore-2", "b0", [task("c")])
    record_run(tmp_path, "toy-1", used)
    results = {ref.sha256: result_of(tmp_path, ref) for ref in (replaced, used, same, lone)}
    (tmp_path / "results/other").write_text("{}")
    aged(tmp_path)
    Store(tmp_path).ingest()
    garbage = find_garbage(tmp_path)
    kinds = [(found.kind, found.path.parent.name) for found in garbage]
    assert sorted(kinds) == [
        ("batch", "explore-1"), ("batch", "explore-2"), ("replaced batch", "superseded"),
        *[("result", "results")] * 3, ("shard", "explore-1"), ("shard", "explore-2"),
    ]  # fmt: skip
    assert delete(garbage) == len(garbage)
    assert find_garbage(tmp_path) == []
    assert results[used.sha256].exists()
    assert shards.read_batch(used) == [task("a"), task("b")]
    Store(tmp_path).ingest()
    assert Store(tmp_path).query("SELECT task_id FROM tasks ORDER BY 1")[1] == [("a",), ("b",)]


def test_nothing_of_the_last_day_is_garbage(tmp_path: Path) -> None:
    shards = ShardStore(tmp_path)
    record_run(tmp_path, "toy-1", shards.write_batch("explore-1", "b0", [task("a")]))
    shards.write_batch("explore-2", "b0", [task("b")])
    aged(tmp_path, days=0.9)
    assert find_garbage(tmp_path) == []
    aged(tmp_path, days=1.1)
    assert len(find_garbage(tmp_path)) == 2


@pytest.mark.parametrize("status", ["running", "failed", "crashed"])
def test_an_unfinished_run_keeps_what_was_made_since_it_began(tmp_path: Path, status: str) -> None:
    """Its last batches are in no stage file yet: the cache has them."""
    shards = ShardStore(tmp_path)
    record_run(tmp_path, "toy-1", shards.write_batch("explore-1", "b0", [task("a")]))
    shards.write_batch("explore-2", "b0", [task("b")])
    run = RunFolder(tmp_path, "toy-1")
    info = run.folder / "run.json"
    began = "2001-01-01T00:00:00Z"
    info.write_text(json.dumps(json.loads(info.read_text()) | {"created_at": began}))
    aged(tmp_path)
    assert len(find_garbage(tmp_path)) == 2
    (state,) = run.stages()
    run.save_stage(state.model_copy(update={"status": status}))
    aged(tmp_path)
    assert find_garbage(tmp_path) == []


def test_what_another_process_has_written_again_is_not_deleted(tmp_path: Path) -> None:
    shards = ShardStore(tmp_path)
    record_run(tmp_path, "toy-1", shards.write_batch("explore-1", "b0", [task("a")]))
    shards.write_batch("explore-2", "b0", [task("b")])
    aged(tmp_path)
    garbage = find_garbage(tmp_path)
    ref = shards.write_batch("explore-2", "b0", [task("b")])
    assert delete(garbage) == 0
    assert shards.read_batch(ref) == [task("b")]


@pytest.mark.parametrize("damaged", ["runs/toy-1/run.json", "runs/toy-1/stages/1-explore.json", "manifest"])
def test_nothing_is_garbage_while_it_is_not_known_what_is_used(tmp_path: Path, damaged: str) -> None:
    shards = ShardStore(tmp_path)
    ref = shards.write_batch("explore-1", "b0", [task("a")])
    record_run(tmp_path, "toy-1", ref)
    (tmp_path / (ref.manifest if damaged == "manifest" else damaged)).write_text("{")
    aged(tmp_path)
    with pytest.raises(StorageFault, match="nothing is deleted while"):
        find_garbage(tmp_path)
