"""The calls behind a batch: in its rows, whatever became of its tries."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.schema import FactoryConfig
from models.calls import Call, Reply
from storage.records import LlmCallRecord
from storage.shards import BatchRef
from tasks.batch import Batch, batch_task
from tasks.calls import calls_of
from tasks.workplace import Workplace


def call(started: str) -> Call:
    return Call("policy", "d", "d", "h:1", started, 1.0, 1.0, 0, (), 10, 0, 5, "stop", True)


class Asks:
    """A batch body that makes one call a time, under another key, and fails as told."""

    def __init__(self) -> None:
        self.asked = 0
        self.fails = False

    def __call__(self, batch: Batch) -> list[LlmCallRecord]:
        self.asked += 1
        book = batch.work.ledger
        if book.find("first") is None:
            book.keep("first", Reply("text", 5, "stop"), call(f"try {self.asked}"))
        if self.fails:
            raise RuntimeError("the server is gone")
        return []


def paid(work: Workplace, ref: BatchRef) -> list[str]:
    [calls] = calls_of(work.shards, ref)
    return sorted(row.started_at for row in work.shards.read(calls, LlmCallRecord))


def test_a_failed_try_is_gone_on_with_and_a_redo_adds_to_what_was_paid(
    prefect_api: str, tmp_path: Path
) -> None:
    asks = Asks()
    task = batch_task("toy", version="1", reads=("seed",))(asks)
    config = FactoryConfig(data_dir=tmp_path)
    work = Workplace(config)
    request = task.request(work, "all")
    asks.fails = True
    with pytest.raises(RuntimeError, match="is gone"):
        task.run(request, work, force=False)
    asks.fails = False
    ref, _ = task.run(request, Workplace(config), force=False)
    assert paid(work, ref) == ["try 1"]  # answered from the journal, not asked again
    assert not list(tmp_path.glob("journal/*"))
    again, _ = task.run(request, Workplace(config), force=True)
    assert paid(work, again) == ["try 1", "try 3"]
    assert again == ref  # what is made of the batch is not outdated by the times of its calls
