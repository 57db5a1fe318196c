"""States without snapshots: histories, played again in few environments, and compared."""

from __future__ import annotations

import pytest

from environments.base import EpisodeFault, Task
from environments.complete import CompleteWorld
from environments.states import attempts
from environments.states.replays import ReplayedStates, StepCounts
from environments.states.state import State
from environments.template.world import ROOMS
from tests.support.own_worlds import Bare, Counted, Failing, Forgetful, Snapping, completed

WALK = [f"enter {room}" for room in ROOMS]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "WAITS", (0.0, 0.0))


def task_of(world: CompleteWorld) -> Task:
    return world.tasks("train", 1, 0)[0]


def walked(world: CompleteWorld, actions: list[str], task: Task | None = None) -> list[State]:
    """The state at the start, and after each action."""
    states = [world.begin(task or task_of(world))[1]]
    for action in actions:
        states.append(world.advance(states[-1], action)[1])
    return states


def counts(world: CompleteWorld) -> StepCounts:
    assert isinstance(world.states, ReplayedStates)
    return world.states.counts


def test_any_state_can_be_continued_and_answers_as_with_snapshots() -> None:
    bare, snapping = completed(Bare()), completed(Snapping())
    told = []
    for world in (bare, snapping):
        states = walked(world, WALK)
        told.append(
            [
                [
                    world.advance(state, action)[0]
                    for state in states
                    for action in ("enter attic", "take parcel")
                ]
                for _ in range(2)
            ]
        )
        assert told[-1][0] == told[-1][1]
    assert told[0] == told[1]


def test_an_episode_that_goes_on_costs_no_replay_and_a_branch_its_history() -> None:
    world = completed(Counted())
    states = walked(world, WALK)
    assert counts(world) == StepCounts(environments=1, resets=1, steps=len(WALK), replayed=0)
    world.advance(states[5], "take parcel")
    assert counts(world).replayed == 5
    world.advance(states[-1], "take parcel")
    assert counts(world).replayed == 5, "an environment still stood there"


def test_there_are_never_more_environments_than_the_world_allows() -> None:
    own = Counted(live=2)
    world = completed(own)
    tasks = world.tasks("train", 5, 0)
    ends = [walked(world, WALK[:3], task)[-1] for task in tasks]
    first = [world.advance(end, "enter attic")[0] for end in ends]
    assert len(own.made) == 2
    assert first == [walk(task) for task in tasks]
    world.close()
    assert all(made.closed for made in own.made)


def walk(task: Task) -> object:
    world = completed(Counted())
    return world.advance(walked(world, WALK[:3], task)[-1], "enter attic")[0]


def test_another_answer_than_before_is_noticed_and_told_in_one_line() -> None:
    world = completed(Forgetful())
    states = walked(world, WALK[:3])
    with pytest.raises(
        EpisodeFault, match=r"task \S+ is not deterministic: step 1, 'enter attic', was answered"
    ) as why:
        world.advance(states[1], "take parcel")
    assert "\n" not in str(why.value)


def test_answers_that_mean_the_same_are_the_same() -> None:
    class Same(Forgetful):
        def same(self, one: str, other: str) -> bool:
            return one.partition(" It is")[0] == other.partition(" It is")[0]

    world = completed(Same())
    states = walked(world, WALK[:3])
    assert world.advance(states[1], "enter hall")[0].valid


def test_a_connection_that_fails_is_tried_again_in_another_environment() -> None:
    own = Failing(at=[3, 4])
    world = completed(own)
    states = walked(world, WALK[:5])
    assert [state.task for state in states] == [task_of(world)] * 6
    assert len(own.made) == 3
    assert [made.closed for made in own.made] == [True, True, False]
    assert walked(completed(Counted()), WALK[:5])[-1].reward == states[-1].reward


def test_a_connection_that_stays_away_ends_the_episode_and_says_what_failed() -> None:
    own = Failing(after=2)
    world = completed(own)
    with pytest.raises(
        EpisodeFault, match=r"'enter bedroom': ConnectionError: the server is gone \(3 attempts\)"
    ):
        walked(world, WALK[:5])
    assert all(made.closed for made in own.made)
