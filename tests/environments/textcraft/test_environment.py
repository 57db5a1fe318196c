"""Episodes: rewards, snapshots, the expert and the planner from any state."""

from __future__ import annotations

import random

import pytest

from environments.base import EnvironmentFault, Task
from environments.capabilities import AdmitsActions, Expert, MeasuresProgress, Planner, Snapshots
from environments.textcraft.environment import TextcraftEnvironment
from environments.textcraft.tasks import payload
from environments.textcraft.world import Textcraft
from steca.action_formats import REACT
from steca.types import Step
from tests.support.textcraft_toys import game

WINNING = (
    "craft 8 oak_planks using 2 oak_log",
    "craft 4 stick using 2 birch_planks",
    "craft 2 rope using 3 hemp",
    "craft 1 crate using 6 oak_planks, 1 rope",
)


@pytest.fixture
def task() -> Task:
    return Task("toy", payload=payload(game(), list(WINNING)))


@pytest.fixture
def environment(task: Task) -> TextcraftEnvironment:
    environment = TextcraftEnvironment()
    environment.reset(task, 0)
    return environment


def expert_plays(
    environment: TextcraftEnvironment, first: str, steps: list[Step], cap: int
) -> tuple[list[Step], bool]:
    """The steps with the expert's, and whether the goal was reached."""
    done = False
    while not done and len(steps) < cap and (turn := environment.expert_turn(first, steps)):
        result = environment.step(turn.action)
        steps = [
            *steps,
            Step(REACT.text(turn), turn.thought, turn.action, result.observation, result.valid, "expert"),
        ]
        done = result.done
    return steps, done


def test_it_has_its_capabilities(environment: TextcraftEnvironment) -> None:
    for capability in (Snapshots, MeasuresProgress, AdmitsActions, Expert, Planner):
        assert isinstance(environment, capability)


def test_the_reward_is_one_at_the_goal_and_zero_before(environment: TextcraftEnvironment) -> None:
    results = [environment.step(action) for action in WINNING]
    assert [result.reward for result in results] == [0.0, 0.0, 0.0, 1.0]
    assert [result.done for result in results] == [False, False, False, True]
    assert environment.progress() == 1.0


def test_a_run_without_one_of_its_steps_does_not_win(environment: TextcraftEnvironment, task: Task) -> None:
    for dropped in range(len(WINNING)):
        environment.reset(task, 0)
        results = [environment.step(action) for n, action in enumerate(WINNING) if n != dropped]
        assert not results[-1].done


def test_a_refused_command_changes_nothing(environment: TextcraftEnvironment) -> None:
    before = environment.snapshot()
    result = environment.step("craft 1 crate using 6 oak_planks, 1 rope")
    assert (result.valid, result.reward, result.done) == (False, 0.0, False)
    assert environment.snapshot() == before


def test_a_snapshot_can_be_restored_any_number_of_times_and_elsewhere(
    environment: TextcraftEnvironment, task: Task
) -> None:
    environment.step(WINNING[0])
    kept, admissible = environment.snapshot(), environment.admissible_actions()
    for place in (environment, environment, TextcraftEnvironment()):
        place.restore(kept)
        assert place.admissible_actions() == admissible
        assert [place.step(action).done for action in WINNING[1:]] == [False, False, True]
        assert place.admissible_actions() != admissible
    with pytest.raises(AttributeError):
        kept.state.held = ()  # type: ignore[misc]


def test_restoring_another_thing_is_refused(environment: TextcraftEnvironment) -> None:
    with pytest.raises(TypeError, match="str"):
        environment.restore("snapshot")


def test_environments_do_not_disturb_each_other(environment: TextcraftEnvironment, task: Task) -> None:
    other = TextcraftEnvironment()
    other.reset(task, 0)
    before = other.snapshot()
    for action in WINNING:
        environment.step(action)
    assert other.snapshot() == before


def test_a_step_before_reset_and_a_broken_task_are_refused() -> None:
    with pytest.raises(EnvironmentFault, match="reset"):
        TextcraftEnvironment().step("inventory")
    with pytest.raises(EnvironmentFault, match="cannot be read"):
        TextcraftEnvironment().reset(Task("toy", payload="{"), 0)


def test_an_episode_is_deterministic_and_reset_starts_over(classic: Textcraft) -> None:
    for task in classic.tasks("train", 6, 0):
        played = []
        for seed in (0, 7):
            environment, rng = classic.environment(), random.Random(task.task_id)
            first, answers = environment.reset(task, seed), []
            for _ in range(6):
                answers.append(
                    environment.step(rng.choice([*environment.admissible_actions(), "craft moon"]))
                )
            assert environment.reset(task, seed) == first
            assert environment.progress() == 0.0
            played.append((first, answers))
        assert played[0] == played[1]


@pytest.mark.parametrize("options", [{}, {"start": "gathering"}, {"set": "synth"}])
def test_the_expert_does_every_task_within_its_cap(toys: object, options: dict[str, str]) -> None:
    world = Textcraft(options)
    for split in world.splits():
        if split in ("medium", "extreme"):
            continue  # the toys have none
        for task in world.tasks(split, 3 if split != "validation" else 1, 0):
            environment = world.environment()
            steps, done = expert_plays(environment, environment.reset(task, 0), [], world.step_cap(task))
            assert done, task.task_id
            assert all(step.valid for step in steps)


@pytest.mark.parametrize("options", [{}, {"start": "gathering"}])
def test_after_mistakes_expert_and_planner_reach_the_goal_or_say_that_nobody_can(
    toys: object, options: dict[str, str]
) -> None:
    world, rng, dead = Textcraft(options), random.Random(1), 0
    for task in world.tasks("train", 20, 0):
        environment, steps = world.environment(), list[Step]()
        first = environment.reset(task, 0)
        for _ in range(2):
            action = rng.choice(
                [*environment.admissible_actions(), "open the door", "craft 1 crate using 1 moon"]
            )
            result = environment.step(action)
            steps.append(Step("", "", action, result.observation, result.valid, "policy"))
        kept = environment.snapshot()
        repair = environment.plan_repair()
        if environment.progress() < 1.0:
            _, done = expert_plays(environment, first, steps, 50)
            assert done == (repair is not None)
        environment.restore(kept)
        results = [environment.step(turn.action) for turn in repair or ()]
        assert all(result.valid for result in results)
        assert repair is None or environment.progress() == 1.0
        dead += repair is None
    assert dead < 20


def test_a_turn_without_an_action_does_not_stop_the_expert(
    environment: TextcraftEnvironment, task: Task
) -> None:
    first = environment.reset(task, 0)
    turn = environment.expert_turn(first, [Step("I wonder", "", "", "Say an action.", False, "policy")])
    assert turn is not None
    assert turn.thought.startswith("That had no effect. I need 1 crate.")
    assert environment.step(turn.action).valid


def test_the_expert_sees_only_what_the_agent_sees(environment: TextcraftEnvironment, task: Task) -> None:
    """Its turn depends on the texts alone: another environment, with another task, gives the same."""
    first = environment.reset(task, 0)
    blank = TextcraftEnvironment()
    assert blank.expert_turn(first, []) == environment.expert_turn(first, [])
    assert blank.expert_turn("You are in a room. Your task is to: sleep.", []) is None


def test_nothing_is_left_to_do_at_the_goal(environment: TextcraftEnvironment, task: Task) -> None:
    first, steps = environment.reset(task, 0), []
    for action in WINNING:
        result = environment.step(action)
        steps.append(Step("", "", action, result.observation, True, "expert"))
    assert environment.expert_turn(first, steps) is None
    assert environment.plan_repair() == []


def test_a_goal_out_of_reach_has_no_plan(environment: TextcraftEnvironment) -> None:
    environment.step("craft 4 sack using 8 hemp")
    assert environment.plan_repair() is None
