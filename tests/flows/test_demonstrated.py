"""What `demonstrate` says of expert runs that cannot be used: how many, and why."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from environments.base import EnvironmentFault
from environments.complete import CompleteWorld
from environments.states import attempts
from environments.template.world import World
from flows.faults import StageFault
from flows.work.demonstrated import tell_expert_runs
from rollouts.play import MAX_LOST
from rollouts.rows import of_type
from rollouts.stages.demonstrate import demonstrate
from storage.records import Record, TaskRecord
from tests.support.own_worlds import Bare, Failing, Forgetful, Lazy, Snapping, completed
from tests.support.rollouts_toys import config

RUN = {"conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": "Thought: a\nAction: b"}]}


@dataclass
class Shown:
    """A stage with the rows of one batch; it keeps what it is told to say."""

    world: CompleteWorld
    rows: list[Record]
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.config = config()
        shards = SimpleNamespace(read=lambda ref, kind: of_type(self.rows, kind))
        self.resources = SimpleNamespace(world=self.world, shards=shards)

    def log(self, line: str) -> None:
        self.said.append(line)

    def refuse(self, why: str) -> None:
        raise StageFault(why)

    def tell(self) -> str:
        ref = SimpleNamespace(rows={TaskRecord.table: len(of_type(self.rows, TaskRecord))})
        tell_expert_runs(self, [("demonstrations", ref)])  # type: ignore[arg-type, list-item]
        return self.said[0] if self.said else ""


def told(own: Any, tasks: int, **environment: Any) -> str:
    world = completed(own, **environment)
    return Shown(world, demonstrate(world, world.tasks("train", tasks, 0), config())).tell()


def test_nothing_is_said_of_experts_that_win() -> None:
    assert told(World(), 3) == ""


def test_an_end_is_told_with_its_meaning() -> None:
    assert "ended running (the expert had no further turn)" in told(Lazy(), 12)


def test_runs_that_match_no_task_are_told_with_an_id_of_each(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    file.write_text(
        "\n".join(json.dumps(row) for row in ({"id": "maze-1", **RUN}, {"id": "maze-2", **RUN}, RUN))
    )
    with pytest.raises(StageFault) as refused:
        told(Bare(), 2, demonstrations=file)
    first = World().tasks("train", 1, 0)[0].task_id
    assert (
        f"2 have none (3 recorded runs were read from {file}, and none has the id or payload of a task as its id: "
        f"a run has 'maze-1', a task {first!r}, and 1 without an id, of which none has the first observation of a "
        "task; runs without an id are matched by their first observation)"
    ) in str(refused.value)


def test_some_runs_that_match_are_no_reason_to_explain(tmp_path: Path) -> None:
    task = World().tasks("train", 1, 0)[0]
    file = tmp_path / "runs.jsonl"
    turns = [{"from": "gpt", "value": "Thought: a\nAction: b"}]
    file.write_text(json.dumps({"id": task.task_id, "conversations": turns}))
    with pytest.raises(StageFault, match=r"1 ended running .*, 1 have none\. Mend"):
        told(Bare(), 2, demonstrations=file)


@pytest.mark.parametrize(
    ("own", "advice"),
    [
        (Forgetful(), "draw what is random from reset's seed"),
        (Snapping(aliasing=True), "copy the state in snapshot()"),
    ],
)
def test_a_world_whose_runs_cannot_be_repeated_is_refused(own: Any, advice: str) -> None:
    """Even if some short runs could be, by luck."""
    with pytest.raises(StageFault) as refused:
        told(own, 12)
    assert f"World own is not deterministic: {advice}" in str(refused.value)


def test_a_failed_connection_is_no_missing_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "WAITS", (0.0, 0.0))
    said = told(Failing(at=(1, 2, 3)), 3)
    lost = "of all expert runs, 1 could not be played: the world's connection failed; the same command tries them again"
    assert f"1 have none ({lost})" in said


def test_a_world_that_is_gone_stops_the_stage_also_over_small_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """But one task that is lost again, when only that is played, does not."""
    monkeypatch.setattr(attempts, "WAITS", (0.0, 0.0))
    own = Failing(after=0)
    world = completed(own)
    tasks = world.tasks("train", 9, 0)
    demonstrate(world, tasks[:1], config())
    demonstrate(world, tasks[1:4], config())
    with pytest.raises(
        EnvironmentFault, match=f"lost {MAX_LOST} episodes in a row, the last one: task .* is gone"
    ):
        demonstrate(world, tasks[4:], config())
    assert own.steps == 3 * MAX_LOST


def test_a_problem_names_its_task_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "WAITS", (0.0, 0.0))
    world, lines = completed(Failing(at=(1, 2, 3))), list[str]()
    task, other = world.tasks("train", 2, 0)
    demonstrate(world, [task, other], config(), log=lines.append)
    assert lines[0].startswith(f"expert run not used: task {task.task_id}: action '")
    assert lines[0].count(task.task_id) == 1
    assert "ConnectionError: the server is gone (3 attempts)" in lines[0]
