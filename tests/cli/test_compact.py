"""`steca compact`: what it prints, when it refuses, and what `steca doctor` says of damaged packs."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.store import Store
from tests.cli.test_doctor import steca
from tests.cli.test_gc import WORKING
from tests.support.other_process import start
from tests.support.store_rows import ingested_run


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Eight batches of a run, ingested."""
    return ingested_run(tmp_path / "data", 8)


def the_pack(root: Path) -> Path:
    (pack,) = root.glob("shards/explore-1/*.zip")
    return pack


def test_it_prints_a_table_and_then_one_line(root: Path) -> None:
    said = steca("compact", "--data-dir", root)
    assert "shards/explore-1 │ 16           │ 1 " in said
    assert said.count("│ all") == 1
    assert steca("compact", "--data-dir", root) == f"{root}: nothing to pack: 1 file with shards\n"
    assert steca("doctor", "--rebuild", "--data-dir", root) == f"{root}: healthy\n"
    assert Store(root).query("SELECT count(*) FROM tasks")[1] == [(8,)]


def test_a_folder_without_runs_is_one_line(tmp_path: Path) -> None:
    assert "no runs in" in steca("compact", "--data-dir", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_nothing_is_packed_while_a_process_works_on_a_run(root: Path) -> None:
    process = start(WORKING, root)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        said = steca("compact", "--data-dir", root, code=1)
        assert "a process works on run toy-1: nothing is packed; run `steca compact` when it is done" in said
        assert list(root.glob("shards/*/*.zip")) == []
    finally:
        process.kill()
        process.communicate()
    steca("compact", "--data-dir", root)
    the_pack(root)


def test_a_url_is_refused() -> None:
    assert "`steca compact` needs a data folder" in steca("compact", "--data-dir", "s3://bucket/data", code=2)


def test_a_pack_that_cannot_be_read_is_one_finding(root: Path) -> None:
    steca("compact", "--data-dir", root)
    pack = the_pack(root)
    whole = pack.read_bytes()
    pack.write_bytes(whole[: len(whole) // 2])
    said = steca("doctor", "--data-dir", root, code=1)
    assert f"pack {pack}, which has shards of several batches, cannot be read" in said
    assert "the same command again: it computes the batch again" in said
    assert "and 3 more" in said
    assert "1 thing left to do" in said
    said = steca("compact", "--data-dir", root)
    assert said.splitlines()[-1].startswith(
        f"shards/explore-1/{pack.name}: File is not a zip file; left as it is"
    )
    pack.write_bytes(whole)
    assert steca("doctor", "--data-dir", root) == f"{root}: healthy\n"


def test_a_flipped_byte_is_found_in_its_pack(root: Path) -> None:
    steca("compact", "--data-dir", root)
    pack = the_pack(root)
    data = bytearray(pack.read_bytes())
    data[len(data) // 4] ^= 1
    pack.write_bytes(data)
    said = steca("doctor", "--data-dir", root, code=1)
    assert f"in pack {pack} is corrupt" in said
    assert "1 thing left to do" in said


def test_a_damaged_pack_that_no_batch_needs_may_be_deleted(root: Path) -> None:
    useless = root / "shards/explore-1/packed-0000000000000000.zip"
    useless.write_bytes(b"no zip file")
    said = steca("doctor", "--data-dir", root)
    assert f"shards/explore-1/{useless.name}" in said
    assert "and no batch needs it: delete it" in said
