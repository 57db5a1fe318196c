"""Our server, played by our adapter, gives what the world itself gives."""

from __future__ import annotations

import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from environments.base import StepResult, Task
from environments.openenv.world import OpenEnv
from environments.registry import make_world
from environments.template.world import ROOMS, House, World
from tests.support.openenv_servers import Running, served
from tests.support.own_worlds import completed, expert_actions

TASKS = 15


class Scored(World):
    """Its scores are no round numbers, and go down too; the seed is part of what it says."""

    def environment(self) -> House:
        return ScoredHouse()


class ScoredHouse(House):
    def reset(self, task: Task, seed: int) -> str:
        self.draw = random.Random(task.task_id)
        return f"{super().reset(task, seed)} Seed {seed}. \n\tBring ä “parcel” ☂."

    def step(self, action: str) -> StepResult:
        result = super().step(action)
        return StepResult(
            f"{result.observation} \u2028 {action}", self.draw.random() / 3, result.done, result.valid
        )


def adapter(server: Running, **options: Any) -> OpenEnv:
    return OpenEnv({"url": server.url, **options})


def actions_of(task: Task) -> list[str]:
    """The expert's actions with some that have no effect among them."""
    actions = expert_actions(task)
    return [*actions[:-1], "", "jump \u00fc\u2028", *actions[-1:]]


def played(environment: Any, task: Task, actions: list[str], seed: int) -> list[Any]:
    return [environment.reset(task, seed), *(environment.step(action) for action in actions)]


@pytest.mark.parametrize("own", [World(), Scored()])
def test_every_answer_is_the_same(own: Any) -> None:
    with served(own, TASKS) as server:
        world = adapter(server)
        there, here = world.environment(), own.environment()
        for split in world.splits():
            local = own.tasks(split, TASKS, 0)
            for task in world.tasks(split, 5, 3):
                mine = local[json.loads(task.payload)["index"]]
                assert mine.task_id in task.task_id
                actions = actions_of(mine)
                assert played(there, task, actions, 7) == played(here, mine, actions, 7)
        there.close()


def test_the_splits_and_their_tasks_are_those_of_the_world() -> None:
    with served(World(), TASKS) as server:
        world = adapter(server)
        assert world.splits() == ["train", "validation", "seen", "unseen"]
        ids = [task.task_id for task in world.tasks("seen", TASKS, 0)]
        assert len(set(ids)) == TASKS
        assert ids[:4] == [task.task_id for task in world.tasks("seen", 4, 0)]
        assert ids != [task.task_id for task in world.tasks("seen", TASKS, 1)]
        assert (world.live_environments, world.blocking) == (64, True)
        assert world.version.startswith("own 1 ")


def test_sessions_do_not_mix() -> None:
    with served(Scored(), TASKS) as server:
        world = adapter(server)

        def work(task: Task) -> list[Any]:
            environment = world.environment()
            try:
                return played(environment, task, [f"enter {room}" for room in ROOMS] * 3, 0)
            finally:
                environment.close()

        tasks = world.tasks("train", TASKS, 0)
        alone = [work(task) for task in tasks]
        with ThreadPoolExecutor(TASKS) as threads:
            assert list(threads.map(work, tasks)) == alone
        assert len({str(one) for one in alone}) == TASKS


class Meeting(World):
    """Its steps wait for each other, in two environments."""

    def __init__(self, blocking: bool) -> None:
        self.blocking, self.both = blocking, threading.Barrier(2)

    def environment(self) -> House:
        return MeetingHouse(self)


class MeetingHouse(House):
    def __init__(self, world: Meeting) -> None:
        self.world = world

    def step(self, action: str) -> StepResult:
        self.world.both.wait(5 if self.world.blocking else 0.1)
        return super().step(action)


@pytest.mark.parametrize("blocking", [True, False])
def test_a_blocking_world_is_stepped_in_threads_and_another_is_not(blocking: bool) -> None:
    with served(Meeting(blocking)) as server, ThreadPoolExecutor(2) as threads:
        world = adapter(server)
        environments = [world.environment() for _ in range(2)]
        for environment in environments:
            environment.reset(world.tasks("train", 1, 0)[0], 0)
        met = [threads.submit(environment.step, "look") for environment in environments]
        assert [one.exception() is None for one in met] == [blocking] * 2


def test_states_branch_by_replay() -> None:
    with served(Scored(), TASKS) as server:
        world = completed(adapter(server, live_environments=2))
        try:
            task = world.tasks("train", 1, 0)[0]
            _, start = world.begin(task)
            _, middle = world.advance(start, "enter hall")
            once = world.advance(middle, "enter attic")[0]
            assert world.advance(start, "enter attic")[0] != once
            assert world.advance(middle, "enter attic")[0] == once
        finally:
            world.close()


def test_it_is_a_built_in_world_and_its_version_notices_what_changes() -> None:
    class Newer(World):
        version = "2"

    with served(World(), TASKS) as one, served(Newer(), TASKS) as other:
        world: Any = make_world("openenv", {"url": one.url})
        assert isinstance(world, OpenEnv)
        versions = {
            adapter(one).version,
            adapter(other).version,
            adapter(one, reward="sum").version,
            adapter(one, observation=["text", "valid"]).version,
        }
        assert len(versions) == 4
        assert world.version == adapter(one, timeout=5).version
