"""An export that was killed goes on, one that cannot succeed leaves nothing, and one that appears is on the disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from formats.faults import FormatFault
from formats.targets.analysis.traces import HfTraces
from formats.targets.trainers.trl import TrlSft
from tests.support.exported_run import MadeUp, exported_run
from tests.support.exports import content, exported

SESSIONS = 40_000
"""Bytes of a part: three sessions."""
NAMED = {"README.md", "manifest.json"}
"""They name the folder, or have the digest of a file that does."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeUp:
    return exported_run(tmp_path_factory.mktemp("made") / "data", copies=30)


def killed(monkeypatch: pytest.MonkeyPatch, target: type[Any], at: int) -> Any:
    """Ends the process, as it were, at a row; what follows in the context is as if it was started again."""
    usual, rows = target.row, 0

    def dies(self: Any, row: Any) -> Any:
        nonlocal rows
        rows += 1
        if rows == at:
            raise KeyboardInterrupt
        return usual(self, row)

    monkeypatch.setattr(target, "row", dies)


@pytest.mark.parametrize("at", [1, 2, 4, 5, 6])
def test_killed_sessions_go_on_and_have_the_same_bytes(
    made: MadeUp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """In the first part and the second, at every row of it."""
    exported(made, tmp_path / "undisturbed", "hf-traces", part_bytes=SESSIONS)
    killed(monkeypatch, HfTraces, at)
    with pytest.raises(KeyboardInterrupt):
        exported(made, tmp_path / "out", "hf-traces", part_bytes=SESSIONS)
    assert list((tmp_path / ".writing-out" / "export" / "data").iterdir())
    report = exported(made, tmp_path / "out", "hf-traces", part_bytes=SESSIONS)
    assert report.resumed == (at - 1) // 3
    there, here = content(tmp_path / "undisturbed"), content(tmp_path / "out")
    assert len(here) > 30
    assert {k: v for k, v in here.items() if k not in NAMED} == {
        k: v for k, v in there.items() if k not in NAMED
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "undisturbed"]


def begun(made: MadeUp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export to `out` that was killed after some parts."""
    killed(monkeypatch, TrlSft, 20)
    with pytest.raises(KeyboardInterrupt):
        exported(made, tmp_path / "out", "trl-sft", part_bytes=1000)


def test_a_finished_part_that_was_damaged_since_is_not_used(
    made: MadeUp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same size: only its digest tells."""
    begun(made, tmp_path, monkeypatch)
    part = tmp_path / ".writing-out" / "export" / "data" / "train-00000.jsonl"
    part.write_bytes(bytes(part.stat().st_size))
    assert exported(made, tmp_path / "out", "trl-sft", part_bytes=1000).resumed == 0
    assert b"\0" not in (tmp_path / "out" / "data" / "train-00000.jsonl").read_bytes()


def test_what_cannot_become_an_export_is_deleted(
    made: MadeUp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FormatFault, match="no row is left to write: no contrast"):
        exported(made, tmp_path / "out", "steca-authors", sets=("expert",))
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(TrlSft, "trained", lambda self, written: [])
    with pytest.raises(FormatFault, match="this is a defect of the export"):
        exported(made, tmp_path / "out", "trl-sft")
    assert not list(tmp_path.iterdir())


def test_a_request_that_is_refused_leaves_what_another_one_began(
    made: MadeUp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(made, tmp_path, monkeypatch)
    with pytest.raises(FormatFault, match="--context"):
        exported(made, tmp_path / "out", "llamafactory-sft")
    assert exported(made, tmp_path / "out", "trl-sft", part_bytes=1000).resumed > 1


@pytest.mark.parametrize("format", ["trl-sft", "parquet", "hf-traces"])
def test_everything_is_flushed_to_disk_before_it_appears(
    made: MadeUp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    """Otherwise a power failure after the rename leaves files that are empty under their right names."""
    flushed, missing, sync, rename = set[int](), list[str](), os.fsync, os.rename

    def seen(handle: int) -> None:
        flushed.add(os.fstat(handle).st_ino)
        sync(handle)

    def appears(source: Path, target: Path) -> None:
        inside = [source, *source.rglob("*")]
        missing.extend(path.name for path in inside if path.stat().st_ino not in flushed)
        assert len(inside) > 5
        rename(source, target)
        flushed.clear()

    monkeypatch.setattr(os, "fsync", seen)
    monkeypatch.setattr(os, "rename", appears)
    exported(made, tmp_path / "out", format, part_bytes=SESSIONS)
    assert (tmp_path / "out").is_dir()
    assert missing == []
    assert flushed == {tmp_path.stat().st_ino}  # the rename itself
