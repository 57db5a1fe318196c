"""Composed thoughts: they say what was shown and what the action is for, in names that the agent has met."""

from __future__ import annotations

import re

import pytest

from environments.scienceworld.briefing import briefing
from environments.scienceworld.gold import GoldPath
from environments.scienceworld.thoughts import compose_thoughts
from steca.action_formats import REACT

FIRST = (
    "This room is called the hallway. In it, you see: \n\tthe agent\n\ta picture\nYou also see:\n"
    "\tA door to the kitchen (that is open)\n\nYour task is to determine if salt is electrically conductive. "
    "The salt is located around the kitchen. If it is electrically conductive, place it in the red box."
)
RUN = [
    ("go to kitchen", "You move to the kitchen."),
    ("pick up salt", "You move the salt to the inventory."),
    ("focus on salt", "You focus on the salt."),
    ("go to workshop", "It's not clear how to get there from here."),
    ("go to hallway", "You move to the hallway."),
    ("use thermometer in inventory on salt", "the thermometer measures a temperature of -7 degrees celsius"),
    ("examine salt", "a substance called solid salt"),
    (
        "move salt to cup",
        "Ambiguous request: Please enter the number:\n0:\tmove salt to tin cup\n1:\tmove salt to bowl",
    ),
    ("0", "You move the salt to the tin cup."),
    ("wait1", "You decide to wait for 1 iterations."),
    ("look around", "In it, you see: \n\ta red light bulb, which is on\n\ta blue light bulb, which is off"),
    ("move salt to red box", "You move the salt to the red box."),
    ("sing", "No known action matches that input."),
]
TOLD = [
    "The task names the kitchen. I go there.",
    "I need the salt. I take it with me.",
    "The task asks me to focus: I focus on the salt.",
    "I go to the workshop.",
    "That did not work. I go to the hallway.",
    "I measure the temperature of the salt.",
    "The temperature is -7 degrees celsius. I look at the salt closely.",
    "It is solid salt. Now the salt has to go to the cup.",
    "I mean number 0: move salt to tin cup.",
    "It takes time. I wait.",
    "I look at what is here.",
    "The red light bulb is on. Now the salt has to go to the red box.",
    "My next step is to sing.",
]


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+|-?\d+", text.lower()))


OWN_WORDS = words(
    "the task names i go there need take it with me asks to focus on that did not work measure temperature "
    "of is degrees look at closely now has mean number takes time wait what here my next step stays off"
)


def test_each_action_gets_its_thought() -> None:
    turns = compose_thoughts(FIRST, RUN)
    assert [turn.action for turn in turns] == [action for action, _ in RUN]
    assert [turn.thought for turn in turns] == TOLD


def strangers(thoughts: list[str]) -> set[str]:
    """Words of thoughts that were met neither before nor in the action."""
    met, found = words(FIRST) | OWN_WORDS, set()
    for thought, (action, observation) in zip(thoughts, RUN, strict=True):
        found |= words(thought) - met - words(action)
        met |= words(action) | words(observation)
    return found


def test_every_other_word_was_met_before() -> None:
    assert strangers([turn.thought for turn in compose_thoughts(FIRST, RUN)]) == set()


def test_a_word_from_elsewhere_would_be_noticed() -> None:
    assert strangers(["The glacier is near.", *TOLD[1:]]) == {"glacier", "near"}


@pytest.mark.parametrize("length", range(1, len(RUN) + 1))
def test_no_thought_depends_on_what_came_later(length: int) -> None:
    changed = [
        *RUN[: length - 1],
        (RUN[length - 1][0], "the thermometer measures a temperature of 99 degrees celsius"),
    ]
    assert compose_thoughts(FIRST, changed) == compose_thoughts(FIRST, RUN)[:length]


def test_a_circuit_that_does_nothing_is_a_reason_too() -> None:
    seen = [("look around", "\ta electric buzzer, which is off"), ("move salt to blue box", "")]
    assert compose_thoughts(FIRST, seen)[1].thought == "It stays off. Now the salt has to go to the blue box."


def test_lamps_say_nothing_in_other_tasks() -> None:
    first = "You see a room.\n\nYour task is to measure the temperature of salt."
    seen = [("look around", "\ta light bulb, which is off"), ("move salt to blue box", "")]
    assert compose_thoughts(first, seen)[1].thought == "Now the salt has to go to the blue box."


def test_the_briefing_tells_the_actions_of_the_task_and_the_example_in_the_form_of_turns() -> None:
    path = GoldPath(FIRST, tuple(RUN[:3]), 1.0)
    plain, full = briefing("boil", None, REACT), briefing("test-conductivity", path, REACT)
    assert "focus on {obj}\n" in plain
    assert "connect" not in plain
    assert "connect {obj} to {obj}" in full
    assert (
        "Thought: I need the salt. I take it with me.\nAction: pick up salt\nObservation: You move the salt"
        in full
    )
    assert "another task" not in plain
