"""What a newcomer's world does, and how the checks tell it: lists, lengths, versions, one fault for one bug."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from configs.schema import PolicyConfig
from environments.base import EnvironmentFault, StepResult, Task
from environments.template.world import House, World
from rollouts.play import EpisodeSettings
from rollouts.world_check.check import check_world
from rollouts.world_check.finding import Finding
from rollouts.world_check.printed import printed_elsewhere
from tests.support.own_worlds import Forgetful, Lazy, Snapping, completed
from tests.support.rollouts_toys import config

SETTINGS = EpisodeSettings(config().environment)


def findings(own: Any, tasks: int = 6, **more: Any) -> dict[str, Finding]:
    return {found.check: found for found in check_world(completed(own), SETTINGS, tasks, **more)}


def by_state(own: Any, state: str) -> dict[str, str]:
    return {name: found.found for name, found in findings(own).items() if found.state == state}


class Few(World):
    def tasks(self, split: str, count: int, seed: int) -> list[Task]:
        return super().tasks(split, min(count, 4), seed)


class Refusing(World):
    def tasks(self, split: str, count: int, seed: int) -> list[Task]:
        if count > 4:
            raise EnvironmentFault(f"there are 4 {split} tasks")
        return super().tasks(split, count, seed)


class Twice(World):
    def tasks(self, split: str, count: int, seed: int) -> list[Task]:
        return [task for task in super().tasks(split, count, seed) for _ in range(2)][:count]


def test_fewer_tasks_than_asked_are_a_note() -> None:
    assert by_state(Few(), "note")["tasks: train"] == "6 asked, 4 listed"
    refused = "6 asked, and refused: there are 4 train tasks; 3 are used"
    assert by_state(Refusing(), "note")["tasks: train"] == refused
    assert not by_state(Few(), "fault")
    assert "tasks: train" not in findings(World())


def test_an_id_that_is_listed_twice_is_a_fault() -> None:
    faults = by_state(Twice(), "fault")
    assert set(faults) == {"tasks: train", "tasks: validation", "tasks: seen", "tasks: unseen"}
    assert faults["tasks: train"].startswith("6 asked: two have the id ")
    assert faults["tasks: train"].endswith(" (3 of 3 ids are there twice)")


@pytest.mark.parametrize(
    ("own", "fault"), [(Snapping(aliasing=True), "snapshots"), (Forgetful(), "same answers again")]
)
def test_one_bug_is_one_fault(own: Any, fault: str) -> None:
    assert set(by_state(own, "fault")) == {fault}
    said = by_state(own, "note")["expert"]
    assert said == f"0 of 6 won; 6: the world answered otherwise than before (see {fault})"


class Endless(World):
    def environment(self) -> House:
        return EndlessHouse()


class EndlessHouse(House):
    def step(self, action: str) -> StepResult:
        result = super().step(action)
        return StepResult(result.observation, result.reward, False, result.valid)


def test_a_goal_that_ends_no_episode_is_a_note() -> None:
    said = by_state(Endless(), "note")["reward 1 and done"]
    assert said == "reward 1 and not done in 6 of 6: the episode goes on to the step cap"
    assert "reward 1 and done" not in findings(World())


class Wordy(World):
    def environment(self) -> House:
        return WordyHouse()


class WordyHouse(House):
    def reset(self, task: Task, seed: int) -> str:
        return super().reset(task, seed).replace(" Rooms", " Once upon a time." * 5000 + " Rooms")


def test_a_first_observation_that_fills_the_context_is_a_note() -> None:
    policy = PolicyConfig()
    said = findings(Wordy(), policy=policy)["longest text"]
    assert said.state == "note"
    assert "policy.small.context is 2,048: raise it, or shorten what reset returns" in said.found
    short = findings(World(), policy=policy)["longest text"]
    assert (short.state, short.found.count("characters")) == ("ok", 1)
    base = findings(Wordy(), policy=PolicyConfig(base=Path("model")))["longest text"]
    assert base.state == "ok", "its context is its own"


class Unversioned(World):
    version = ""


def test_a_digest_is_nothing_to_raise() -> None:
    said = findings(Unversioned())["version"].found
    assert said.startswith("source-")
    assert "(the digest of its source files: " in said
    assert "test_newcomers.py" in said or " more)" in said
    assert findings(World())["version"].found == "1 (raise it when results may change)"


def test_each_check_is_named_before_it_runs() -> None:
    told: list[str] = []
    order = [
        (found.check, told[-1])
        for found in check_world(completed(Lazy()), SETTINGS, 2, doing=told.append)
        if told
    ]
    assert ("snapshots", "snapshots") in order
    assert told[0] == "tasks"
    assert told[1].startswith("expert run 1 of 2, task ")


def test_what_is_printed_is_one_note_and_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    def talking(lines: int) -> Iterator[Finding]:
        print("loading\n" * lines, end="")
        yield Finding("tasks", "ok", "")

    with printed_elsewhere() as printed:
        found = []
        for finding in printed.noted(talking(1200)):
            print("shown")
            found.append(finding)
    assert capsys.readouterr().out == "shown\n" * 2
    assert found[1] == Finding(
        "standard output", "note", "prints to standard output: 1,200 lines, e.g. 'loading'"
    )
    with printed_elsewhere() as printed:
        assert [one.check for one in printed.noted(talking(0))] == ["tasks"]
