"""What a lost connection costs is no result: the next attempt plays it again, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from configs.schema import FactoryConfig
from environments.base import EnvironmentFault, StepResult, Task
from environments.states import attempts
from environments.template.world import House, World
from rollouts.rows import of_type
from storage.records import TrajectoryRecord
from storage.shards import BatchRef
from tasks.batch import BatchContext
from tasks.caching import Result
from tasks.resources.run_resources import RunResources
from tasks.stage_tasks import demonstrate_batch
from tests.support.own_worlds import completed

WORLD = f"{Path(__file__)}:Flaky"


class Flaky(World):
    """Its connection fails in the tasks that the file `down` names."""

    connection_options = ("down",)
    version = "1"

    def __init__(self, options: dict[str, Any]) -> None:
        self.down = Path(options["down"])

    def environment(self) -> House:
        return FlakyHouse(self.down)


class FlakyHouse(House):
    def __init__(self, down: Path) -> None:
        self._down = down

    def reset(self, task: Task, seed: int) -> str:
        self._task = task
        return super().reset(task, seed)

    def step(self, action: str) -> StepResult:
        if self._task.task_id in self._down.read_text().split("\n"):
            raise ConnectionError("the server is gone")
        with self._down.with_suffix(".played").open("a") as played:
            played.write(f"{self._task.task_id}\n")
        return super().step(action)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "WAITS", (0.0, 0.0))


def resources(folder: Path, down: str = "down.txt", **options: Any) -> RunResources:
    settings = {"name": WORLD, "options": {"down": str(folder / down), **options}}
    return RunResources(FactoryConfig.model_validate({"environment": settings, "data_dir": str(folder)}))


def demonstrated(opened: RunResources) -> tuple[Result, list[TrajectoryRecord]]:
    request = demonstrate_batch.request(opened, "all", tasks=opened.world.tasks("train", 3, 0))
    result = demonstrate_batch.task.fn(request.inputs, BatchContext(request.refs, opened, False))
    return result, of_type(opened.shards.read_batch(BatchRef.model_validate(result["ref"])), TrajectoryRecord)


def test_only_what_was_lost_is_played_again(tmp_path: Path) -> None:
    down, played = tmp_path / "down.txt", tmp_path / "down.played"
    down.write_text(World().tasks("train", 3, 0)[1].task_id)
    first, runs = demonstrated(resources(tmp_path))
    assert (first["cut"], len(runs)) == ("1 task lost episodes", 2)
    down.write_text("")
    played.write_text("")
    again, runs = demonstrated(resources(tmp_path))
    assert (again["cut"], len(runs)) == (None, 3)
    assert set(played.read_text().split()) == {World().tasks("train", 3, 0)[1].task_id}
    played.write_text("")
    demonstrated(resources(tmp_path))
    assert played.read_text() == ""


def test_where_the_world_is_does_not_enter_keys(tmp_path: Path) -> None:
    def inputs(**options: Any) -> Any:
        return demonstrate_batch.request(resources(tmp_path, **options), "all").inputs

    assert inputs() == inputs(down="elsewhere.txt")
    assert inputs() != inputs(rooms=4)  # an option of another kind does


def test_options_of_the_connection_are_names() -> None:
    """Not one text, whose letters would be names."""

    class Wrong(World):
        connection_options = "url"

    with pytest.raises(EnvironmentFault, match="connection_options is 'url': give names of options"):
        completed(Wrong())
