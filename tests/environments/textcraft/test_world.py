"""Which tasks there are, and what the world says about them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from environments import capabilities
from environments.base import EnvironmentFault, Task
from environments.textcraft.game import game_of
from environments.textcraft.recipes import makeable
from environments.textcraft.tasks import LEVELS, digest, draw_game, published, run_in
from environments.textcraft.world import Textcraft
from steca.action_formats import REACT
from steca.types import Step


def every(world: Textcraft) -> dict[str, list[Task]]:
    found = {}
    for split in world.splits():
        size = 0
        while True:
            try:
                found[split] = world.tasks(split, size, 0)
            except EnvironmentFault:
                break
            size += 1
    return found


@pytest.mark.parametrize("options", [{}, {"set": "synth"}])
def test_splits_share_no_task_and_together_they_have_all(toys: Path, options: dict[str, str]) -> None:
    world = Textcraft(options)
    tasks = [task for split in every(world).values() for task in split]
    assert len({task.task_id for task in tasks}) == len({task.payload for task in tasks}) == len(tasks)
    assert len(tasks) == len(published(toys, "synth" if options else "classic"))


def test_training_tasks_are_split_by_their_goal(classic: Textcraft) -> None:
    splits = every(classic)
    goals = {split: {task.instruction for task in tasks} for split, tasks in splits.items()}
    assert splits["validation"]
    assert not goals["train"] & goals["validation"]


def test_synthetic_tests_are_split_by_level(synth: Textcraft) -> None:
    assert synth.splits() == ("train", "validation", *LEVELS)
    splits = every(synth)
    assert {split: len(splits[split]) for split in LEVELS} == {
        "easy": 3,
        "medium": 0,
        "hard": 3,
        "extreme": 0,
    }
    assert {task.task_type for task in splits["hard"]} == {"hard"}


def test_tasks_are_deterministic_and_a_larger_count_extends_a_smaller_one(classic: Textcraft) -> None:
    ten = classic.tasks("train", 10, 3)
    assert classic.tasks("train", 4, 3) == ten[:4]
    assert Textcraft().tasks("train", 10, 3) == ten
    assert classic.tasks("train", 10, 4) != ten
    assert {task.world for task in ten} == {"textcraft"}
    assert {task.split for task in ten} == {"train"}


def test_too_many_tasks_and_an_unknown_split_are_refused(classic: Textcraft) -> None:
    with pytest.raises(EnvironmentFault, match="100 unseen tasks were requested, but textcraft has 6"):
        classic.tasks("unseen", 100, 0)
    with pytest.raises(EnvironmentFault, match="no split 'seen'; it has train, validation, unseen"):
        classic.tasks("seen", 1, 0)


def test_the_length_of_tasks_is_an_option(toys: Path) -> None:
    short = every(Textcraft({"max_crafts": 1}))
    assert short["train"]
    assert {len(run_in(task.payload)) for tasks in short.values() for task in tasks} == {1}
    easy = every(Textcraft({"set": "synth", "levels": ["easy"]}))
    assert {task.task_type for split in ("train", "validation") for task in easy[split]} == {"easy"}
    assert easy["hard"]


def test_an_id_covers_everything_that_is_read(classic: Textcraft) -> None:
    task = classic.tasks("train", 1, 0)[0]
    assert task.task_id.endswith(f"#{digest(task.payload)}")
    assert json.loads(task.payload).keys() == {"start", "goal", "recipes", "groups", "gather", "run"}
    other = Textcraft({"start": "gathering"}).tasks("train", 1, 0)[0]
    assert other.task_id.partition("#")[0] == task.task_id.partition("#")[0]
    assert other.task_id != task.task_id


def test_a_game_lists_what_helps_and_a_few_recipes_that_do_not(toys: Path) -> None:
    """Every listed recipe can be carried out, and a group has only items that can be had."""
    helpless = Counter[bool]()
    for task in published(toys, "classic"):
        game = draw_game(toys, "classic", task, gather=False)
        there = makeable(game.recipes, game.groups, game.start)
        for recipe in game.recipes:
            assert all(set(game.groups.get(name, (name,))) <= there for name, _ in recipe.takes)
            helpless[recipe.item in ("sack", "hemp_bale", "oak_wood", "torch", "ladder")] += 1
        assert all(len(items) > 1 for items in game.groups.values())
    assert helpless[True]
    assert helpless[False]


def test_published_runs_are_the_demonstrations(classic: Textcraft) -> None:
    told = Counter[bool]()
    for split in ("train", "validation", "unseen"):
        for task in every(classic)[split]:
            turns = classic.demonstration(task)
            told[turns is None] += 1
            environment = classic.environment()
            environment.reset(task, 0)
            results = [environment.step(action) for action in run_in(task.payload)]
            assert results[-1].done == (turns is not None)
            assert turns is None or [turn.action for turn in turns] == run_in(task.payload)
    assert told == {False: 35, True: 1}


def test_with_gathering_a_run_gets_what_it_takes_first(toys: Path) -> None:
    world = Textcraft({"start": "gathering"})
    for task in world.tasks("train", 20, 0):
        turns = world.demonstration(task) or []
        crafts = [turn.action for turn in turns if turn.action.startswith("craft")]
        assert crafts == (run_in(task.payload) if turns else [])
        assert len(turns) >= 2 * bool(turns)
        assert len(turns) <= world.step_cap(task)


def test_the_expert_can_play_all_demonstrations(toys: Path) -> None:
    world = Textcraft({"expert": "planning"})
    assert [world.demonstration(task) for task in world.tasks("train", 5, 0)] == [None] * 5


def test_a_run_that_cannot_be_carried_out_is_remarked_on(classic: Textcraft) -> None:
    assert classic.remarks() == []
    every(classic)
    assert classic.remarks() == [
        "the published runs of 1 listed tasks name a group where an item is needed, e.g. textcraft_train/0: the expert "
        "plays their demonstrations"
    ]


def test_names_and_numbers_are_the_vocabulary(classic: Textcraft, synth: Textcraft) -> None:
    words = classic.vocabulary()
    assert {"oak_planks", "planks", "hemp", "1", "64"} <= set(words)
    assert len(set(words)) == len(words)
    assert "a_i1" in synth.vocabulary()
    assert classic.data_digest() == Textcraft().data_digest() != synth.data_digest()


def test_it_has_its_capabilities(classic: Textcraft) -> None:
    for name in (
        "Recorded",
        "Briefs",
        "Reflects",
        "ChecksGrounding",
        "HasVocabulary",
        "HasSplits",
        "CapsSteps",
    ):
        assert isinstance(classic, getattr(capabilities, name)), name
    assert isinstance(classic, capabilities.Remarks)
    assert isinstance(classic, capabilities.ReadsData)


@pytest.mark.parametrize("start", ["holding", "gathering"])
def test_the_briefing_has_a_played_example_that_is_in_no_split(toys: Path, start: str) -> None:
    world = Textcraft({"start": start})
    task = world.tasks("train", 1, 0)[0]
    short, long = (
        world.briefing(task, example=False, form=REACT),
        world.briefing(task, example=True, form=REACT),
    )
    assert long.startswith(short)
    assert "\\" not in long
    assert ("get N ITEM" in short) == (start == "gathering")
    assert (
        long.count("\nAction: ") - short.count("\nAction: ")
        == long.count("\nObservation: You ")
        == (5 if start == "gathering" else 3)
    )
    assert long.rpartition("Observation: ")[2].startswith("You crafted 1 birdhouse.")
    assert world.briefing(world.tasks("unseen", 1, 0)[0], example=True, form=REACT) is long
    assert not [task for tasks in every(world).values() for task in tasks if "birdhouse" in task.payload]


def test_thoughts_are_grounded_and_a_made_up_item_is_not(classic: Textcraft) -> None:
    for task in classic.tasks("train", 20, 0):
        environment, steps = classic.environment(), list[Step]()
        first = environment.reset(task, 0)
        for turn in classic.demonstration(task) or ():
            assert classic.ungrounded(first, task.instruction, steps, turn.action, turn.thought) == []
            result = environment.step(turn.action)
            steps.append(
                Step(REACT.text(turn), turn.thought, turn.action, result.observation, True, "expert")
            )
        strange = classic.ungrounded(first, task.instruction, steps, "inventory", "I need 2 magic_wand.")
        assert strange == ["magic_wand"]
    assert game_of(task.payload).goal
