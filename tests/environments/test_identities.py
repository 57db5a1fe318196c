"""The ids of tasks cover what the tasks say, and an author's methods see the author's own ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from environments.base import EnvironmentFault, StepResult, Task
from environments.identities import as_listed, own_id, shared
from environments.template.world import World
from flows.work.planning import planned
from tests.support.own_worlds import completed
from tests.support.rollouts_toys import world as alfworld
from tests.support.tiny_factory import tiny


class Numbered:
    """Tasks 0, 1, ... with these fields. Its environments answer with the id that they are given."""

    def __init__(self, name: str = "numbers", **fields: str) -> None:
        self.name, self.fields = name, fields

    def tasks(self, split: str, count: int, seed: int) -> list[Task]:
        return [Task(f"{split}-{number}", **self.fields) for number in range(count)]

    def environment(self) -> Numbered:
        return self

    def reset(self, task: Task, seed: int) -> str:
        return task.task_id

    def step(self, action: str) -> StepResult:
        return StepResult("", 1.0, True)


def first(own: Any) -> Task:
    task: Task = completed(own).tasks("train", 1, 0)[0]
    return task


def test_a_task_that_says_something_else_has_another_id() -> None:
    task = first(Numbered())
    assert task == first(Numbered())
    assert (task.task_id.partition("#")[0], own_id(task)) == ("train-0", "train-0")
    others = [
        Numbered(name="others"), Numbered(task_type="long"), Numbered(instruction="go"), Numbered(payload="x"),
    ]  # fmt: skip
    assert len({task.task_id, *(first(own).task_id for own in others)}) == 5


def test_the_author_sees_the_ids_that_were_listed() -> None:
    world = completed(Numbered())
    task = world.tasks("train", 1, 0)[0]
    assert world.begin(task)[0] == "train-0"
    assert as_listed(task) == Task("train-0", "numbers", "train")
    plain = Task("a#b")
    assert as_listed(plain) is plain, "an id with a mark of its own stays"


def test_ids_that_cover_the_data_stay() -> None:
    world = alfworld()
    assert [task.task_id for task in world.tasks("train", 3, 0)] == [
        t.task_id for t in world.own.tasks("train", 3, 0)
    ]


def test_parts_that_share_a_task_are_found_by_id_and_by_data() -> None:
    one, other, twin = Task("a", payload="x"), Task("b", payload="y"), Task("c", payload="x")
    assert shared([("train", [one]), ("seen", [other])]) is None
    assert shared([("train", [one, twin])]) is None, "within a part that is no leak"
    assert shared([("train", [one]), ("seen", [other, one])]) == ("train", "seen", "a")
    assert shared([("train", [one]), ("seen", [other]), ("unseen", [twin])]) == ("train", "unseen", "c")
    assert shared([("train", [Task("a")]), ("seen", [Task("b")])]) is None, "no data, no twins"
    assert shared([("train", [one]), ("seen", [Task("x", payload="z")])]) is None, "an id is no payload"
    numbered = (
        completed(Numbered(payload="0")).tasks("train", 1, 0),
        completed(Numbered(payload="1")).tasks("train", 1, 0),
    )
    assert shared([("train", numbered[0]), ("seen", numbered[1])]) is None, "one name for two tasks"


def test_a_run_refuses_splits_that_share_a_task() -> None:
    class Leaking(World):
        def tasks(self, split: str, count: int, seed: int) -> list[Task]:
            return super().tasks("train", count, seed)

    config = tiny(Path("data"))
    assert planned(completed(World()), config)
    with pytest.raises(
        EnvironmentFault, match=r"splits train and seen share task '.*': give every split tasks of"
    ):
        planned(completed(Leaking()), config)


@pytest.mark.parametrize("listed", [None, "a", [Task("a"), "b"], [Task("")]])
def test_what_is_no_list_of_tasks_is_told(listed: Any) -> None:
    class Odd(World):
        def tasks(self, split: str, count: int, seed: int) -> Any:
            return listed

    with pytest.raises(
        EnvironmentFault, match=r"world own: (tasks\('train', .* must |a train task has the id '')"
    ):
        completed(Odd()).tasks("train", len(listed or ""), 0)
