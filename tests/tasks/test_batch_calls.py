"""The calls behind a batch: in its rows, whatever became of its tries."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.schema import FactoryConfig
from environments.base import Task
from models.client.calls import Call, Reply
from storage.records import LlmCallRecord, TaskRecord
from storage.shards import BatchRef
from tasks.batch import Batch, BatchContext
from tasks.batch_calls import calls_of
from tasks.batch_task import BatchTask, batch_task
from tasks.caching import results_of
from tasks.call_log import CurrentCallLog
from tasks.resources.run_resources import RunResources


def call(started: str) -> Call:
    return Call("policy", "d", "d", "h:1", started, 1.0, 1.0, 0, (), 10, 0, 5, "stop", True)


class Asks:
    """A batch body that makes one call a time, under another key, and fails as told."""

    def __init__(self) -> None:
        self.asked = 0
        self.fails = False

    def __call__(self, batch: Batch) -> list[LlmCallRecord]:
        self.asked += 1
        call_log = CurrentCallLog()
        if call_log.find("first") is None:
            call_log.keep("first", Reply("text", 5, "stop"), call(f"try {self.asked}"))
        if self.fails:
            raise RuntimeError("the server is gone")
        return []


def paid(resources: RunResources, ref: BatchRef) -> list[str]:
    [calls] = calls_of(resources.shards, ref)
    return sorted(row.started_at for row in resources.shards.read(calls, LlmCallRecord))


def test_a_failed_try_is_gone_on_with_and_a_redo_adds_to_what_was_paid(
    prefect_api: str, tmp_path: Path
) -> None:
    asks = Asks()
    task = batch_task("toy", version="1", reads=("seed",))(asks)
    config = FactoryConfig(data_dir=tmp_path)
    resources = RunResources(config)
    request = task.request(resources, "all")
    asks.fails = True
    with pytest.raises(RuntimeError, match="is gone"):
        task.run(request, BatchContext(request.refs, resources), "toy 1/1")
    asks.fails = False
    ref, _ = task.run(request, BatchContext(request.refs, RunResources(config)), "toy 1/1")
    assert paid(resources, ref) == ["try 1"]  # answered from the journal, not asked again
    assert not list(tmp_path.glob("journal/*"))
    again, _ = task.run(request, BatchContext(request.refs, RunResources(config), force=True), "toy 1/1")
    assert paid(resources, again) == ["try 1", "try 3"]
    assert again == ref  # what is made of the batch is not outdated by the times of its calls


class Answers:
    """A body of one row and one call a task, each time with another answer."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, batch: Batch) -> list[TaskRecord]:
        return [self._row(batch, task) for task in batch.tasks]

    def _row(self, batch: Batch, task: Task) -> TaskRecord:
        self.made += 1
        CurrentCallLog().keep(
            f"{task.task_id} {self.made}", Reply("text", 5, "stop"), call(f"try {self.made}")
        )
        return TaskRecord(
            task_id=task.task_id, world="w", split="train", task_type="t", instruction=f"answer {self.made}", payload=""
        )  # fmt: skip


TASKS = [Task(f"t{n}", "w", "train", "t", "do", "") for n in range(4)]


def answered(root: Path, task: BatchTask, tasks: list[Task], force: bool = False) -> tuple[list[str], int]:
    """The answers of a batch, and how many calls are behind it."""
    resources = RunResources(FactoryConfig(data_dir=root))
    request = task.request(resources, "all", tasks=tasks)
    ref, _ = task.run(request, BatchContext(request.refs, resources, force), "toy 1/1")
    calls = [
        row for each in calls_of(resources.shards, ref) for row in resources.shards.read(each, LlmCallRecord)
    ]
    return [row.instruction for row in resources.shards.read(ref, TaskRecord)], len(calls)


def test_rows_are_taken_over_by_task_newest_first_with_the_calls_behind_them(
    prefect_api: str, tmp_path: Path
) -> None:
    task = batch_task("toy", version="1", reads=("seed",), each_task=True)(Answers())
    assert answered(tmp_path, task, TASKS) == ([f"answer {n}" for n in (1, 2, 3, 4)], 4)
    assert answered(tmp_path, task, TASKS[:1]) == (["answer 1"], 4)
    assert answered(tmp_path, task, TASKS, force=True) == (
        [f"answer {n}" for n in (5, 6, 7, 8)],
        8,
    )
    assert answered(tmp_path, task, TASKS[:2]) == (["answer 5", "answer 6"], 8)
    for result in results_of(tmp_path).iterdir():
        result.unlink()
    assert answered(tmp_path, task, TASKS[:2]) == (
        ["answer 5", "answer 6"],
        8,
    )  # from its own earlier manifest


def test_where_replies_are_kept_each_batch_has_its_own_calls(prefect_api: str, tmp_path: Path) -> None:
    task = batch_task("kept", version="1", reads=("seed",), each_task=True, replies_kept=True)(Answers())
    assert answered(tmp_path, task, TASKS)[1] == 4
    assert answered(tmp_path, task, TASKS[:1]) == (["answer 5"], 1)


def test_a_damaged_batch_of_calls_does_not_cost_the_batch(prefect_api: str, tmp_path: Path) -> None:
    asks = Asks()
    task = batch_task("toy", version="1", reads=("seed",))(asks)
    config = FactoryConfig(data_dir=tmp_path)
    resources = RunResources(config)
    task.run(task.request(resources, "all"), BatchContext({}, resources), "toy 1/1")
    (shard,) = tmp_path.glob("shards/*/llm_calls-*.parquet")
    shard.write_bytes(shard.read_bytes()[:-9])
    said: list[str] = []
    again = RunResources(config, log=said.append)
    ref, _ = task.run(task.request(again, "all"), BatchContext({}, again, force=True), "toy 1/1")
    assert paid(again, ref) == ["try 2"]
    assert any("earlier calls of" in line and "are lost" in line for line in said)
