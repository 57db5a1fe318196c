"""Names in stored files lead to nothing outside of the data folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from flows.compare.results import Results, keep
from formats.writing.part_files import Sessions
from storage.comparisons import comparison_folder
from storage.faults import StorageFault
from storage.files import inside
from storage.replies import CallJournal, KeptReplies
from storage.runs import RunFolder
from storage.shards import BatchRef, Shard, ShardStore
from storage.store import Store
from tasks.caching import results_of, stored_result
from tests.support.store_rows import task

OUTSIDE = ["../x", "..", "a/../../x", "/etc/passwd", "a/b", "x\0", "", ".hidden", "a\n", "C:\\x", "x" * 200]


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_name_becomes_a_path(tmp_path: Path, name: str) -> None:
    shards = ShardStore(tmp_path)
    for use in (
        lambda: shards.write_batch(name, "b", []),
        lambda: shards.write_batch("k", name, []),
        lambda: shards.find(name, "b"),
        lambda: RunFolder(tmp_path, name),
        lambda: comparison_folder(tmp_path, name),
        lambda: CallJournal(tmp_path, name),
        lambda: KeptReplies(tmp_path).find(name),
    ):
        with pytest.raises(StorageFault, match="cannot name a file"):
            use()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_reference_or_manifest_that_names_another_place_is_damaged(name: str) -> None:
    good = {"stage_key": "k", "batch_id": "b", "manifest": "shards/k/b.json", "sha256": "0", "rows": {}}
    assert BatchRef.model_validate(good)
    for field in ("stage_key", "batch_id", "manifest"):
        with pytest.raises(ValidationError):
            BatchRef.model_validate({**good, field: name})
    for manifest in (f"shards/{name}/b.json", f"shards/k/{name}.json", f"../shards/k/{name}.json"):
        if name not in (".hidden", "x" * 200):
            with pytest.raises(ValidationError):
                BatchRef.model_validate({**good, "manifest": manifest})
    with pytest.raises(ValidationError):
        Shard.model_validate({"table": "steps", "file": name, "sha256": "0", "rows": 1})


def test_a_manifest_that_names_a_file_elsewhere_is_set_aside_and_not_read(tmp_path: Path) -> None:
    shards = ShardStore(tmp_path / "data")
    shards.write_batch("explore-1", "b0", [task("a")])
    shards.write_batch("explore-1", "b1", [task("b")])
    path = shards.folder / "explore-1" / "b0.json"
    manifest = json.loads(path.read_text())
    [shard] = manifest["shards"]
    moved = tmp_path / "elsewhere.parquet"
    (path.parent / shard["file"]).rename(moved)
    for file in (str(moved), "../../../elsewhere.parquet"):
        path.write_text(json.dumps({**manifest, "shards": [{**shard, "file": file}]}))
        report = Store(tmp_path / "data").ingest()
        assert len(report.set_aside) == 1
        assert "is damaged" in report.set_aside[0].reason
        assert Store(tmp_path / "data").query("SELECT task_id FROM tasks")[1] == [("b",)]


def test_a_cached_result_that_refers_elsewhere_is_none(tmp_path: Path) -> None:
    ref = ShardStore(tmp_path).write_batch("explore-1", "b0", [task("a")]).model_dump()
    results_of(tmp_path).mkdir()

    def stored(reference: dict[str, object]) -> object:
        result = json.dumps({"ref": reference, "cut": False})
        (results_of(tmp_path) / "key").write_text(
            json.dumps({"metadata": {"serializer": {"type": "json"}}, "result": result})
        )
        return stored_result(tmp_path, "key")

    assert stored(ref), "this is how results are stored"
    for manifest in ("/etc/passwd", "../b0.json", "shards/../../b0.json"):
        assert stored({**ref, "manifest": manifest}) is None


@pytest.mark.parametrize("name", ["/etc", "../x", "a/../../x", "a\0"])
def test_a_stored_path_stays_inside(tmp_path: Path, name: str) -> None:
    with pytest.raises(StorageFault, match="outside of"):
        inside(tmp_path, name)
    assert inside(tmp_path, "checkpoints/0123") == tmp_path / "checkpoints" / "0123"


def test_an_exported_trajectory_is_a_file_in_its_folder(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "sessions")
    with pytest.raises(StorageFault, match="cannot name a file"):
        sessions.add({"id": "../../x", "lines": [{}]}, 1)
    assert [path.name for path in tmp_path.rglob("*")] == ["sessions"]


def test_kept_results_of_a_comparison_are_written_where_they_belong(tmp_path: Path) -> None:
    class Header:
        name = "../x"

        def model_dump_json(self) -> str:
            return "{}"

    with pytest.raises(StorageFault, match="cannot name a file"):
        keep(Results(Header(), []), tmp_path / "in")  # type: ignore[arg-type]
    assert not list(tmp_path.rglob("*"))
