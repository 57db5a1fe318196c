"""Episodes as presented to the agent, in toy games in the official file layout and in generated games."""

from __future__ import annotations

import pytest

from environments.alfworld.environment import NOTHING, AlfworldEnvironment
from environments.alfworld.generation.world import GeneratedAlfworld
from environments.alfworld.official.world import RealAlfworld
from environments.alfworld.texts.dialect import after_arrival
from environments.base import EnvironmentFault, Task
from steca.action_formats import REACT
from steca.types import Step
from tests.support.alfworld_toys import NEWER, WINNING, grammar, write_game


@pytest.fixture
def task(tmp_path) -> Task:
    write_game(tmp_path / "json_2.1.1" / "train" / "toy" / "trial_1")
    return Task("toy", "alfworld", "train", "toy", "fill the box", "json_2.1.1/train/toy/trial_1")


@pytest.fixture
def environment(tmp_path, task) -> AlfworldEnvironment:
    environment = AlfworldEnvironment(tmp_path)
    environment.reset(task)
    return environment


def act(environment, action):
    return environment.step(action)


def test_an_expert_run_ends_in_reward_one(environment):
    results = [act(environment, action) for action in WINNING]
    assert [result.reward for result in results] == [0.0] * 8 + [1.0]
    assert [result.done for result in results] == [False] * 8 + [True]
    assert all(result.valid for result in results)
    assert environment.progress() == 1.0


def test_a_run_without_one_of_its_steps_does_not_win(environment, task):
    for dropped in range(len(WINNING)):
        environment.reset(task)
        results = [act(environment, action) for i, action in enumerate(WINNING) if i != dropped]
        if (
            WINNING[dropped] != "go to shelf 1"
        ):  # the two shelves stand together, but this is how to get there
            assert not results[-1].done, WINNING[dropped]


def test_the_place_is_stripped_from_what_is_seen_on_arriving(environment):
    assert act(environment, "go to box 1").observation == "The box 1 is closed."
    assert after_arrival("You arrive at shelf 12. On it, a cup. You arrive at last. ") == (
        "On it, a cup. You arrive at last. "
    )
    assert after_arrival("You open it. You arrive at loc 1. So.") == "You open it. You arrive at loc 1. So."


def test_an_inadmissible_action_changes_nothing(environment):
    before = environment.snapshot()
    result = act(environment, "open box 1")
    assert (result.observation, result.valid, result.reward, result.done) == (NOTHING, False, 0.0, False)
    assert environment.snapshot() == before


def test_a_turn_without_an_action_is_answered_the_same(environment):
    assert RealAlfworld.no_action == GeneratedAlfworld.no_action == act(environment, "dance").observation


def test_an_action_that_changes_nothing_can_be_valid(environment):
    result = act(environment, "look")
    assert result.valid
    assert result.observation != NOTHING


def test_a_snapshot_can_be_restored_any_number_of_times(environment):
    for action in WINNING[:4]:
        act(environment, action)
    kept, admissible = environment.snapshot(), environment.admissible_actions()
    for _ in range(2):
        rest = [act(environment, action) for action in WINNING[4:]]
        assert rest[-1].done
        assert environment.admissible_actions() != admissible
        environment.restore(kept)
        assert environment.admissible_actions() == admissible
        assert environment.progress() == 0.0


def test_restoring_another_thing_is_refused(environment):
    with pytest.raises(TypeError, match="str"):
        environment.restore("snapshot")


def test_environments_do_not_disturb_each_other(tmp_path, task, environment):
    other = AlfworldEnvironment(tmp_path)
    other.reset(task)
    before = other.snapshot()
    for action in WINNING:
        act(environment, action)
    assert other.snapshot() == before


def test_a_step_before_reset_is_refused():
    with pytest.raises(EnvironmentFault, match="reset"):
        AlfworldEnvironment().step("look")


def test_reset_starts_over(environment, task):
    first = environment.reset(task)
    act(environment, "go to box 1")
    assert environment.reset(task, seed=5) == first
    assert environment.progress() == 0.0


def test_a_game_in_the_newer_dialect_plays_by_it(tmp_path):
    write_game(tmp_path / "json_2.1.1" / "new", grammar=grammar(NEWER))
    environment = AlfworldEnvironment(tmp_path)
    environment.reset(Task("new", "alfworld", "train", "toy", "", "json_2.1.1/new"))
    for action in WINNING[:4]:
        act(environment, action)
    assert not act(environment, "put cup 1 in/on box 1").valid
    assert act(environment, "move cup 1 to box 1").observation == "You move the cup 1 to the box 1."


def test_generated_games_are_won_by_the_expert_and_by_the_planner():
    world = GeneratedAlfworld({})
    for task in world.tasks("train", 6, seed=1):
        environment, steps = world.environment(), list[Step]()
        first = environment.reset(task)
        for action in environment.admissible_actions():
            assert act(environment, action).valid
            environment.reset(task)
        while not (steps and environment.progress() == 1.0):
            turn = environment.expert_turn(first, steps)
            assert turn is not None
            result = environment.step(turn.action)
            steps.append(
                Step(REACT.text(turn), turn.thought, turn.action, result.observation, result.valid, "expert")
            )
            assert result.done == (environment.progress() == 1.0)
        environment.reset(task)
        repair = environment.plan_repair()
        assert repair is not None
        assert [environment.step(turn.action) for turn in repair][-1].done
