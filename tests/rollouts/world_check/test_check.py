"""The checks of a world: a good one passes all, and each kind of fault is found by its check, in one line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest

from environments.base import StepResult, Task
from environments.states import attempts
from environments.template.world import House, World
from rollouts.play import EpisodeSettings
from rollouts.world_check.check import check_world
from rollouts.world_check.finding import Finding
from steca.types import Step, Turn
from tests.support.own_worlds import (
    Bare,
    Failing,
    Forgetful,
    Generous,
    Lazy,
    Mixing,
    Sharing,
    Snapping,
    completed,
)
from tests.support.rollouts_toys import config, world

SETTINGS = EpisodeSettings(config().environment)


def findings(own: Any, tasks: int = 6) -> dict[str, Finding]:
    return {found.check: found for found in check_world(completed(own), SETTINGS, tasks)}


def faults(own: Any) -> dict[str, str]:
    return {name: found.found for name, found in findings(own).items() if found.state == "fault"}


@pytest.mark.parametrize("own", [World(), Snapping()])
def test_a_good_world_has_no_fault(own: Any) -> None:
    assert faults(own) == {}


def test_the_built_in_world_passes_every_check() -> None:
    found = list(check_world(world(), SETTINGS, 6))
    assert {one.state for one in found} == {"ok"}
    assert len(found) == 14


class Overlapping(World):
    def tasks(self, split: str, count: int, seed: int) -> list[Task]:
        return super().tasks("train" if split == "seen" else split, count, seed)


class Unsteady(World):
    listed = 0

    def tasks(self, split: str, count: int, seed: int) -> list[Task]:
        self.listed += 1
        return super().tasks(split, count, seed + self.listed)


class Accepting(World):
    def environment(self) -> House:
        return AcceptingHouse()


class AcceptingHouse(House):
    """Nonsense reaches the goal."""

    def step(self, action: str) -> StepResult:
        return super().step(action) if action else StepResult("Done.", 1.0, done=True)


class Boasting(World):
    def environment(self) -> House:
        return BoastingHouse()


class BoastingHouse(House):
    """It lists what it does not accept, is near its goal at all times, and plans nowhere."""

    def admissible_actions(self) -> list[str]:
        return ["fly"]

    def progress(self) -> float:
        return 1.0

    def plan_repair(self) -> list[Turn]:
        return [Turn("So.", "enter attic")]


class Clairvoyant(World):
    def environment(self) -> House:
        return ClairvoyantHouse()


class ClairvoyantHouse(House):
    def expert_turn(self, first_observation: str, steps: Sequence[Step]) -> Turn | None:
        turn = super().expert_turn(first_observation, steps)
        return turn and Turn("I heard 'a parcel fell down'.", turn.action)


@pytest.mark.parametrize(
    ("own", "check", "told"),
    [
        (Overlapping(), "tasks: splits disjoint", "train and seen share task"),
        (Unsteady(), "tasks: same again", "gives other tasks the second time"),
        (Mixing(), "environments independent", "with another environment playing beside it: step"),
        (
            Sharing(),
            "start",
            "environment() gave a House that it gave before, and episodes are played beside",
        ),
        (Snapping(aliasing=True), "snapshots", "copy the state in snapshot() and in restore()"),
        (Forgetful(), "same answers again", "was answered"),
        (Accepting(), "nonsense answered", "'' reached the goal"),
        (Boasting(), "admissible actions", "'fly' is listed and has no effect"),
        (
            Boasting(),
            "rewards and progress",
            "progress 1 at reward 0: it must be 1 exactly where the reward is 1",
        ),
        (Boasting(), "planner", "0 of 6 plans from the middle of a run reach the goal"),
        (Bare(), "expert", "none: no expert_turn, no demonstration"),
    ],
)
def test_a_fault_is_found_by_its_check(own: Any, check: str, told: str) -> None:
    found = faults(own)
    assert told in found[check]
    assert all("\n" not in line for line in found.values())


def test_an_expert_that_fails_is_counted() -> None:
    found = findings(Lazy(), tasks=12)["expert"]
    assert found.state == "note"
    assert re.match(r"\d of 12 won; \d: the expert had no further turn; e.g. task ", found.found)


def test_a_reward_of_points_is_told_and_ends_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    [fault] = faults(Generous()).values()
    assert "gave the reward 100, outside [0, 1]: scale it (1 is success)" in fault


def test_a_connection_that_fails_is_a_finding_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "WAITS", (0.0, 0.0))
    own = Failing(after=60)
    told = faults(own)
    assert told
    assert all("ConnectionError: the server is gone" in line for line in told.values())


def test_a_thought_is_a_fault_by_the_world_s_own_check_only() -> None:
    """The general check may be wrong: no run depends on it unless a language model reflects."""

    class Strict(Clairvoyant):
        def ungrounded(self, *told: Any) -> list[str]:
            return ["a parcel"] if "parcel" in told[-1] else []

    found = findings(Clairvoyant())["thoughts grounded"]
    assert found.state == "note"
    assert (
        "names 'a parcel fell down', which was not seen before (the general check: if it is wrong"
        in found.found
    )
    assert (
        "names 'a parcel', which was not seen before (its own check)" in faults(Strict())["thoughts grounded"]
    )


def test_what_the_world_remarks_is_shown() -> None:
    class Remarking(World):
        def remarks(self) -> list[str]:
            return ["3 houses are left out"]

    assert findings(Remarking())["remarks"].found == "3 houses are left out"
    assert "remarks" not in findings(World())
