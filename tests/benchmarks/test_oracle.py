"""The oracle world: its stated values equal those of rollouts."""

from __future__ import annotations

import json
from dataclasses import replace
from math import sqrt

import numpy as np
import pytest

from benchmarks.oracle import (
    CELLAR,
    ON,
    WAIT,
    Corridor,
    OraclePolicy,
    OracleWorld,
    corridor,
    exact_comparisons,
    make,
)
from configs.schema import EnvironmentConfig
from models.policy import Sampling
from rollouts.play import EpisodeSettings, Start, end_of, execute, play, seed_of, start_of
from steca.types import Step

WORLD = make()
CAP, STREAK = 12, 3
EPISODE_SETTINGS = EpisodeSettings(EnvironmentConfig(name="oracle", step_cap=CAP, invalid_streak=STREAK))
ROLLOUTS = 600
TINY = Corridor("tiny", 2, True, on=(0.5, 0.6), back=(0.0, 0.2), hatch=(0.2, 0.1), climb=0.7)


def oracle_start(index: int) -> tuple[Corridor, Start]:
    task = WORLD.tasks("train", index + 1, 0)[index]
    return corridor(json.loads(task.payload)["name"]), start_of(WORLD, task)


def rollouts(start: Start) -> np.ndarray:
    """[ROLLOUTS, 2]: outcome and progress."""
    starts = [replace(start, seed=seed_of(start.task.task_id, sample)) for sample in range(ROLLOUTS)]
    played = play(WORLD, OraclePolicy(), starts, Sampling(temperature=1.0), EPISODE_SETTINGS)
    return np.array([(run.trajectory.outcome, run.progress) for run in played])


@pytest.mark.parametrize("index", [1, 4, 7, 8, 13, 15])
def test_the_mean_of_many_rollouts_is_the_stated_value(index: int) -> None:
    """From the start, after the expert's first turn, after an invalid one: four standard errors are allowed."""
    here, start = oracle_start(index)
    for turns, place, invalid in (([], 0, 0), ([ON], 1, 0), ([WAIT], 0, 1)):
        texts = [f"Thought: x\nAction: {turn}" for turn in turns]
        played = execute(WORLD, start, texts, "policy", EPISODE_SETTINGS)
        seen = rollouts(played[-1].resume(start.task) if played else start)
        stated = here.value(place, CAP - len(turns), STREAK, invalid)
        for column, value in enumerate(stated):
            error = max(seen[:, column].std(), sqrt(value * (1 - value))) / sqrt(ROLLOUTS)
            assert abs(seen[:, column].mean() - value) <= 4 * error + 1e-9, (turns, value)


def test_another_policy_than_the_stated_one_would_be_noticed() -> None:
    """Negative control: probabilities of going on that are a fifth smaller."""
    here, start = oracle_start(7)
    off = replace(here, on=tuple(0.8 * chance for chance in here.on))
    mean, value = rollouts(start)[:, 0].mean(), off.value(0, CAP, STREAK)[0]
    assert abs(mean - value) > 4 * sqrt(value * (1 - value) / ROLLOUTS)


def by_hand(steps: list[Step], place: int, settings: EpisodeSettings) -> tuple[float, float]:
    """The value of a state by playing every sequence of actions, with `rollouts.play`'s own end conditions."""
    end = end_of(steps, place == TINY.rooms, settings.environment.step_cap, settings)
    if end != "running":
        return float(end == "done"), TINY.progress(place)
    value = np.zeros(2)
    for action, chance in TINY.chances(place).items():
        then = TINY.after(place, action)
        step = Step("", "", action, "", then != place, "policy")
        value += chance * np.array(by_hand([*steps, step], then, settings))
    return float(value[0]), float(value[1])


@pytest.mark.parametrize(("cap", "streak"), [(2, 5), (5, 2), (7, 3)])
def test_the_values_are_those_of_playing_out_everything(cap: int, streak: int) -> None:
    settings = EpisodeSettings(EnvironmentConfig(name="oracle", step_cap=cap, invalid_streak=streak))
    for place in (0, 1, CELLAR):
        assert TINY.value(place, cap, streak) == pytest.approx(by_hand([], place, settings))


def test_values_and_drops_of_all_sizes_occur() -> None:
    turns = list(exact_comparisons(WORLD.tasks("train", 150, 0), 20, 5))
    values = np.array([(turn.reference, turn.explored) for turn in turns])
    for side in values.T:
        assert (np.histogram(side, bins=10, range=(0, 1))[0] > len(side) / 100).all()
    drops = values[:, 0] - values[:, 1]
    assert (np.histogram(drops, bins=5, range=(0, 1))[0] > len(drops) / 100).all()
    assert {turn.action for turn in turns} == {"go back", "open hatch", WAIT}
    for turn in turns[:50]:
        later = turn.corridor.value(turn.corridor.after(turn.step, turn.action), 19 - turn.step, 5)
        assert turn.explored <= later[0] + 1e-12


def test_the_expert_reaches_the_goal_and_plans_repairs_from_the_cellar() -> None:
    environment = OracleWorld().environment()
    for task in WORLD.tasks("seen", 20, 4):
        first, steps = environment.reset(task), []
        environment.step("open hatch")
        assert environment.place == CELLAR
        plan = environment.plan_repair()
        assert (plan is not None) == environment.corridor.ladder
        assert environment.admissible_actions() == (["climb ladder"] if plan else [])
        if plan:
            assert [environment.step(turn.action).done for turn in plan][-1]
        environment.reset(task)
        while turn := environment.expert_turn(first, steps):
            result = environment.step(turn.action)
            steps.append(Step("", turn.thought, turn.action, result.observation, result.valid, "expert"))
        assert result.done
        assert (result.reward, environment.progress()) == (1.0, 1.0)


def test_greedy_takes_the_likeliest_action_and_sampling_depends_on_the_seed() -> None:
    here, start = oracle_start(0)
    history = [{"role": "user", "content": start.first_observation}]
    policy = OraclePolicy()
    chances = here.chances(0)
    (greedy,) = policy.act([history], [1], Sampling())  # type: ignore[list-item]
    assert greedy.text.endswith(max(chances, key=lambda action: chances[action]))
    drawn = [policy.act([history], [seed], Sampling(1.0))[0].text for seed in (5, 5, *range(200))]  # type: ignore[list-item]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 1


def test_a_name_is_a_corridor() -> None:
    assert corridor("train-0-1") == corridor("train-0-1") != corridor("train-0-2")
    tasks = WORLD.tasks("train", 5, 0)
    assert tasks == WORLD.tasks("train", 9, 0)[:5]
    assert not {t.task_id for t in tasks} & {t.task_id for t in WORLD.tasks("seen", 5, 0)}
