"""Tasks drawn from the recipes: their lengths, their splits, and that the expert does each of them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from environments.base import EnvironmentFault, Task
from environments.textcraft.drawn import drawn, goal_items
from environments.textcraft.game import game_of
from environments.textcraft.tasks import published, run_in
from environments.textcraft.world import Textcraft
from steca.action_formats import REACT
from steca.types import Step
from tests.support.textcraft_toys import single_goals, use_toys


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy wheel with more goals."""
    return use_toys(tmp_path, monkeypatch, single_goals())


SIZES = {"train": 40, "validation": 5, "unseen": 5}


def world(**options: object) -> Textcraft:
    return Textcraft({"set": "drawn", "min_crafts": 2, "max_crafts": 4, **options})


def goals(tasks: list[Task]) -> set[str]:
    return {goal_items(game_of(task.payload).goal) for task in tasks}


def test_no_two_splits_have_the_same_goal_items_and_none_those_of_a_published_test_task(toys: Path) -> None:
    found = {split: goals(world().tasks(split, size, 0)) for split, size in SIZES.items()}
    found |= {f"{split} again": goals(world().tasks(split, size, 1)) for split, size in SIZES.items()}
    for split, other in (("train", "validation"), ("train", "unseen"), ("validation", "unseen")):
        assert not (found[split] | found[f"{split} again"]) & (found[other] | found[f"{other} again"])
    lines = [json.loads(task.line) for task in published(toys, "classic") if task.split == "unseen"]
    tests = {goal_items(line["misc"]["target_items"]) for line in lines}
    assert tests == {"crate", "ladder", "sack"}
    assert not set.union(*found.values()) & tests


def test_the_published_test_goals_would_be_drawn_if_they_were_not_held_out(
    toys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("environments.textcraft.drawn._test_goals", lambda wheel: frozenset())
    drawn.cache_clear()
    found = {items for split in SIZES for items in goals(world().tasks(split, SIZES[split], 0))}
    drawn.cache_clear()
    assert found & {"crate", "ladder", "sack"}


def test_the_published_test_tasks_are_a_split_of_their_own(toys: Path) -> None:
    drawn_world, classic = world(min_crafts=1), Textcraft()
    found, tests = drawn_world.tasks("published", 6, 0), classic.tasks("unseen", 6, 0)
    assert {task.task_id for task in found} == {task.task_id for task in tests}
    assert {task.split for task in found} == {"published"}
    with pytest.raises(EnvironmentFault, match="7 published tasks were requested, but textcraft has 6"):
        drawn_world.tasks("published", 7, 0)


def test_tasks_are_distinct_deterministic_and_a_larger_count_extends_a_smaller_one(toys: Path) -> None:
    tasks = world().tasks("train", 40, 3)
    assert len({task.task_id for task in tasks}) == 40
    assert world().tasks("train", 15, 3) == tasks[:15]
    drawn.cache_clear()
    assert world().tasks("train", 40, 3) == tasks
    assert world().tasks("train", 40, 4) != tasks


def test_the_number_of_crafts_is_chosen(toys: Path) -> None:
    lengths = Counter(len(run_in(task.payload)) for task in world(min_crafts=1).tasks("train", 60, 0))
    assert lengths.keys() == {1, 2, 3, 4}
    assert min(lengths.values()) >= 8
    assert {len(run_in(task.payload)) for task in world(min_crafts=4).tasks("train", 9, 0)} == {4}
    assert {task.task_type for task in world(min_crafts=1, max_crafts=2).tasks("train", 20, 0)} == {
        "1 craft",
        "2 crafts",
    }


@pytest.mark.parametrize("start", ["holding", "gathering"])
def test_the_expert_does_every_task_with_its_run(toys: Path, start: str) -> None:
    made = world(start=start)
    for split, size in SIZES.items():
        for task in made.tasks(split, size, 0):
            environment, steps, done = made.environment(), list[Step](), False
            first = environment.reset(task, 0)
            while not done and len(steps) < made.step_cap(task):
                turn = environment.expert_turn(first, steps)
                assert turn is not None
                result = environment.step(turn.action)
                steps.append(
                    Step(REACT.text(turn), turn.thought, turn.action, result.observation, True, "expert")
                )
                done = result.done
            assert done
            crafts = [step.action for step in steps if step.action.startswith("craft")]
            assert crafts == run_in(task.payload)
            told = [turn.action for turn in made.demonstration(task) or ()]
            assert [action for action in told if action.startswith("craft")] == crafts


def test_lengths_that_cannot_be_drawn_are_refused(toys: Path) -> None:
    with pytest.raises(EnvironmentFault, match="no other one of 99 crafts"):
        world(min_crafts=99, max_crafts=99).tasks("train", 1, 0)
    with pytest.raises(EnvironmentFault, match="min_crafts is 5 and max_crafts is 4"):
        world(min_crafts=5)
    with pytest.raises(EnvironmentFault, match="levels are those of"):
        world(levels=["easy"])
    assert Textcraft({"min_crafts": 2}).tasks("train", 5, 0)
