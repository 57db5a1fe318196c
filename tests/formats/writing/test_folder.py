"""An export appears whole, replaces only an export, goes on where it was killed, and says what it did."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

from formats.faults import FormatFault
from formats.targets.trainers.trl import TrlSft
from formats.writing.export import Request, export
from tests.support.exported_run import RUN, MadeUp, exported_run
from tests.support.exports import content, exported, lineage, written

SMALL = 1000
"""Bytes of a part: a few rows."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeUp:
    return exported_run(tmp_path_factory.mktemp("made") / "data", copies=30)


def test_the_manifest_has_every_file(made: MadeUp, tmp_path: Path) -> None:
    report = exported(made, tmp_path / "out", "trl-sft", part_bytes=SMALL)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    files = content(tmp_path / "out")
    assert sorted(report.files) == sorted(files)
    assert manifest["files"] == {
        name: hashlib.sha256(data).hexdigest() for name, data in files.items() if name != "manifest.json"
    }
    assert sum(manifest["rows"].values()) == report.audit.rows == len(written(tmp_path / "out")) == 35
    assert len(manifest["rows"]) > 5
    assert manifest["run"]["id"] == RUN
    assert json.loads((tmp_path / "out" / "mask_audit.json").read_text()) == report.audit.to_json()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_every_row_leads_back_to_the_store(made: MadeUp, tmp_path: Path) -> None:
    exported(made, tmp_path / "out", "trl-sft", part_bytes=SMALL)
    rows, links = written(tmp_path / "out"), lineage(tmp_path / "out")
    assert [row["example_id"] for row in rows] == [link["example_id"] for link in links]
    assert [row["example_id"] for row in rows] == sorted(row.example_id for row in made.examples)
    repaired = next(link for link in links if link["dataset"] == "calibrated")
    assert (repaired["calibration_id"], repaired["deviation_id"], repaired["verdict"]) == (
        "k1",
        "d1",
        "deviated",
    )


def test_a_killed_export_goes_on_and_has_the_same_bytes(
    made: MadeUp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported(made, tmp_path / "undisturbed", "trl-sft", part_bytes=SMALL)
    usual, rows = TrlSft.row, 0

    def dies(self: TrlSft, row: object) -> object:
        nonlocal rows
        rows += 1
        if rows == 20:
            raise KeyboardInterrupt
        return usual(self, row)  # type: ignore[arg-type]

    monkeypatch.setattr(TrlSft, "row", dies)
    with pytest.raises(KeyboardInterrupt):
        exported(made, tmp_path / "out", "trl-sft", part_bytes=SMALL)
    assert not (tmp_path / "out").exists()
    report = exported(made, tmp_path / "out", "trl-sft", part_bytes=SMALL)
    assert report.resumed > 1
    assert rows < 20 + 35  # finished parts were not made again
    there, here = content(tmp_path / "undisturbed"), content(tmp_path / "out")
    named = {"README.md", "manifest.json"}  # they name the folder, or have the digest of one that does
    assert {k: v for k, v in here.items() if k not in named} == {
        k: v for k, v in there.items() if k not in named
    }
    assert here["README.md"] == there["README.md"].replace(b"undisturbed", b"out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "undisturbed"]


def test_what_was_begun_for_something_else_is_not_used(
    made: MadeUp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(
            "formats.writing.folder.Workplace.publish", lambda self: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            exported(made, tmp_path / "out", "trl-sft", part_bytes=SMALL)
    report = exported(made, tmp_path / "out", "trl-sft", part_bytes=SMALL, sets=("calibrated",))
    assert (report.resumed, report.audit.rows) == (0, 1)
    assert len(written(tmp_path / "out")) == 1


def test_the_same_export_again_is_known_and_another_one_replaces_it(made: MadeUp, tmp_path: Path) -> None:
    exported(made, tmp_path / "out", "trl-sft")
    before = (tmp_path / "out" / "manifest.json").stat().st_ino
    assert exported(made, tmp_path / "out", "trl-sft").known
    assert (tmp_path / "out" / "manifest.json").stat().st_ino == before
    assert not exported(made, tmp_path / "out", "openai-sft").known
    assert "messages" in written(tmp_path / "out")[0]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_nothing_but_an_export_is_replaced(made: MadeUp, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "manifest.json").write_text('{"made_by": "me"}')
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "thesis", tmp_path / "file"):
        with pytest.raises(FormatFault, match="no export of this command: choose another folder"):
            exported(made, out, "trl-sft")
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    assert exported(made, tmp_path / "empty", "trl-sft").audit.rows == 35


def test_two_processes_do_not_write_the_same_export(made: MadeUp, tmp_path: Path) -> None:
    place = tmp_path / ".writing-out"
    place.mkdir()
    with FileLock(place / "lock"), pytest.raises(FormatFault, match="another process exports to"):
        exported(made, tmp_path / "out", "trl-sft")
    assert exported(made, tmp_path / "out", "trl-sft").audit.rows == 35


def test_a_damaged_state_begins_anew(made: MadeUp, tmp_path: Path) -> None:
    (tmp_path / ".writing-out").mkdir()
    (tmp_path / ".writing-out" / "state.json").write_text('{"asked": 1}')
    assert exported(made, tmp_path / "out", "trl-sft").resumed == 0


def test_the_card_says_what_is_in_it(made: MadeUp, tmp_path: Path) -> None:
    exported(made, tmp_path / "out", "trl-sft", where="task_type = 'heat'")
    _, header, body = (tmp_path / "out" / "README.md").read_text().split("---\n", 2)
    known = yaml.safe_load(header)
    size = (tmp_path / "out" / "data" / "train-00000.jsonl").stat().st_size
    assert known["dataset_info"]["splits"] == [{"name": "train", "num_bytes": size, "num_examples": 35}]
    assert (known["size_categories"], known["license"]) == (["n<1K"], "apache-2.0")
    for words in (
        "| calibrated | 1 |",
        "1 deviated",
        "1 of 1 succeeded",
        "where = task_type = 'heat'",
        "`paper`",
        "used as above and by its rules",
        "With other settings they may not be.",
    ):
        assert words in body


def test_a_run_without_examples_says_how_to_get_some(tmp_path: Path, made: MadeUp) -> None:
    shutil.copytree(made.store.root, tmp_path / "data")
    from storage.runs import RunFolder
    from storage.store import Store

    RunFolder(tmp_path / "data", "other").create("other", {"name": "other"})
    store = Store(tmp_path / "data")
    store.ingest()
    with pytest.raises(FormatFault, match=r"run other has no training examples to export: .* stage train"):
        export(store, Request("trl-sft", "other", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_files_of_others_in_an_export_are_not_deleted(made: MadeUp, tmp_path: Path) -> None:
    exported(made, tmp_path / "out", "trl-sft")
    (tmp_path / "out" / "data" / "notes").mkdir()
    (tmp_path / "out" / "data" / "notes" / "mine.txt").write_text("mine")
    with pytest.raises(
        FormatFault, match=r"out holds data/notes/mine\.txt, which the export there did not write"
    ):
        exported(made, tmp_path / "out", "openai-sft")
    assert (tmp_path / "out" / "data" / "notes" / "mine.txt").read_text() == "mine"
    (tmp_path / "out" / "data" / "notes" / "mine.txt").unlink()
    exported(made, tmp_path / "out", "openai-sft")


def test_traces_say_that_they_are_no_training_set(made: MadeUp, tmp_path: Path) -> None:
    report = exported(made, tmp_path / "out", "atif")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "**These are traces and no training set**" in card
    assert "they are the same" not in card
    assert report.audit.turns_trained == 0
