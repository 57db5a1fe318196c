"""The baseline of the rollout benchmark plays the same episodes as the stage rewards, only more slowly."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmarks.growth import Scripted
from benchmarks.release import Draw, Release, draws
from configs.schema import SmallModelConfig
from models.local.small import build_small_model
from models.local.tokenizer import train_tokenizer
from models.local.transformers_policy import TransformersPolicy
from models.policy import Sampling
from rollouts.play import EpisodeSettings, play
from rollouts.rows import demonstrations, explorations
from rollouts.stages.explore import explore, prefix_starts
from steca.types import Trajectory
from tests.support.rollouts_toys import Toy, config, demonstrated, erring, world

CONFIG = config(policy={"max_turn_tokens": 12})
GREEDY = Sampling(max_tokens=12)


@pytest.fixture(scope="module")
def small() -> tuple[Any, Any]:
    runs = [demo.expert.trajectory for demo in demonstrations(demonstrated(3))]
    texts = [text for run in runs for step in run.steps for text in (step.text, step.observation)]
    tokenizer = train_tokenizer(texts, world().vocabulary(), 2048)
    return build_small_model(tokenizer, SmallModelConfig(hidden_size=32), seed=1).eval(), tokenizer


def test_a_greedy_rollout_is_that_of_the_stage(small: tuple[Any, Any]) -> None:
    model, tokenizer = small
    baseline = Release(world(), model, tokenizer, CONFIG)
    baseline._sampling = GREEDY
    policy, settings = TransformersPolicy(model, tokenizer, "small"), EpisodeSettings(CONFIG.environment)
    for demo in demonstrations(demonstrated(3)):
        starts = prefix_starts(world(), demo, settings)[:4]
        runs = play(world(), policy, starts, GREEDY, settings)
        for start, run in zip(starts, runs, strict=True):
            texts = tuple(step.text for step in start.steps)
            if texts:
                steps = baseline.rollout(Draw(demo.task, texts, seed=0))
                assert _told(steps) == _told(run.trajectory.steps)


def _told(steps: Any) -> list[tuple[str, str]]:
    return [(step.text, step.observation) for step in steps]


def test_sampled_rollouts_depend_on_their_seed_alone(small: tuple[Any, Any]) -> None:
    model, tokenizer = small
    demo = demonstrations(demonstrated(1))[0]
    texts = (demo.expert.trajectory.steps[0].text,)
    baseline = Release(world(), model, tokenizer, CONFIG)
    first, other, again = (baseline.rollout(Draw(demo.task, texts, seed)) for seed in (1, 2, 1))
    assert _told(first) == _told(again) != _told(other)
    assert torch.is_grad_enabled()


def test_the_release_scores_both_turns_of_every_step_but_the_last_and_the_first_explored() -> None:
    played = demonstrated(6)
    records = [*played, *explore(world(), Toy(erring(0.4)), played, CONFIG)]
    made = draws(records, 5)
    assert len({draw.seed for draw in made}) == len(made)
    for demo in demonstrations(records):
        mine = [draw.texts for draw in made if draw.task == demo.task]
        runs = explorations(records)[demo.task.task_id]
        length = len(demo.expert.trajectory.steps)
        explored = [_turns(runs, step, length) > step + 1 for step in range(1, length)]
        assert len(mine) == 5 * (length - 1 + sum(explored))


def _turns(runs: dict[int, Any], step: int, length: int) -> int:
    """The length of the run that the policy plays after `step` expert turns: at least the expert's if it agrees with
    it."""
    trajectory: Trajectory | None = runs[step].trajectory if step in runs else None
    return len(trajectory.steps) if trajectory else length


def test_the_scripted_policy_sometimes_wins_and_sometimes_fails() -> None:
    played = demonstrated(6)
    runs = explorations([*played, *explore(world(), Scripted(played), played, CONFIG)])
    won = {run.trajectory.success for task in runs.values() for run in task.values()}
    assert won == {True, False}
