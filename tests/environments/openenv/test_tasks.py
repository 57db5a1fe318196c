"""Tasks that a server lists, and seeds where it lists none."""

from __future__ import annotations

import json
from itertools import combinations
from typing import Any

import pytest

from environments.base import SPLITS, EnvironmentFault, Task
from environments.openenv.tasks import Seeds
from environments.openenv.world import OpenEnv
from environments.template.world import World
from tests.support.openenv_servers import served


def test_seeds_extend_and_no_two_splits_share_one() -> None:
    seeds = Seeds("toy")
    drawn = {
        split: [json.loads(task.payload)["seed"] for task in seeds.of(split, 300, 0)] for split in SPLITS
    }
    assert all(len(set(numbers)) == 300 for numbers in drawn.values())
    assert not any(set(one) & set(other) for one, other in combinations(drawn.values(), 2))
    assert seeds.of("seen", 300, 0)[:40] == seeds.of("seen", 40, 0)
    assert seeds.of("seen", 40, 0) != seeds.of("seen", 40, 1)
    assert max(map(max, drawn.values())) < 2**31


class Test(World):
    """It has two splits, and few tasks."""

    __test__ = False

    def splits(self) -> list[str]:
        return ["main", "held"]

    def tasks(self, split: str, count: int, seed: int) -> list[Task]:
        return super().tasks("train" if split == "main" else "seen", min(count, 7), seed)


def test_splits_can_be_renamed_and_training_tasks_are_needed() -> None:
    with served(Test()) as server:
        with pytest.raises(
            EnvironmentFault, match=r"no split is called train; it has main, held: set .*train: main"
        ):
            OpenEnv({"url": server.url})
        with pytest.raises(EnvironmentFault, match="the server has no split 'other'"):
            OpenEnv({"url": server.url, "splits": {"train": "other"}})
        world = OpenEnv({"url": server.url, "splits": {"train": "main", "unseen": "held"}})
        assert list(world.splits()) == ["train", "unseen"]
        assert len(world.tasks("unseen", 7, 0)) == 7
        with pytest.raises(EnvironmentFault, match="8 train tasks were requested, and the server has 7"):
            world.tasks("train", 8, 0)


def test_a_changed_task_has_another_id() -> None:
    class Told(World):
        def tasks(self, split: str, count: int, seed: int) -> list[Task]:
            return [
                Task(task.task_id, instruction=self.said, payload=task.payload)
                for task in super().tasks(split, count, seed)
            ]

    ids: list[Any] = []
    for Told.said in ("Bring it.", "Bring it home."):  # type: ignore[attr-defined]
        with served(Told()) as server:
            [task] = OpenEnv({"url": server.url}).tasks("train", 1, 0)
            assert task.instruction == Told.said  # type: ignore[attr-defined]
            ids.append(task.task_id)
    assert ids[0].split("#")[0] == ids[1].split("#")[0]
    assert ids[0] != ids[1]
