"""Packed shards: the same bytes in fewer files, read and checked as before, and never lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from storage import compaction
from storage.compaction import compact, compact_folder
from storage.faults import StorageFault
from storage.garbage import delete, find_garbage
from storage.ingest.health import Health
from storage.packs import HEADER, open_pack, write_pack
from storage.records import RECORDS
from storage.shards import BatchRef, ShardStore
from storage.store import Store
from tests.support.other_process import start, temporary_files
from tests.support.store_rows import one_of_each, record_run, step, task

Folder = tuple[Path, list[BatchRef]]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Four batches of one run in a folder whose name is a pattern, not ingested. Two share a shard."""
    root = tmp_path / "brack[et]s"
    shards = ShardStore(root)
    refs = [shards.write_batch("explore-1", f"b{n}", [task("same"), step(f"x{n}", 0)]) for n in range(3)]
    refs.append(shards.write_batch("rewards-1", "b0", one_of_each()))
    record_run(root, "toy-1", *refs)
    return root, refs


def loose(root: Path) -> list[str]:
    return sorted(path.name for path in root.glob("shards/*/*.parquet"))


def packs(root: Path, stage_key: str = "*") -> list[Path]:
    return sorted(root.glob(f"shards/{stage_key}/*.zip"))


def rows(root: Path) -> dict[str, list[tuple[object, ...]]]:
    store = Store(root)
    return {r.table: store.query(f"FROM {r.table} ORDER BY ALL")[1] for r in RECORDS}


def flip(pack: Path, start: str) -> None:
    """Change a byte in the middle of the first member whose name starts so."""
    name, (offset, size) = next(item for item in open_pack(pack).members.items() if item[0].startswith(start))
    data = bytearray(pack.read_bytes())
    data[offset + 30 + len(name) + size // 2] ^= 1
    pack.write_bytes(data)


def aged(root: Path) -> None:
    then = time.time() - 3 * 86400
    for path in root.rglob("*"):
        os.utime(path, (then, then))


def test_every_batch_reads_as_before(folder: Folder) -> None:
    root, refs = folder
    before = [ShardStore(root).read_batch(ref) for ref in refs]
    names, already = loose(root), ShardStore(root)
    manifests = {path: path.read_bytes() for path in root.glob("shards/*/*.json")}
    done = list(compact(root))
    assert [(found.stage_key, found.before, found.after) for found in done] == [
        ("explore-1", 4, 1), ("rewards-1", len(one_of_each()), 1),
    ]  # fmt: skip
    assert loose(root) == []
    assert sorted(name for pack in packs(root) for name in open_pack(pack).members) == names
    assert {path: path.read_bytes() for path in root.glob("shards/*/*.json")} == manifests
    for shards in (ShardStore(root), already):
        assert [shards.read_batch(ref) for ref in refs] == before
        for ref in refs:
            shards.verify(ref)


def test_a_pack_is_a_plain_zip_file_and_the_same_on_every_machine(folder: Folder, tmp_path: Path) -> None:
    root, _ = folder
    shutil.copytree(root, tmp_path / "other")
    files = {path.name: path.read_bytes() for path in root.glob("shards/rewards-1/*.parquet")}
    list(compact(root))
    (pack,) = packs(root, "rewards-1")
    with zipfile.ZipFile(pack) as file:
        assert {name: file.read(name) for name in file.namelist()} == files
        assert file.testzip() is None
    time.sleep(0.01)
    list(compact(tmp_path / "other"))
    (other,) = packs(tmp_path / "other", "rewards-1")
    assert (other.name, other.read_bytes()) == (pack.name, pack.read_bytes())


def test_a_store_is_rebuilt_from_packs_with_equal_rows(folder: Folder) -> None:
    root, _ = folder
    store = Store(root)
    store.ingest()
    before = rows(root)
    list(compact(root))
    assert store.ingest().batches == 0
    assert rows(root) == before
    report = store.rebuild()
    assert (report.batches, report.set_aside) == (4, ())
    assert rows(root) == before
    assert temporary_files(root) == []


def test_packs_of_an_older_version_are_loaded_as_its_files_are(data_030: Path) -> None:
    assert Store(data_030).rebuild().set_aside == ()
    before = rows(data_030)
    single = [found.stage_key for found in compact(data_030) if found.after == found.before]
    assert {path.parent.name for path in data_030.glob("shards/*/*.parquet")} == set(single)
    assert {"calibrations", "steps"} < {
        name.split("-")[0] for pack in packs(data_030) for name in open_pack(pack).members
    }
    assert Store(data_030).rebuild().set_aside == ()
    assert rows(data_030) == before


def test_batches_written_later_are_merged_with_small_packs(folder: Folder) -> None:
    root, refs = folder
    list(compact(root))
    shards = ShardStore(root)
    new = shards.write_batch("explore-1", "b3", [task("later"), step("x3", 0)])
    assert (compact_folder(root / "shards/explore-1").before, len(packs(root, "explore-1"))) == (3, 1)
    assert shards.read_batch(new) == [step("x3", 0), task("later")]
    assert shards.read_batch(refs[0]) == [step("x0", 0), task("same")]
    (pack,) = packs(root, "explore-1")
    status = pack.stat()
    again = compact_folder(root / "shards/explore-1")
    assert (again.before, again.after) == (1, 1)
    assert pack.stat() == status


def test_large_packs_are_left_and_new_ones_have_a_largest_size(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, refs = folder
    size = next(root.glob("shards/explore-1/steps-*")).stat().st_size
    monkeypatch.setattr(compaction, "SMALL", size)
    monkeypatch.setattr(compaction, "LARGEST", 2 * size)
    before = [ShardStore(root).read_batch(ref) for ref in refs]
    list(compact(root))
    first = packs(root, "explore-1")
    assert len(first) == 2
    ShardStore(root).write_batch("explore-1", "b3", [task("later"), step("x3", 0)])
    list(compact(root))
    assert set(first) < set(packs(root, "explore-1"))
    assert [ShardStore(root).read_batch(ref) for ref in refs] == before


DIES = """
import os, sys
from pathlib import Path
from storage.compaction import compact

unlinked = []

def unlink(path, missing_ok=False):
    if len(unlinked) == int(sys.argv[2]):
        os._exit(9)
    unlinked.append(path)
    os.unlink(path)

Path.unlink = unlink
list(compact(Path(sys.argv[1])))
"""


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_compaction_that_is_killed_loses_nothing_and_the_next_completes_it(
    folder: Folder, after: int
) -> None:
    root, refs = folder
    before = [ShardStore(root).read_batch(ref) for ref in refs]
    process = start(DIES, root, after)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 9, errors
    assert len(packs(root, "explore-1")) == 1
    assert len(list(root.glob("shards/explore-1/*.parquet"))) == 4 - after
    assert [ShardStore(root).read_batch(ref) for ref in refs] == before
    list(compact(root))
    assert (loose(root), len(packs(root))) == ([], 2)
    assert [ShardStore(root).read_batch(ref) for ref in refs] == before
    Store(root).ingest()
    assert Store(root).query("SELECT count(*) FROM steps")[1] == [(4,)]


def test_nothing_is_deleted_where_the_disk_gives_back_something_else(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, refs = folder
    names = loose(root)
    shard = next(root.glob("shards/explore-1/steps-*"))
    with pytest.raises(StorageFault, match="does not hold what was written"):
        write_pack(shard.parent, {shard.name: lambda: shard.read_bytes()[::-1]})
    assert (loose(root), packs(root)) == (names, [])
    write_pack(shard.parent, {shard.name: shard.read_bytes})
    ShardStore(root).verify(refs[0])


def test_a_reader_whose_file_vanishes_finds_the_pack(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process packs the folder between a look at the folder and the read of the file, twice."""
    root, refs = folder
    shards = ShardStore(root)
    before = shards.read_batch(refs[3])
    real, packed = Path.read_bytes, list[int]()

    def read(path: Path) -> bytes:
        if path.suffix == ".parquet" and not packed:
            packed.append(1)
            list(compact(root))
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", read)
    assert shards.read_batch(refs[3]) == before
    assert packed
    ShardStore(root).write_batch("rewards-1", "b1", [step("new", 0)])
    (old,) = packs(root, "rewards-1")
    list(compact(root))  # the pack that the reader knows is merged into another one
    assert not old.exists()
    assert shards.read_batch(refs[3]) == before


def test_a_flipped_byte_in_a_member_is_noticed(folder: Folder) -> None:
    root, refs = folder
    list(compact(root))
    (pack,) = packs(root, "explore-1")
    whole = pack.read_bytes()
    flip(pack, "tasks-")
    with pytest.raises(StorageFault) as noticed:
        ShardStore(root).read_batch(refs[0])
    assert "tasks-" in str(noticed.value)
    assert f"in pack {pack} is corrupt" in str(noticed.value)
    (found,) = Health(root).damaged_shards
    assert [batch.ref for batch in found.batches] == refs[:3]
    assert {item.batch_id for item in Store(root).ingest().set_aside} == {"b0", "b1", "b2"}
    pack.write_bytes(whole)
    assert Store(root).ingest().set_aside == ()


def test_a_byte_changed_anywhere_in_the_directory_of_a_pack_is_no_other_error(tmp_path: Path) -> None:
    shards = ShardStore(tmp_path)
    ref = shards.write_batch("explore-1", "b0", [task("a"), step("x", 0)])
    list(compact(tmp_path))
    (pack,) = packs(tmp_path)
    whole = pack.read_bytes()
    noticed = 0
    directory = whole.index(b"PK\1\2")
    for at in (*range(HEADER), *range(directory, len(whole))):
        for change in (0x01, 0xFF):
            pack.write_bytes(whole[:at] + bytes([whole[at] ^ change]) + whole[at + 1 :])
            try:
                ShardStore(tmp_path).verify(ref)
            except StorageFault:
                noticed += 1
    assert noticed > len(whole) - directory


def test_many_threads_find_the_packs_at_once(folder: Folder) -> None:
    root, refs = folder
    list(compact(root))
    for _ in range(20):
        shards = ShardStore(root)
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(shards.read_batch, refs * 4))


def test_a_damaged_pack_is_left_and_a_forced_redo_mends_what_it_held(folder: Folder) -> None:
    root, refs = folder
    list(compact(root))
    (pack,) = packs(root, "explore-1")
    flip(pack, "steps-")
    shards = ShardStore(root)
    shards.write_batch("explore-1", "b9", [step("x9", 0), step("x8", 0)])
    found = compact_folder(pack.parent)
    assert found.damaged == {pack: "1 of its shards are corrupt"}
    assert pack.exists()
    for n in range(3):  # the same rows again
        shards.write_batch("explore-1", f"b{n}", [task("same"), step(f"x{n}", 0)])
    assert [shards.read_batch(ref) for ref in refs[:3]] == [
        [step(f"x{n}", 0), task("same")] for n in range(3)
    ]
    compact_folder(pack.parent)
    assert loose(root) == []
    assert [shards.read_batch(ref) for ref in refs[:3]] == [
        [step(f"x{n}", 0), task("same")] for n in range(3)
    ]
    assert Health(root).damaged_shards == []


def test_a_damaged_file_is_not_packed(folder: Folder) -> None:
    root, refs = folder
    shard = next(root.glob("shards/explore-1/tasks-*"))
    shard.write_bytes(shard.read_bytes()[:-1])
    found = compact_folder(shard.parent)
    assert found.damaged == {shard: "it is corrupt or cannot be read"}
    assert (found.before, found.after) == (4, 2)
    with pytest.raises(StorageFault, match="is corrupt"):
        ShardStore(root).read_batch(refs[0])


def test_a_file_that_is_packed_too_is_deleted_even_damaged(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, refs = folder
    list(compact(root))
    monkeypatch.setattr(compaction, "SMALL", 0)  # the packs count as large
    ShardStore(root).write_batch("explore-1", "b0", [task("same"), step("x0", 0)])
    shard = next(root.glob("shards/explore-1/tasks-*"))
    shard.write_bytes(b"damaged")
    there = packs(root)
    list(compact(root))
    assert (loose(root), packs(root)) == ([], there)
    assert ShardStore(root).read_batch(refs[0]) == [step("x0", 0), task("same")]


def test_files_of_others_stay_where_they_are(folder: Folder) -> None:
    root, _ = folder
    own = root / "shards/explore-1/notes.parquet"
    own.write_bytes(b"mine")
    list(compact(root))
    assert own.read_bytes() == b"mine"


def test_shards_in_packs_that_no_run_refers_to_are_garbage(folder: Folder) -> None:
    root, refs = folder
    shards = ShardStore(root)
    shards.write_batch("explore-1", "lone", [task("same"), step("lone", 0)])
    shards.write_batch("explore-2", "lone", [task("a"), step("lone", 1)])
    list(compact(root))
    assert find_garbage(root) == []  # packed just now
    aged(root)
    garbage = find_garbage(root)
    assert [(found.kind, found.path.parent.name, found.member[:5]) for found in garbage] == [
        ("batch", "explore-1", ""), ("batch", "explore-2", ""),
        ("packed shard", "explore-1", "steps"),
        ("packed shard", "explore-2", "steps"), ("packed shard", "explore-2", "tasks"),
    ]  # fmt: skip
    assert delete(garbage) == 5
    assert find_garbage(root) == []
    assert packs(root, "explore-2") == []
    assert shards.read_batch(refs[0]) == [step("x0", 0), task("same")]
    assert len(open_pack(packs(root, "explore-1")[0]).members) == 4


def test_a_damaged_pack_keeps_its_garbage(folder: Folder) -> None:
    root, _ = folder
    ShardStore(root).write_batch("explore-1", "lone", [task("same"), step("lone", 0)])
    list(compact(root))
    (pack,) = packs(root, "explore-1")
    flip(pack, "tasks-")
    aged(root)
    delete(find_garbage(root))
    assert pack.exists()


@pytest.mark.skipif(shutil.which("unzip") is None, reason="no unzip here")
def test_unzip_gives_the_files_back(folder: Folder) -> None:
    root, refs = folder
    names, before = loose(root), ShardStore(root).read_batch(refs[3])
    list(compact(root))
    for pack in packs(root):
        subprocess.run(["unzip", "-q", pack.name], cwd=pack.parent, check=True)
        pack.unlink()
    assert loose(root) == names
    assert ShardStore(root).read_batch(refs[3]) == before
