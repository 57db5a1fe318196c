"""Damaged batches and run files are set aside with the reason, and everything else is published."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.ids import digest_bytes
from storage.shards import REDO, BatchRef, ShardStore
from storage.store import Store
from tests.support.store_rows import record_run, step, task


def test_a_corrupt_shard_sets_its_batch_aside_and_a_redo_repairs_it(tmp_path: Path) -> None:
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
    assert f"manifest {path} is damaged, or a newer version wrote it (Invalid JSON: " in aside.reason
    assert aside.reason.endswith(f"; update the project, or {REDO}")
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
    rewritten(root, ref, sha256=digest_bytes(old.read_bytes()))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda root, ref: rewritten(root, ref, table="dreams"), "table dreams, which a newer version wrote"),
        (lambda root, ref: rewritten(root, ref, rows=7), "has 1 rows, but its manifest says 7"),
        (lambda root, ref: rewritten(root, ref, table="steps"), "columns that this version does not know"),
        (
            lambda root, ref: newer_shard(root, ref, lambda t: t.append_column("dream", [["x"]])),
            "does not know (dream); update the project",
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
            "belongs to batch explore-2/b0, so it is probably a copy: delete it",
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
    assert "belongs to run sound, so it is probably a copy: delete it" in reasons["runs/copy/run.json"]
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
