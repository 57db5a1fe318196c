"""Texts that break files, terminals or readers come out byte by byte as the store has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from formats.rows.examples import Examples
from formats.targets.registry import TARGETS
from formats.writing.part_files import json_line
from storage.columns import to_arrow
from storage.faults import StorageFault
from storage.records import StepRecord
from tests.support.exported_run import HOSTILE, LONG, MadeUp, exported_run
from tests.support.exports import exported, said, written
from tests.support.store_rows import step

EXAMPLES = [name for name, target in TARGETS.items() if issubclass(target.source, Examples)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeUp:
    return exported_run(tmp_path_factory.mktemp("made") / "data")


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_text_comes_out_as_it_went_in(made: MadeUp, tmp_path: Path, name: str) -> None:
    exported(made, tmp_path / "out", name, where="task_id = 't3'")
    [row] = written(tmp_path / "out")
    act, long = (f"Thought: I {text}.\nAction: {text}" for text in (HOSTILE, LONG))
    egg = "Thought: I take egg.\nAction: take egg"
    texts = [text for _, text in said(row)][:6]
    assert texts == ["You are in a room. Your task: t3.", act, HOSTILE, egg, LONG, long]
    if TARGETS[name].form == "jsonl":
        data = next((tmp_path / "out" / "data").iterdir()).read_bytes()
        assert data.count(b"\n") == 1
        assert (
            len(data.decode().splitlines()) == 1
        )  # for readers that take more than \n for the end of a line
        assert not {"\x1b", "\x00", "\u202e"} & set(data.decode())


def test_what_is_no_text_cannot_be_in_a_store() -> None:
    row = StepRecord(**{**step("x", 0).model_dump(), "text": "\ud800"})
    with pytest.raises(StorageFault, match=r"steps\.text holds a value that its column cannot store"):
        to_arrow(StepRecord, [row])


def test_a_line_has_letters_as_they_are() -> None:
    assert json_line({"a": "é😀\u202e\x1b\x7f"}) == '{"a":"é😀\\u202e\\u001b\\u007f"}\n'.encode()
