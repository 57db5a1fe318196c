"""Shards: what is written is read back or refused, never something else."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from storage.faults import StorageFault
from storage.ids import content_id, digest_bytes
from storage.ingest.scan import present_batches, superseded_batches
from storage.records import RECORDS, StepRecord, TaskRecord
from storage.shards import ShardStore
from tests.support.store_rows import checkpoint, one_of_each, rollout, step, task, trajectory


@pytest.fixture
def shards(tmp_path: Path) -> ShardStore:
    return ShardStore(tmp_path)


def current(shards: ShardStore) -> list[str]:
    return [batch.ref.sha256 for batch in present_batches(shards)[0]]


def superseded(shards: ShardStore) -> list[str]:
    return [ref.sha256 for ref in superseded_batches(shards)[0]]


def files_of(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.suffix in (".json", ".parquet")
    }


def test_every_kind_of_record_is_read_back(shards: ShardStore) -> None:
    records = [*one_of_each(), rollout("p", 1, []), checkpoint("c1")]
    assert {type(record) for record in records} == set(RECORDS)
    ref = shards.write_batch("explore-1", "b0", records)
    back = shards.read_batch(ref)
    assert sorted(map(repr, back)) == sorted(map(repr, records))
    assert ref.rows["rollouts"] == 2
    assert ref.rows["tasks"] == 1


def test_one_kind_is_read_in_order(shards: ShardStore) -> None:
    steps = [step("x", index) for index in (2, 0, 1)]
    ref = shards.write_batch("explore-1", "b0", [task("a"), *steps])
    assert shards.read(ref, StepRecord) == steps
    assert shards.read(shards.write_batch("explore-1", "b1", steps), TaskRecord) == []


def test_an_empty_batch_is_a_batch(shards: ShardStore) -> None:
    ref = shards.write_batch("explore-1", "b0", [])
    assert ref.rows == {}
    assert shards.read_batch(ref) == []


def test_the_same_records_give_the_same_files(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    one = ShardStore(first).write_batch("explore-1", "b0", one_of_each())
    two = ShardStore(second).write_batch("explore-1", "b0", list(reversed(one_of_each())))
    assert one == two
    assert files_of(first) == files_of(second)
    again = ShardStore(first).write_batch("explore-1", "b0", one_of_each())
    assert again == one
    assert files_of(first) == files_of(second)
    other = ShardStore(second).write_batch("explore-1", "b0", [task("other")])
    assert other.sha256 != one.sha256


def test_a_redo_keeps_what_it_replaces(shards: ShardStore) -> None:
    old = shards.write_batch("explore-1", "b0", [task("a")])
    assert superseded(shards) == []
    new = shards.write_batch("explore-1", "b0", [task("b")])
    assert shards.read_batch(old) == [task("a")]
    assert shards.read_batch(new) == [task("b")]
    assert current(shards) == [new.sha256]
    assert superseded(shards) == [old.sha256]
    assert shards.write_batch("explore-1", "b0", [task("a")]) == old
    assert superseded(shards) == [new.sha256]


def test_two_different_rows_under_one_key_are_refused(shards: ShardStore) -> None:
    with pytest.raises(StorageFault, match=r"two different rows of tasks with the key \('a',\)"):
        shards.write_batch("explore-1", "b0", [task("a"), task("a", "another instruction")])
    assert shards.write_batch("explore-1", "b0", [task("a"), task("a")]).rows == {"tasks": 1}


@pytest.mark.parametrize("name", ["", "a/b", "../up", ".hidden", "a b", "x" * 129])
def test_a_name_that_is_no_file_name_is_refused(shards: ShardStore, name: str) -> None:
    with pytest.raises(StorageFault, match="stage key"):
        shards.write_batch(name, "b0", [])
    with pytest.raises(StorageFault, match="batch id"):
        shards.write_batch("explore-1", name, [])


def test_a_number_that_does_not_fit_names_its_field(shards: ShardStore) -> None:
    huge = trajectory("x").model_copy(update={"n_steps": 2**63})
    with pytest.raises(StorageFault, match=r"trajectories\.n_steps"):
        shards.write_batch("explore-1", "b0", [huge])
    assert current(shards) == []


def damage(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize("change", [damage, lambda data: data[:-20], lambda data: b""])
def test_a_damaged_shard_is_refused_and_a_redo_repairs_it(shards: ShardStore, change) -> None:
    ref = shards.write_batch("explore-1", "b0", [task("a")])
    (path,) = shards.root.rglob("tasks-*.parquet")
    path.write_bytes(change(path.read_bytes()))
    for read in (shards.read_batch, shards.verify, lambda ref: shards.read(ref, TaskRecord)):
        with pytest.raises(StorageFault, match=rf"shard {path} is corrupt: .*steca doctor.*--force"):
            read(ref)
    assert shards.write_batch("explore-1", "b0", [task("a")]) == ref
    assert shards.read_batch(ref) == [task("a")]


def test_a_missing_shard_is_named(shards: ShardStore) -> None:
    ref = shards.write_batch("explore-1", "b0", [task("a")])
    (path,) = shards.root.rglob("tasks-*.parquet")
    path.unlink()
    with pytest.raises(StorageFault, match=rf"shard {path} of batch b0 cannot be read: No such file"):
        shards.read_batch(ref)


def test_a_truncated_or_missing_manifest_is_named_and_a_redo_repairs_it(shards: ShardStore) -> None:
    ref = shards.write_batch("explore-1", "b0", [task("a")])
    path = shards.root / ref.manifest
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(StorageFault, match=rf"manifest {path} is damaged.*Invalid JSON.*steca doctor"):
        shards.read_batch(ref)
    assert shards.write_batch("explore-1", "b0", [task("a")]) == ref
    assert superseded(shards) == []
    path.unlink()
    with pytest.raises(StorageFault, match=rf"manifest {path} is missing"):
        shards.read_batch(ref)


def test_a_manifest_that_was_edited_is_refused(shards: ShardStore) -> None:
    ref = shards.write_batch("explore-1", "b0", [task("a")])
    path = shards.root / ref.manifest
    path.write_text(path.read_text().replace('"rows":1', '"rows":2').replace('"rows": 1', '"rows": 2'))
    with pytest.raises(StorageFault, match="not the one that was written"):
        shards.read_batch(ref)


def test_an_id_is_a_short_sha256_of_canonical_json() -> None:
    expected = hashlib.sha256(b'["a",1,{"x":null,"y":[true,0.5]}]').hexdigest()[:16]
    assert content_id("a", 1, {"y": (True, 0.5), "x": None}) == expected
    assert content_id("ab", "c") != content_id("a", "bc")
    assert content_id(1) != content_id("1")
    assert content_id("ü") == hashlib.sha256(json.dumps(["ü"]).encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    "part", [{1}, object(), b"x", float("nan"), float("inf"), {1: "x"}, [{"x": {2}}], Path("x")]
)
def test_an_id_of_something_unstable_is_refused(part: object) -> None:
    with pytest.raises(StorageFault, match="an id cannot be made of"):
        content_id("fine", part)


def test_a_digest_is_the_whole_sha256() -> None:
    assert digest_bytes(b"abc") == hashlib.sha256(b"abc").hexdigest()
