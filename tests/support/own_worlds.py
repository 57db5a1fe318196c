"""Worlds as users write them: the template, whole and broken in one way each."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from configs.environment import EnvironmentConfig
from environments.base import StepResult, Task
from environments.complete import CompleteWorld
from environments.template.world import House, World
from steca.types import Step, Turn


def completed(own: Any, **settings: Any) -> CompleteWorld:
    return CompleteWorld(own, EnvironmentConfig(name="own", **settings))


def expert_actions(task: Task) -> list[str]:
    """What the template's expert does in a task."""
    house, steps, actions = House(), list[Step](), list[str]()
    first = house.reset(task, 0)
    while turn := house.expert_turn(first, steps):
        result = house.step(turn.action)
        steps.append(Step("", turn.thought, turn.action, result.observation, result.valid, "expert"))
        actions.append(turn.action)
        if result.done:
            break
    return actions


class Counted(World):
    """The template's world with few live environments; it knows what it has made."""

    def __init__(self, live: int = 512) -> None:
        self.live_environments = live
        self.made: list[CountedHouse] = []

    def environment(self) -> CountedHouse:
        self.made.append(CountedHouse())
        return self.made[-1]


class CountedHouse(House):
    closed = False

    def close(self) -> None:
        self.closed = True


class Failing(World):
    """Its connections fail at the given steps, counted over all environments. `fails` says from then on."""

    def __init__(self, at: Sequence[int] = (), after: int | None = None) -> None:
        self.at, self.after, self.steps = at, after, 0
        self.made: list[FailingHouse] = []

    def environment(self) -> FailingHouse:
        self.made.append(FailingHouse(self))
        return self.made[-1]


class FailingHouse(CountedHouse):
    def __init__(self, world: Failing) -> None:
        self.world = world

    def step(self, action: str) -> StepResult:
        self.world.steps += 1
        gone = self.world.after is not None and self.world.after < self.world.steps
        if self.world.steps in self.world.at or gone:
            raise ConnectionError("the server is gone")
        return super().step(action)


class Sharing(World):
    """One house for all."""

    def __init__(self) -> None:
        self.house = House()

    def environment(self) -> House:
        return self.house


class Mixing(World):
    """Each has a house of its own, and all houses keep their state in one place."""

    def environment(self) -> House:
        return MixingHouse()


class MixingHouse(House):
    _everything: ClassVar[dict[str, Any]] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        self._everything[name] = value

    def __getattr__(self, name: str) -> Any:
        try:
            return self._everything[name]
        except KeyError:
            raise AttributeError(name) from None


class Snapping(World):
    """With snapshots: right, or aliasing, as people write them at first."""

    def __init__(self, aliasing: bool = False) -> None:
        self.aliasing = aliasing

    def environment(self) -> House:
        return AliasingHouse() if self.aliasing else SnappingHouse()


class SnappingHouse(House):
    def snapshot(self) -> object:
        return dict(self.__dict__)

    def restore(self, snapshot: object) -> None:
        assert isinstance(snapshot, dict)
        self.__dict__.update(snapshot)


class AliasingHouse(House):
    def snapshot(self) -> object:
        return self.__dict__

    def restore(self, snapshot: object) -> None:
        self.__dict__ = snapshot  # type: ignore[assignment]


class Forgetful(World):
    """Its answers depend on how often it was asked."""

    def environment(self) -> House:
        return ForgetfulHouse()


class ForgetfulHouse(House):
    asked = 0

    def step(self, action: str) -> StepResult:
        ForgetfulHouse.asked += 1
        result = super().step(action)
        clock = f" It is {ForgetfulHouse.asked} o'clock." * action.startswith("enter")
        return StepResult(result.observation + clock, result.reward, result.done, result.valid)


class Generous(World):
    """It pays 100 points for the goal."""

    def environment(self) -> House:
        return GenerousHouse()


class GenerousHouse(House):
    def step(self, action: str) -> StepResult:
        result = super().step(action)
        return StepResult(result.observation, result.reward * 100, result.done, result.valid)


class Lazy(World):
    """Its expert stops before the goal in houses whose goal is in the first half of the alphabet."""

    def environment(self) -> House:
        return LazyHouse()


class LazyHouse(House):
    def expert_turn(self, first_observation: str, steps: Sequence[Step]) -> Turn | None:
        turn = super().expert_turn(first_observation, steps)
        return None if turn and turn.action == "drop parcel" and self.goal < "i" else turn


class Bare:
    """reset and step, and nothing else."""

    def tasks(self, split: str, count: int, seed: int) -> list[Task]:
        return World().tasks(split, count, seed)

    def environment(self) -> BareHouse:
        return BareHouse()


class BareHouse:
    def reset(self, task: Task, seed: int) -> str:
        self._house = House()
        return self._house.reset(task, seed)

    def step(self, action: str) -> StepResult:
        return self._house.step(action)


@contextmanager
def in_folder_with_a_world(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in a folder outside of the project, with the template world as a module `name`. Modules and search path are
    left as they were."""
    before, path = set(sys.modules), list(sys.path)
    (folder / f"{name}.py").write_text(Path(sys.modules[World.__module__].__file__ or "").read_text())
    monkeypatch.chdir(folder)
    yield
    sys.path[:] = path
    for added in set(sys.modules) - before:
        if name in added:
            del sys.modules[added]
