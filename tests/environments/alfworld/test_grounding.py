"""Ungrounded names in a thought are found, without false alarms."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

import pytest

from environments.alfworld.engine.game import compile_game
from environments.alfworld.environment import AlfworldEnvironment, Snapshot
from environments.alfworld.expert.explorer import expert_turn
from environments.alfworld.generation.problem import game_texts
from environments.alfworld.generation.world import GeneratedAlfworld
from environments.alfworld.official.world import RealAlfworld
from environments.alfworld.texts.dialect import Dialect
from environments.alfworld.texts.grounding import ungrounded
from environments.alfworld.texts.thoughts import reflect
from steca.action_formats import REACT
from steca.types import Step

INSTRUCTION = "put a hot mug in shelf"
FIRST = (
    "You are in the middle of a room. Looking quickly around you, you see a cabinet 2, a cabinet 1, a diningtable 1, a"
    " drawer 1, a fridge 1, a microwave 1, a shelf 2, a shelf 1, and a sinkbasin 1.\n\n"
    "Your task is to: put a hot mug in shelf."
)
STEPS = [
    Step("", "", action, seen, seen != "Nothing happens.", "policy")
    for action, seen in [
        (
            "go to diningtable 1",
            "On the diningtable 1, you see a handtowel 1, a butterknife 2, and a soapbottle 1.",
        ),
        ("go to pantry 4", "Nothing happens."),
        ("take Plate 3 from diningtable 1", "Nothing happens."),
        ("go to fridge 1", "The fridge 1 is closed."),
    ]
]
REQUIRED = "take mug 7 from cabinet 5"


def strange(thought: str) -> list[str]:
    return ungrounded(FIRST, INSTRUCTION, STEPS, REQUIRED, thought)


@pytest.mark.parametrize(
    "thought",
    [
        "",
        "I went to fridge 1 and it is closed, but I need a mug first: none on diningtable 1, next cabinet 2.",
        "Going to the fridge was premature. I should have searched the shelves, the cabinets or a drawer.",
        "Fridge 1 is closed. The Dining Table 1 held only the hand towel 1, the butter knife 2 and a soap bottle 1.",
        "Cabinets 1 and 2, shelves 1-2 and Drawer #1 are still to be searched; so is **sink basin 1**.",
        "I tried to take plate 3, but nothing happened, and there is no pantry 4 here.",
        "I have to heat the mug in the microwave and put it on the shelf. Let me take mug 7 from cabinet 5.",
        "Tomatoes and apples are kept in fridges, mugs hardly ever; maybe a coffee machine or a garbage can is near.",
        "In step 3 I wasted a move: 2 mugs would be one too many, and I need only 1. There are 3 drawers at most.",
        "The first 2 places had nothing. In the next 3 turns I check the other 4. It is safe to say I can watch out.",
        "After 4 attempts, I see that bread is not what I am after. At least 1 of the 2 cabinets is unopened.",
        "This towel is not what I need, and the knife does not help either.",
        "The bread knife was not of use, nor was the third shelf of the second cabinet.",
        "I need a mug, not a tomato. A potato would not do.",
        "Table 1 and sink 1 are on the way to the counter, the cupboard and the lamp.",
        "On the dining table there is a dining-table_1 thing at 10. And that is all 9 yards.",
    ],
)
def test_true_thoughts_pass(thought: str) -> None:
    assert strange(thought) == []


@pytest.mark.parametrize(
    ("thought", "names"),
    [
        ("I go to shelf 3.", ["shelf 3"]),
        ("Mug 1 is on Shelf 1.", ["mug 1"]),
        ("I saw mug 70 there.", ["mug 70"]),
        (
            "The Dining Table 2 and dining table #3 and diningtable3 are near.",
            ["diningtable 2", "diningtable 3"],
        ),
        ("I look into cabinets 1, 2, and 3, and shelves 1 through 4.", ["cabinet 3", "shelf 4"]),
        ("Drawers 1–3 are closed.", ["drawer 3"]),
        ("I put the hand-towel 2 away with knife 2.", ["handtowel 2", "knife 2"]),
        ("Maybe table 2 or the lamp 1.", ["table 2", "lamp 1"]),
        ("I go to moon 1 and look in closet 2.", ["moon 1", "closet 2"]),
        ("I go to pantry 5.", ["pantry 5"]),
        ("The tomato is in fridge 1.", ["tomato"]),
        (
            "I should cool the hot potato in this coffee machine, then the potato again.",
            ["potato", "coffeemachine"],
        ),
        ("I take the remote control off the sofa.", ["remotecontrol", "sofa"]),
        ("I heat plate number 4 and plate no. 5.", ["plate 4", "plate 5"]),
    ],
)
def test_names_that_never_occurred_are_found(thought: str, names: list[str]) -> None:
    assert strange(thought) == names


@pytest.mark.parametrize("part", ["instruction", "first", "observation", "action", "required"])
def test_a_name_counts_wherever_the_agent_met_it(part: str) -> None:
    """Its earlier thoughts do not count."""
    met = {
        name: "a vase 9" if name == part else ""
        for name in ("instruction", "first", "observation", "action", "required")
    }
    step = Step(
        "Thought: a vase 9\nAction: look", "a vase 9", met["action"], met["observation"], True, "policy"
    )
    for thought in ("I see vase 9.", "The vase is here."):
        assert ungrounded(met["first"], met["instruction"], [step], met["required"], thought) == []
        assert ungrounded("", "", [Step(step.text, step.thought, "look", "", True, "policy")], "", thought)


class Deviation(NamedTuple):
    """A history that ends in a wrong turn, the required action, and the template's reflection."""

    instruction: str
    first: str
    steps: list[Step]
    required: str
    thought: str

    def strange(self, thought: str) -> list[str]:
        return ungrounded(self.first, self.instruction, self.steps, self.required, thought)

    @property
    def transcript(self) -> str:
        return " ".join([self.first, self.required, *(f"{s.action} {s.observation}" for s in self.steps)])


def deviations(
    start: Callable[[int], tuple[AlfworldEnvironment, str, str]], count: int
) -> Iterator[Deviation]:
    """Random expert and wrong turns in each of `count` games."""
    rng = random.Random(11)
    for number in range(count):
        environment, instruction, first = start(number)
        steps: list[Step] = []
        for at in range(length := rng.randrange(1, 9)):
            turn = environment.expert_turn(first, steps)
            wrong = rng.choice([*environment.admissible_actions(), "go to moon 1"])
            action = turn.action if turn and at < length - 1 else wrong
            result = environment.step(action)
            steps.append(Step("", "", action, result.observation, result.valid, "policy"))
            if result.done:
                break
        turn = environment.expert_turn(first, steps)
        if turn:
            yield Deviation(
                instruction, first, steps, turn.action, reflect(instruction, first, steps, turn.action)
            )


@cache
def generated(dialect: Dialect) -> tuple[Deviation, ...]:
    tasks = GeneratedAlfworld({}).tasks("train", 210, seed=8)

    def start(number: int) -> tuple[AlfworldEnvironment, str, str]:
        game, environment = compile_game(*game_texts(tasks[number].payload, dialect)), AlfworldEnvironment()
        environment.restore(Snapshot(game, game.initial, won=False))
        return environment, tasks[number].instruction, game.intro()

    return tuple(deviations(start, len(tasks)))


def swapped(deviation: Deviation) -> Iterator[tuple[str, str]]:
    """(a name that never occurred, the thought with one of its numbers swapped for that one's)."""
    for found in re.finditer(r"([a-z]+) (\d+)", deviation.thought):
        taken = {int(n) for n in re.findall(rf"\b{found[1]} (\d+)", deviation.transcript)}
        fresh = f"{found[1]} {max(taken) + 1}"
        yield fresh, deviation.thought[: found.start()] + fresh + deviation.thought[found.end() :]


def check(found: tuple[Deviation, ...]) -> int:
    changed = 0
    for deviation in found:
        assert deviation.strange(deviation.thought) == [], deviation.thought
        for name, thought in swapped(deviation):
            assert deviation.strange(thought) == [name], thought
            changed += 1
    return changed


@pytest.mark.parametrize("dialect", ["put", "move"])
def test_the_templates_own_reflections_pass_and_with_one_number_swapped_they_fail(dialect: Dialect) -> None:
    found = generated(dialect)
    assert len(found) >= 200
    assert check(found) >= 500


@pytest.mark.skipif("ALFWORLD_DATA" not in os.environ, reason="needs the real games: set ALFWORLD_DATA")
def test_so_they_do_in_real_games_and_every_recorded_run_passes_too() -> None:
    world = RealAlfworld({})
    tasks = world.tasks("train", 60, seed=8)

    def start(number: int) -> tuple[AlfworldEnvironment, str, str]:
        environment = world.environment()
        return environment, tasks[number].instruction, environment.reset(tasks[number])

    assert check(tuple(deviations(start, len(tasks)))) > 100
    for number, task in enumerate(tasks):
        environment, instruction, first = start(number)
        steps: list[Step] = []
        for turn in world.demonstration(task) or ():
            assert world.ungrounded(first, instruction, steps, turn.action, turn.thought) == []
            result = environment.step(turn.action)
            steps.append(
                Step(REACT.text(turn), turn.thought, turn.action, result.observation, result.valid, "expert")
            )


def test_the_worlds_ask_the_same_question() -> None:
    world = GeneratedAlfworld({})
    assert world.ungrounded(FIRST, INSTRUCTION, STEPS, REQUIRED, "I go to shelf 3.") == ["shelf 3"]
    assert world.ungrounded(FIRST, INSTRUCTION, STEPS, REQUIRED, "I go to shelf 2.") == []
    assert expert_turn(FIRST, STEPS) is not None
