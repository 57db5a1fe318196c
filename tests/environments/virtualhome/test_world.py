"""The world on the programs of the installed package. The first test plays all of them once (a minute)."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from itertools import combinations
from pathlib import Path

import pytest

from environments import capabilities as can
from environments.base import SPLITS, EnvironmentFault, Task
from environments.general import ungrounded
from environments.virtualhome import catalog as catalogs
from environments.virtualhome.episodes import read_files
from environments.virtualhome.simulator import program_files
from environments.virtualhome.world import Virtualhome
from steca.action_formats import FORMATS, REACT
from steca.types import Step

try:
    MISSING = version("virtualhome_eval") != "0.1.1"
except PackageNotFoundError:
    MISSING = True
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(MISSING, reason="needs pip install --no-deps virtualhome_eval==0.1.1"),
]
SIZES = {"train": 236, "validation": 21, "seen": 22, "unseen": 53}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Virtualhome]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield Virtualhome()


@pytest.fixture(scope="module")
def tasks(world: Virtualhome) -> dict[str, list[Task]]:
    return {split: world.tasks(split, SIZES[split], 0) for split in SPLITS}


def test_splits_share_no_task_and_unseen_titles_are_its_own(tasks: dict[str, list[Task]]) -> None:
    for one, other in combinations(SPLITS, 2):
        assert not {task.payload for task in tasks[one]} & {task.payload for task in tasks[other]}
    titles = {split: {task.task_type for task in found} for split, found in tasks.items()}
    assert not titles["unseen"] & (titles["train"] | titles["validation"] | titles["seen"])
    assert titles["seen"] <= titles["train"]


def test_listing_is_deterministic_and_too_many_are_refused(
    world: Virtualhome, tasks: dict[str, list[Task]]
) -> None:
    assert world.tasks("train", 5, 0) == tasks["train"][:5]
    assert world.tasks("train", 5, 1) != tasks["train"][:5]
    with pytest.raises(EnvironmentFault, match="54 unseen tasks were requested, but virtualhome has 53"):
        world.tasks("unseen", 54, 0)
    with pytest.raises(EnvironmentFault, match="no split 'test'"):
        world.tasks("test", 1, 0)


def test_trivial_goals_are_counted(world: Virtualhome) -> None:
    first, *_ = world.remarks()
    assert first.startswith("185 of 518 programs are left out: they change nothing but the agent")


def test_the_vocabulary_has_kinds_and_the_names_that_most_homes_have(world: Virtualhome) -> None:
    words = world.vocabulary()
    assert {"bed 105", "dining room 201", "dishwasher", "address book"} <= set(words)
    assert "address book 1000" not in words
    assert len(words) == len(set(words)) == 518


def test_every_demonstration_reaches_its_goal_and_its_thoughts_are_grounded(
    world: Virtualhome, tasks: dict[str, list[Task]]
) -> None:
    environment = world.environment()
    for task in random.Random(0).sample([task for found in tasks.values() for task in found], 40):
        first, steps = environment.reset(task, 0), list[Step]()
        assert environment.progress() < 1.0
        for turn in world.demonstration(task):
            assert ungrounded(first, task.instruction, steps, turn.action, turn.thought) == []
            result = environment.step(turn.action)
            assert result.valid
            steps.append(
                Step(REACT.text(turn), turn.thought, turn.action, result.observation, result.valid, "expert")
            )
            assert result.done == (len(steps) == len(world.demonstration(task)))
        assert (result.reward, environment.progress()) == (1.0, 1.0)


def test_snapshots_are_not_changed_by_later_steps(world: Virtualhome, tasks: dict[str, list[Task]]) -> None:
    environment, other = world.environment(), world.environment()
    assert isinstance(environment, can.Snapshots)
    task = next(task for task in tasks["train"] if task.task_type == "Wash dishes with dishwasher")
    environment.reset(task, 0)
    actions = [turn.action for turn in world.demonstration(task)]
    kept = environment.snapshot()
    answers = [environment.step(action) for action in actions]
    for fresh in (environment, other):
        fresh.restore(kept)
        assert [fresh.step(action) for action in actions] == answers
    with pytest.raises(TypeError, match="not str"):
        environment.restore("state")


@pytest.mark.parametrize(
    "action", ["", "dance", "grab unicorn 7", "walk to cup 105", "open bed 105", "greet character 65"]
)
def test_what_makes_no_sense_changes_nothing(
    world: Virtualhome, tasks: dict[str, list[Task]], action: str
) -> None:
    environment = world.environment()
    environment.reset(tasks["train"][0], 0)
    before = environment.snapshot()
    result = environment.step(action)
    assert (result.observation, result.valid, result.reward) == ("Nothing happens.", False, 0.0)
    assert environment.snapshot() == before
    assert environment.step("walk to bed 105").valid


def test_what_is_in_something_closed_is_not_told(world: Virtualhome, tasks: dict[str, list[Task]]) -> None:
    task = next(task for task in tasks["train"] if "911_1" in task.task_id)
    environment = world.environment()
    first = environment.reset(task, 0)
    assert "dishwasher 1000" in first
    assert "plate 1002" not in first
    assert "plate 1002" not in environment.step("find dishwasher 1000").observation
    assert "plate 1002 (in dishwasher 1000)" in environment.step("open dishwasher 1000").observation


def test_a_task_of_other_files_is_refused(world: Virtualhome, tasks: dict[str, list[Task]]) -> None:
    task = tasks["train"][0]
    changed = json.dumps({**json.loads(task.payload), "digest": "0" * 16})
    with pytest.raises(EnvironmentFault, match="is not the one of the task"):
        world.environment().reset(replace(task, payload=changed), 0)
    with pytest.raises(EnvironmentFault, match="no payload"):
        world.environment().reset(replace(task, payload="{}"), 0)


def test_programs_that_are_refused_or_miss_their_goal_are_left_out(tasks: dict[str, list[Task]]) -> None:
    name = json.loads(next(task for task in tasks["train"] if "911_1" in task.task_id).payload)["program"]
    program, graphs = read_files(name)
    lines = program.decode().splitlines()
    assert catalogs.examine(name, program, graphs)[0].outcome == "task"
    short = "\n".join(lines[:7]).encode()
    assert catalogs.examine(name, short, graphs)[0].outcome == "missed"
    wrong = "\n".join([*lines[:2], "[GRAB] <bed> (1.105)", *lines[2:]]).encode()
    refused = catalogs.examine(name, wrong, graphs)[0]
    assert (refused.outcome, refused.detail) == ("refused", "'grab bed 105', command 1")


def test_the_catalog_is_kept_and_a_damaged_one_is_made_again(
    world: Virtualhome, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    two = [path.stem for path in program_files()[:2]]
    monkeypatch.setattr(catalogs, "program_files", lambda: program_files()[:2])
    make = catalogs.catalog.__wrapped__
    made = make()
    assert [entry.name for entry in made.entries] == two
    (kept,) = (tmp_path / "steca").iterdir()
    with monkeypatch.context() as kept_only:
        kept_only.setattr(catalogs, "make_catalog", lambda programs: pytest.fail("it was made again"))
        assert make() == made
        kept.write_text('{"entries": 3}')
        with pytest.raises(EnvironmentFault, match="delete it"):
            make()
    kept.write_text("{")
    assert make() == made
    assert f"{kept}: cannot be read (JSONDecodeError); it is made again" in caplog.text


def test_the_briefing_has_an_example_of_no_split(world: Virtualhome, tasks: dict[str, list[Task]]) -> None:
    form = FORMATS["react"]
    rules, full = (world.briefing(tasks["train"][0], example, form) for example in (False, True))
    assert full.startswith(rules)
    assert full.count("\nAction: ") == rules.count("\nAction: ") + 6
    example = world.remarks()[-1].split()[2]
    assert all(f"/{example}#" not in task.task_id for found in tasks.values() for task in found)
