"""Replies by content: journals of batches in work, and replies for every run."""

from __future__ import annotations

import json
from pathlib import Path

from storage.replies import BookedCall, Journal, ReplyFiles
from tests.support.store_rows import llm_call


def booked(name: str, text: str | None = "Thought: ä\nAction: look") -> BookedCall:
    return BookedCall(text=text, call=llm_call(name))


def test_a_journal_gives_back_what_was_added_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "b0")
    assert journal.load() == []
    written = [booked("a"), booked("b", None), booked("c", "")]
    for one in written:
        journal.add(one)
    assert Journal(tmp_path, "b0").load() == written
    assert Journal(tmp_path, "b1").load() == []


def test_a_line_that_was_cut_short_is_dropped_and_the_next_one_starts_anew(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "b0")
    journal.add(booked("a"))
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole + whole[: len(whole) // 2])
    assert journal.load() == [booked("a")]
    journal.add(booked("b"))
    assert journal.load() == [booked("a"), booked("b")]


def test_a_damaged_line_costs_its_own_call_only_and_the_file_is_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "b0")
    journal.add(booked("a"))
    journal.path.write_bytes(damaged := b'{"text": 3}\n' + journal.path.read_bytes())
    assert journal.load() == [booked("a")]
    journal.add(booked("b"))
    assert journal.load() == [booked("a"), booked("b")]
    assert journal.path.with_name("b0.jsonl.damaged").read_bytes() == damaged


def test_a_closed_journal_is_gone(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "b0")
    journal.add(booked("a"))
    journal.close()
    journal.close()
    assert not journal.path.exists()


def test_replies_are_found_by_their_request_alone(tmp_path: Path) -> None:
    files = ReplyFiles(tmp_path)
    files.add(booked("a"))
    assert ReplyFiles(tmp_path).find("request-a") == booked("a")
    assert files.find("request-b") is None


def test_files_of_before_thinking_was_told_apart_are_read(tmp_path: Path) -> None:
    files = ReplyFiles(tmp_path)
    files.add(booked("a"))
    (path,) = files.folder.rglob("*.json")
    old = json.loads(path.read_text())
    del old["thinking"], old["refusal"]
    path.write_text(json.dumps(old))
    assert files.find("request-a") == booked("a")
    Journal(tmp_path, "b0").add(booked("a"))
    line = tmp_path / "journal" / "b0.jsonl"
    line.write_text(json.dumps(old) + "\n")
    assert Journal(tmp_path, "b0").load() == [booked("a")]


def test_a_damaged_reply_is_set_aside_and_asked_for_again(tmp_path: Path) -> None:
    files = ReplyFiles(tmp_path)
    files.add(booked("a"))
    (path,) = files.folder.rglob("*.json")
    path.write_bytes(path.read_bytes()[:20])
    assert files.find("request-a") is None
    assert [file.name for file in path.parent.iterdir()] == ["request-a.json.damaged"]
    files.add(booked("a"))
    assert files.find("request-a") == booked("a")
