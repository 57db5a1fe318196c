"""Composed thoughts and reflections: grounded, in the expert's wording, and about what really happened."""

import random
import re

import pytest

from environments.alfworld.expert.explorer import expert_turn
from environments.alfworld.generation.world import GeneratedAlfworld
from environments.alfworld.texts.thoughts import compose_thoughts, reflect
from steca.action_formats import REACT
from steca.types import Step

ENTITY = re.compile(r"[a-z]+ \d+")
FIRST = (
    "You are in the middle of a room. Looking quickly around you, you see a cabinet 1, a countertop 1, a fridge 1,"
    " a microwave 1, a shelf 2, a shelf 1, and a sinkbasin 1.\n\nYour task is to: put a clean mug in shelf."
)
RECORDED = [
    ("go to countertop 1", "On the countertop 1, you see a plate 1."),
    ("go to cabinet 1", "The cabinet 1 is closed."),
    ("open cabinet 1", "You open the cabinet 1. The cabinet 1 is open. In it, you see a mug 1."),
    ("take mug 1 from cabinet 1", "You pick up the mug 1 from the cabinet 1."),
    ("close cabinet 1", "You close the cabinet 1."),
    ("go to sinkbasin 1", "On the sinkbasin 1, you see nothing."),
    ("clean mug 1 with sinkbasin 1", "You clean the mug 1 using the sinkbasin 1."),
    ("go to shelf 1", "On the shelf 1, you see a plate 2."),
    ("put mug 1 in/on shelf 1", "You put the mug 1 in/on the shelf 1."),
]


def test_a_recorded_run_gets_the_experts_wording() -> None:
    turns = compose_thoughts(FIRST, RECORDED)
    assert [turn.action for turn in turns] == [action for action, _ in RECORDED]
    assert [turn.thought for turn in turns] == [
        "I need a mug: search countertop 1.",
        "I need a mug: none on countertop 1, next cabinet 1.",
        "The cabinet 1 is closed. I open it.",
        "I need a mug: mug 1 is here. I take it.",
        "I am done with cabinet 1. I close it.",
        "I have mug 1. It must be clean. I go to sinkbasin 1.",
        "I have mug 1 at sinkbasin 1. I make it clean.",
        "I have clean mug 1. I bring it to shelf 1.",
        "I have mug 1 at shelf 1. I put it there.",
    ]


def test_the_experts_own_run_is_told_as_the_expert_told_it() -> None:
    """Except for the search plan, which names places that the action does not."""
    world = GeneratedAlfworld({})
    environment = world.environment()
    for task in world.tasks("train", 30, seed=1):
        first, steps, done = environment.reset(task), [], False
        while not done:
            turn = expert_turn(first, steps)
            assert turn is not None
            result = environment.step(turn.action)
            done = result.done
            steps.append(
                Step(REACT.text(turn), turn.thought, turn.action, result.observation, True, "expert")
            )
        told = compose_thoughts(first, [(step.action, step.observation) for step in steps])
        for turn, step in zip(told, steps, strict=True):
            assert turn.thought == re.sub(r"(search [a-z]+ \d+),.*", r"\1.", step.thought)


@pytest.mark.parametrize("length", range(1, len(RECORDED) + 1))
def test_no_thought_depends_on_what_came_later(length: int) -> None:
    assert compose_thoughts(FIRST, RECORDED[:length]) == compose_thoughts(FIRST, RECORDED)[:length]
    changed = [*RECORDED[: length - 1], (RECORDED[length - 1][0], "On the shelf 1, you see a spoon 9.")]
    assert compose_thoughts(FIRST, changed)[:length] == compose_thoughts(FIRST, RECORDED)[:length]


def test_an_unknown_instruction_still_gets_thoughts() -> None:
    turns = compose_thoughts("You see a shelf 1.\n\nYour task is to: dance.", [("go to shelf 1", "")])
    assert turns[0].thought == "My next step is: go to shelf 1."


def after(*pairs: tuple[str, str]) -> list[Step]:
    return [Step("", "", action, seen, seen != "Nothing happens.", "policy") for action, seen in pairs]


SHELF = ("go to shelf 2", "On the shelf 2, you see a plate 2.")
TAKEN = RECORDED[:4]


@pytest.mark.parametrize(
    ("pairs", "required", "thought"),
    [
        (
            [SHELF],
            "go to countertop 1",
            "It did not help to go to shelf 2. I need a mug: none on shelf 2, next countertop 1.",
        ),
        (
            [SHELF, ("take mug 3 from shelf 2", "Nothing happens.")],
            "go to shelf 1",
            "I tried to take mug 3 from shelf 2, but nothing happened. I need a mug: none on shelf 2, next shelf 1.",
        ),
        (
            [SHELF, ("take plate 2 from shelf 2", "You pick up the plate 2 from the shelf 2.")],
            "put plate 2 in/on shelf 2",
            "I took plate 2, not a mug. I have plate 2, but I need a mug. I put it on shelf 2.",
        ),
        (
            [*TAKEN, ("put mug 1 in/on cabinet 1", "You put the mug 1 in/on the cabinet 1.")],
            "take mug 1 from cabinet 1",
            "I put mug 1 in cabinet 1 too early. I need a mug: mug 1 is here. I take it.",
        ),
        (
            [*TAKEN, ("go to fridge 1", "The fridge 1 is closed.")],
            "go to sinkbasin 1",
            "It did not help to go to fridge 1. I have mug 1. It must be clean. I go to sinkbasin 1.",
        ),
        (
            [SHELF, ("", "Nothing happens.")],
            "go to shelf 1",
            "My last turn named no action. I need a mug: none on shelf 2, next shelf 1.",
        ),
    ],
)
def test_a_reflection_says_what_was_done_what_came_of_it_and_what_is_needed(pairs, required, thought) -> None:
    assert reflect("put a clean mug in shelf.", FIRST, after(*pairs), required) == thought


def test_a_reflection_needs_a_step() -> None:
    with pytest.raises(ValueError, match="no step"):
        reflect("put a clean mug in shelf.", FIRST, [], "go to shelf 1")


def test_reflections_on_random_deviations_are_short_and_grounded() -> None:
    rng = random.Random(4)
    world = GeneratedAlfworld({})
    environment = world.environment()
    lengths = []
    for task in world.tasks("train", 60, seed=3):
        first, steps = environment.reset(task), []
        for _ in range(rng.randrange(1, 6)):
            action = rng.choice([*environment.admissible_actions(), "go to moon 1"])
            result = environment.step(action)
            steps.append(Step("", "", action, result.observation, result.valid, "policy"))
        turn = expert_turn(first, steps)
        assert turn is not None
        thought = reflect(task.instruction, first, steps, turn.action)
        transcript = " ".join([first, turn.action, *(f"{step.action} {step.observation}" for step in steps)])
        assert set(ENTITY.findall(thought)) <= set(ENTITY.findall(transcript))
        lengths.append(len(thought.split()))
    assert max(lengths) <= 27
    assert sorted(lengths)[len(lengths) // 2] <= 20
