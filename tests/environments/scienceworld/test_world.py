"""Tasks, demonstrations and briefings. Slow: a JVM is started."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from environments.base import EnvironmentFault
from environments.registry import make_world
from environments.scienceworld import gold
from environments.scienceworld.briefing import EXAMPLE
from environments.scienceworld.environment import Variation
from environments.scienceworld.splits import SPLITS, variations
from environments.scienceworld.world import ScienceWorld
from steca.action_formats import REACT
from tests.support.scienceworld_here import needs_simulator

pytestmark = needs_simulator
TYPES = ["find-plant", "power-component", "test-conductivity"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scienceworld")


@pytest.fixture(scope="module")
def world(data: Path) -> Iterator[ScienceWorld]:
    world = make_world("scienceworld", {"data": str(data), "types": TYPES})
    assert isinstance(world, ScienceWorld)
    yield world
    world.close()


def test_tasks_are_the_same_each_time_and_more_extend_fewer(world: ScienceWorld) -> None:
    six = world.tasks("train", 6, seed=0)
    assert [task.task_type for task in six] == TYPES * 2
    assert world.tasks("train", 9, seed=0)[:6] == six
    assert world.tasks("train", 6, seed=1) != six


def test_tasks_say_what_they_are(world: ScienceWorld) -> None:
    for task in world.tasks("unseen", 3, seed=0):
        assert task.instruction.startswith("Your task is to ")
        assert world.environment().reset(task, 0).endswith(f"\n\n{task.instruction}")
        assert task.payload in task.task_id


def test_splits_share_no_task(world: ScienceWorld) -> None:
    ids = [{task.task_id for task in world.tasks(split, 4, seed=0)} for split in SPLITS]
    assert not any(one & other for one, other in itertools.combinations(ids, 2))


def test_too_many_tasks_are_refused(world: ScienceWorld) -> None:
    count = sum(len(variations(task_type, "unseen")) for task_type in TYPES)
    with pytest.raises(
        EnvironmentFault, match=f"{count + 1} unseen tasks .* has {count} of the chosen types"
    ):
        world.tasks("unseen", count + 1, seed=0)


def test_demonstrations_win_within_the_most_steps(world: ScienceWorld) -> None:
    environment = world.environment()
    for task in world.tasks("train", 6, seed=0):
        turns = world.demonstration(task)
        assert turns is not None
        assert len(turns) <= world.step_cap(task)
        environment.reset(task, 0)
        results = [environment.step(turn.action) for turn in turns]
        assert results[-1].done
        assert results[-1].reward == 1.0
        assert not any(result.done for result in results[:-1])
        assert not any(result.observation == "The door is already open." for result in results)


def test_a_demonstration_that_takes_too_many_steps_is_none(world: ScienceWorld) -> None:
    long, short = Variation("identify-life-stages-1", 0), Variation("find-plant", 0)
    tasks = [world.tasks("train", 1, seed=0)[0].__class__("", payload=v.payload) for v in (long, short)]
    assert [world.demonstration(task) is None for task in tasks] == [True, False]


def test_stored_solutions_need_no_java(
    world: ScienceWorld, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = world.tasks("train", 3, seed=0)
    turns = [world.demonstration(task) for task in tasks]
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    again = ScienceWorld({"data": str(data), "types": TYPES})
    assert again.tasks("train", 3, seed=0) == tasks
    assert [again.demonstration(task) for task in tasks] == turns
    with pytest.raises(EnvironmentFault, match="there is no java"):
        again.environment().reset(tasks[0], 0)


def test_half_a_solution_is_made_again(world: ScienceWorld, data: Path) -> None:
    task = world.tasks("train", 1, seed=0)[0]
    turns = world.demonstration(task)
    (file,) = data.rglob(f"{'-'.join(task.payload.split()[:2])}.json")
    whole = file.read_text()
    file.write_text(whole[: len(whole) // 2])
    assert world.demonstration(task) == turns
    assert json.loads(file.read_text()) == json.loads(whole)


def test_making_solutions_is_told(
    world: ScienceWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(gold, "LOG_SECONDS", 0.0)
    with caplog.at_level(logging.INFO):
        world.demonstration(world.tasks("validation", 1, seed=0)[0])
    assert [message for message in caplog.messages if "solutions made in" in message]


def test_the_worked_example_is_in_no_split() -> None:
    assert not any(EXAMPLE.number in variations(EXAMPLE.task_type, split) for split in SPLITS)


def test_the_briefing_has_a_whole_example(world: ScienceWorld) -> None:
    task = world.tasks("train", 3, seed=0)[2]
    text = world.briefing(task, example=True, form=REACT)
    assert text == world.briefing(task, example=True, form=REACT)
    assert len(text) > len(world.briefing(task, example=False, form=REACT)) + 1000
    assert text.count("\nThought: ") == text.count("\nObservation: ") + 1
    assert "No known action matches that input.\n" not in text
    assert " is on. Now the unknown substance" in text
