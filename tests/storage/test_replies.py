"""Replies by content: journals of batches in work, and replies for every run."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from storage.faults import StorageFault
from storage.replies import CallJournal, KeptReplies, LoggedCall
from tests.support.store_rows import llm_call


def logged(name: str, text: str | None = "Thought: ä\nAction: look") -> LoggedCall:
    return LoggedCall(text=text, call=llm_call(name))


def test_a_journal_gives_back_what_was_added_in_order(tmp_path: Path) -> None:
    journal = CallJournal(tmp_path, "b0")
    assert journal.load() == []
    written = [logged("a"), logged("b", None), logged("c", "")]
    for one in written:
        journal.add(one)
    assert CallJournal(tmp_path, "b0").load() == written
    assert CallJournal(tmp_path, "b1").load() == []


def test_a_line_that_was_cut_short_is_dropped_and_the_next_one_starts_anew(tmp_path: Path) -> None:
    journal = CallJournal(tmp_path, "b0")
    journal.add(logged("a"))
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole + whole[: len(whole) // 2])
    assert journal.load() == [logged("a")]
    journal.add(logged("b"))
    assert journal.load() == [logged("a"), logged("b")]


def test_a_damaged_line_costs_its_own_call_only_and_the_file_is_kept(tmp_path: Path) -> None:
    journal = CallJournal(tmp_path, "b0")
    journal.add(logged("a"))
    journal.path.write_bytes(damaged := b'{"text": 3}\n' + journal.path.read_bytes())
    assert journal.load() == [logged("a")]
    journal.add(logged("b"))
    assert journal.load() == [logged("a"), logged("b")]
    assert journal.path.with_name("b0.jsonl.damaged").read_bytes() == damaged


def test_each_call_is_in_the_file_at_once_and_a_released_journal_goes_on(tmp_path: Path) -> None:
    journal = CallJournal(tmp_path, "b0")
    for count, name in enumerate("abc", start=1):
        journal.add(logged(name))
        assert journal.path.read_bytes().count(b"\n") == count  # the process may be killed now
        journal.release()
    assert CallJournal(tmp_path, "b0").load() == [logged(name) for name in "abc"]


def test_a_call_that_does_not_fit_on_the_disk_leaves_the_others_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.FileIO):
        def write(self, data: bytes) -> int:  # type: ignore[override]
            return super().write(data[:10])

    journal = CallJournal(tmp_path, "b0")
    journal.add(logged("a"))
    journal.release()
    monkeypatch.setattr(CallJournal, "_opened", lambda self: Full(self.path, "ab"))
    with pytest.raises(StorageFault, match="No space left"):
        journal.add(logged("b"))
    monkeypatch.undo()
    journal.release()
    journal.add(logged("c"))
    assert CallJournal(tmp_path, "b0").load() == [logged("a"), logged("c")]


def test_a_closed_journal_is_gone(tmp_path: Path) -> None:
    journal = CallJournal(tmp_path, "b0")
    journal.add(logged("a"))
    journal.close()
    journal.close()
    assert not journal.path.exists()


def test_replies_are_found_by_their_request_alone(tmp_path: Path) -> None:
    files = KeptReplies(tmp_path)
    files.add(logged("a"))
    assert KeptReplies(tmp_path).find("request-a") == logged("a")
    assert files.find("request-b") is None


def test_files_of_before_thinking_was_told_apart_are_read(tmp_path: Path) -> None:
    files = KeptReplies(tmp_path)
    files.add(logged("a"))
    (path,) = files.folder.rglob("*.json")
    old = json.loads(path.read_text())
    del old["thinking"], old["refusal"]
    path.write_text(json.dumps(old))
    assert files.find("request-a") == logged("a")
    CallJournal(tmp_path, "b0").add(logged("a"))
    line = tmp_path / "journal" / "b0.jsonl"
    line.write_text(json.dumps(old) + "\n")
    assert CallJournal(tmp_path, "b0").load() == [logged("a")]


def test_a_damaged_reply_is_set_aside_and_asked_for_again(tmp_path: Path) -> None:
    files = KeptReplies(tmp_path)
    files.add(logged("a"))
    (path,) = files.folder.rglob("*.json")
    path.write_bytes(path.read_bytes()[:20])
    assert files.find("request-a") is None
    assert [file.name for file in path.parent.iterdir()] == ["request-a.json.damaged"]
    files.add(logged("a"))
    assert files.find("request-a") == logged("a")
