"""What lies where an export is to go: damaged exports are made anew, and what somebody wrote or edited is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from formats.faults import FormatFault
from tests.support.exported_run import MadeUp, exported_run
from tests.support.exports import content, exported

SMALL = 1000
"""Bytes of a part: a few rows."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeUp:
    return exported_run(tmp_path_factory.mktemp("made") / "data", copies=30)


@pytest.mark.parametrize(
    ("format", "name", "left"),
    [
        ("trl-sft", "data/train-00000.jsonl", 100),
        ("trl-sft", "data/train-00001.jsonl", None),
        ("trl-sft", "lineage/train-00000.parquet", 100),
        ("trl-sft", "README.md", None),
        ("parquet", "data/train-00000.parquet", 100),
        ("hf-traces", "data/train-00000/t1-expert.jsonl", 100),
        ("hf-traces", "data/train-00000/t1-expert.jsonl", None),
    ],
)
def test_a_damaged_export_is_made_anew(
    made: MadeUp, tmp_path: Path, format: str, name: str, left: int | None
) -> None:
    """`left`: bytes of the file that stay; None where it is gone."""
    out, part_bytes = tmp_path / "out", 1 << 30 if format == "hf-traces" else SMALL
    assert exported(made, out, format, part_bytes=part_bytes).damaged == ()
    before = content(out)
    if left is None:
        (out / name).unlink()
    else:
        (out / name).write_bytes(before[name][:left])
    again = exported(made, out, format, part_bytes=part_bytes)
    assert not again.known
    assert [name.startswith(damaged) for damaged in again.damaged] == [True]  # the folder, of sessions
    assert content(out) == before
    assert exported(made, out, format, part_bytes=part_bytes).known


@pytest.mark.parametrize("key", ["asked", "audit"])
def test_a_manifest_that_lacks_something_is_written_anew(made: MadeUp, tmp_path: Path, key: str) -> None:
    out = tmp_path / "out"
    exported(made, out, "trl-sft")
    before = content(out)
    manifest = json.loads(before["manifest.json"])
    del manifest[key]
    (out / "manifest.json").write_text(json.dumps(manifest))
    assert not exported(made, out, "trl-sft").known
    assert content(out) == before


@pytest.mark.parametrize("again", ["hf-traces", "trl-sft"])
def test_a_note_among_sessions_is_not_deleted(made: MadeUp, tmp_path: Path, again: str) -> None:
    out = tmp_path / "out"
    exported(made, out, "hf-traces")
    note = out / "data" / "train-00000" / "note.txt"
    note.write_text("mine")
    with pytest.raises(FormatFault, match=r"out holds data/train-00000/note\.txt, which .* move that away"):
        exported(made, out, again)
    assert note.read_text() == "mine"
    note.unlink()
    exported(made, out, again)


@pytest.mark.parametrize("again", ["trl-sft", "openai-sft"])
def test_a_card_that_was_edited_is_not_overwritten(made: MadeUp, tmp_path: Path, again: str) -> None:
    out = tmp_path / "out"
    exported(made, out, "trl-sft")
    card = out / "README.md"
    edited = card.read_text() + "\nMy own words.\n"
    card.write_text(edited)
    with pytest.raises(FormatFault, match=r"out holds README\.md, which is not as the export there wrote it"):
        exported(made, out, again)
    assert card.read_text() == edited
    card.rename(tmp_path / "mine.md")
    exported(made, out, again)
    assert "My own words" not in card.read_text()


def test_rows_that_were_edited_are_not_replaced_by_another_export(made: MadeUp, tmp_path: Path) -> None:
    out = tmp_path / "out"
    exported(made, out, "trl-sft")
    rows = out / "data" / "train-00000.jsonl"
    rows.write_bytes(rows.read_bytes()[:100])
    with pytest.raises(FormatFault, match=r"out holds data/train-00000\.jsonl, which is not as"):
        exported(made, out, "openai-sft")
    assert rows.stat().st_size == 100


def test_a_link_is_not_deleted(made: MadeUp, tmp_path: Path) -> None:
    out = tmp_path / "out"
    exported(made, out, "hf-traces")
    (out / "data" / "train-00000" / "nowhere").symlink_to(tmp_path / "nothing")
    (out / "models").symlink_to(tmp_path)
    with pytest.raises(
        FormatFault, match=r"out holds models and 1 more files, which the export there did not"
    ):
        exported(made, out, "hf-traces")
