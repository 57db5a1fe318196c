"""The prompt before an episode: the same text in play and training, and part of the ids of rollout points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from configs.schema import FactoryConfig
from environments.complete import CompleteWorld
from rollouts.comparisons import comparisons_of
from rollouts.play import EpisodeSettings, play, start_of
from rollouts.prompting import briefing_of
from rollouts.rows import demonstrations
from rollouts.stages.assemble import assemble, training_inputs, warmup_examples
from rollouts.stages.evaluate import evaluate, force_deviations
from rollouts.stages.explore import explore
from rollouts.stages.score import score
from steca.vocabulary import PromptStyle
from storage.ids import content_id
from storage.records import Record
from tests.support.rollouts_toys import (
    SAMPLED,
    Toy,
    Wordy,
    complete,
    config,
    demonstrated,
    erring,
    fragile,
    like_expert,
    tasks,
    told,
    unbriefed,
    world,
)

STYLES: tuple[PromptStyle, ...] = ("plain", "react", "one_shot")
WORDY = complete(Wordy("Mind your manners"))


def of(style: PromptStyle) -> FactoryConfig:
    rewards = {"mode": "fixed", "rollouts": 1}
    return config(policy={"prompt": style}, rewards=rewards, deviation={"preset": "paper"})


def first_said(messages: Any) -> str:
    return str(messages[0]["content"])


def test_a_briefing_is_nothing_the_instruction_or_the_instruction_and_an_example() -> None:
    [task] = tasks(1)
    assert [briefing_of(WORDY, task, style) for style in STYLES] == [
        "",
        "Mind your manners of pick_and_place_simple.",
        "Mind your manners of pick_and_place_simple, with an example.",
    ]


@pytest.mark.parametrize("style", STYLES[1:])
def test_every_episode_begins_with_its_tasks_briefing_and_goes_on_as_before(style: PromptStyle) -> None:
    chosen = tasks(4)
    starts = [start_of(world(), task, seed=number) for number, task in enumerate(chosen)]
    policy = Toy(unbriefed(erring(0.3), lambda task: briefing_of(WORDY, task, style), chosen))
    played = play(WORDY, policy, starts, SAMPLED, EpisodeSettings(of(style).environment, style))
    plain = play(world(), Toy(erring(0.3)), starts, SAMPLED, EpisodeSettings(of(style).environment))
    assert [told(run.trajectory) for run in played] == [told(run.trajectory) for run in plain]


def test_a_policy_that_insists_on_a_briefing_notices_where_there_is_none() -> None:
    """Negative control of the toy policy that these tests use."""
    chosen = tasks(1)
    start = start_of(world(), chosen[0])
    policy = Toy(unbriefed(like_expert, lambda task: briefing_of(WORDY, task, "react"), chosen))
    for style in ("plain", "one_shot"):
        with pytest.raises((AssertionError, StopIteration)):
            play(WORDY, policy, [start], SAMPLED, EpisodeSettings(of("react").environment, style))


@pytest.mark.parametrize("style", STYLES[1:])
def test_every_stage_that_plays_briefs_its_policy(style: PromptStyle) -> None:
    rows, held_out, settings = list(demonstrated(3)), list(demonstrated(2, "seen")), of(style)
    chosen = [*tasks(3), *tasks(2, "seen")]
    policy = Toy(unbriefed(fragile(0.4), lambda task: briefing_of(WORDY, task, style), chosen))
    stages: dict[str, Callable[[], list[Record]]] = {
        "explore": lambda: explore(WORDY, policy, rows, settings),
        "score": lambda: score(WORDY, policy, rows, settings),
        "force": lambda: force_deviations(WORDY, policy, held_out, settings),
        "evaluate": lambda: evaluate(WORDY, policy, held_out, settings, "trained"),
    }
    for name, stage in stages.items():
        before = len(policy.asked)
        rows += stage()
        assert len(policy.asked) > before, name


@pytest.mark.parametrize("style", STYLES)
def test_training_sees_the_prompt_that_the_policy_will_see(style: PromptStyle) -> None:
    rows, settings = list(demonstrated(4)), config()
    examples = assemble(rows, rows, settings.datasets)
    assert examples
    runs = {demo.expert.id: demo for demo in demonstrations(rows)}
    for made in (warmup_examples(WORDY, rows, style), training_inputs(WORDY, examples, rows, style)):
        assert len(made) == 4
        for example in made:
            demo = runs[example.name]
            said = briefing_of(WORDY, demo.task, style)
            first = demo.expert.trajectory.first_observation
            assert first_said(example.messages) == (f"{said}\n\n{first}" if said else first)


def point_ids(where: CompleteWorld, style: PromptStyle) -> list[str]:
    return [point for task in comparisons_of(where, explored(), of(style), "toy") for point in task.points]


def explored() -> list[Record]:
    rows = list(demonstrated(3))
    return rows + explore(world(), Toy(fragile(0.4)), rows, config())


def test_the_text_of_the_prompt_decides_the_evidence() -> None:
    other = complete(Wordy("Be quick"))
    ids = {
        (said, style): set(point_ids(where, style))
        for said, where in (("manners", WORDY), ("quick", other))
        for style in STYLES
    }
    assert ids["manners", "plain"] == ids["quick", "plain"]
    different = [ids["manners", "plain"], *(ids[key] for key in ids if key[1] != "plain")]
    assert all(different)
    assert len(set.union(*different)) == sum(map(len, different))
    assert set(point_ids(complete(Wordy("Be quick")), "react")) == ids["quick", "react"]


def test_plain_evidence_keeps_the_ids_that_it_had_before_there_were_briefings() -> None:
    settings = of("plain")
    basis = {
        "scorer": "toy",
        "seed": 0,
        "environment": {
            name: value
            for name, value in settings.environment.model_dump(mode="json").items()
            if name in ("name", "options", "step_cap", "invalid_streak")
        },
        "prompt": "plain",
        "max_turn_tokens": 48,
        "temperature": 1.0,
        "top_p": 1.0,
    }
    compared = comparisons_of(WORDY, explored(), settings, "toy")
    points = [point for task in compared for point in task.points.values()]
    assert points
    for point in points:
        after = point.after.trajectory
        said = [[step.text, step.observation] for step in after.steps]
        assert point.id == content_id("point", basis, after.task_id, after.first_observation, said)
