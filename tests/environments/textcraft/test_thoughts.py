"""The wording of thoughts and reflections, and what they may name."""

from __future__ import annotations

import pytest

from environments.textcraft.grounding import ungrounded
from environments.textcraft.narration import narrate
from environments.textcraft.rules import RefusedError, apply, initial
from environments.textcraft.thoughts import recorded_turns, reflect
from steca.types import Step
from tests.support.textcraft_toys import game

KNOWN = frozenset(
    ("oak_planks", "birch_planks", "planks", "stick", "hemp", "rope", "crate", "book", "oak_log", "glass")
)


def steps(*actions: str, gather: bool = False) -> list[Step]:
    state, found = initial(game(gather)), []
    for action in actions:
        try:
            state, observation = apply(game(gather), state, action)
            found.append(Step("", "", action, observation, True, "policy"))
        except RefusedError as refusal:
            found.append(Step("", "", action, str(refusal), False, "policy"))
    return found


def thought(action: str, *before: str, gather: bool = False) -> str:
    state = initial(game(gather))
    for each in before:
        state, _ = apply(game(gather), state, each)
    return narrate(game(gather), state, action)


CRATE = "I need 1 crate. Recipe: crate using 6 planks, 1 rope, 1 times. "


def test_a_thought_leads_from_the_goal_to_the_command() -> None:
    assert thought("craft 8 oak_planks using 2 oak_log") == (
        f"{CRATE}That takes 6 oak_planks as planks, I have 0. Recipe: oak_planks using 1 oak_log, 2 times. That takes "
        "2 oak_log, I have 2. I craft 8 oak_planks."
    )
    assert thought("craft 2 rope using 3 hemp") == (
        f"{CRATE}That takes 6 birch_planks as planks, I have 3. That takes 1 rope, I have 0. Recipe: rope using 3 "
        "hemp, 1 times. That takes 3 hemp, I have 8. I craft 2 rope."
    )


def test_what_is_there_already_is_said() -> None:
    assert thought("craft 4 oak_planks using 1 oak_log", "craft 4 oak_planks using 1 oak_log") == (
        f"{CRATE}That takes 6 oak_planks as planks, I have 4. Recipe: oak_planks using 1 oak_log, 1 times. That takes "
        "1 oak_log, I have 1. I craft 4 oak_planks."
    )


def test_the_next_part_of_the_goal_follows_when_one_is_there() -> None:
    before = (
        "craft 8 oak_planks using 2 oak_log",
        "craft 2 rope using 3 hemp",
        "craft 1 crate using 6 oak_planks, 1 rope",
    )
    assert thought("craft 4 stick using 2 birch_planks", *before) == (
        "crate is done. I need 4 stick. Recipe: stick using 2 planks, 1 times. That takes 2 birch_planks as planks, I "
        "have 3. I craft 4 stick."
    )


def test_a_part_of_the_goal_that_is_not_there_is_not_called_done() -> None:
    assert thought("craft 4 stick using 2 birch_planks").startswith(
        "I need 4 stick. Recipe: stick using 2 planks"
    )


def test_getting_is_reasoned_too() -> None:
    assert thought("get 3 hemp", gather=True) == (
        f"{CRATE}That takes 6 birch_planks as planks, I have 0. That takes 1 rope, I have 0. Recipe: rope using 3 "
        "hemp, 1 times. That takes 3 hemp, I have 0. I get 3 hemp."
    )


def test_a_command_that_leads_nowhere_is_said_plainly() -> None:
    assert thought("craft 1 sack using 2 hemp") == "My next step is: craft 1 sack using 2 hemp."
    assert thought("inventory") == "I look at what I have."


def test_a_recorded_run_that_misses_the_goal_is_none() -> None:
    assert recorded_turns(game(), ["craft 2 rope using 3 hemp"]) is None
    assert recorded_turns(game(), ["craft 4 stick using 2 planks"]) is None


@pytest.mark.parametrize(
    ("last", "verdict"),
    [
        ("craft 1 sack using 2 hemp", "I crafted 1 sack, which I do not need."),
        ("craft 1 moon using 2 hemp", "I tried to craft 1 moon using 2 hemp, but that had no effect."),
        ("inventory", "It did not help to look at what I have."),
        ("craft 1 stick using 1 hemp", "It did not help to craft 1 stick using 1 hemp."),
    ],
)
def test_a_reflection_says_what_was_wrong_and_leads_to_the_action(last: str, verdict: str) -> None:
    required = "craft 8 oak_planks using 2 oak_log"
    text = reflect(game().instruction(), game().intro(), steps(last), required)
    assert text.startswith(verdict)
    assert text.endswith("That takes 2 oak_log, I have 2. I craft 8 oak_planks.")
    assert ungrounded(KNOWN, game().intro(), "", steps(last), required, text) == []


def test_a_reflection_needs_a_step_and_survives_a_strange_first_observation() -> None:
    with pytest.raises(ValueError, match="no step"):
        reflect("", game().intro(), [], "inventory")
    no_action = [Step("hm", "", "", "Say an action.", False, "policy")]
    assert reflect("", game().intro(), no_action, "inventory").startswith("My last turn named no action.")
    assert reflect("", "Hello.", steps("inventory"), "craft 1 a using 1 b").endswith("craft 1 a using 1 b.")


@pytest.mark.parametrize(
    ("text", "strange"),
    [
        ("I need 6 oak_planks and 1 rope.", []),
        ("I need oak planks, sticks and the crate.", []),
        ("I need wool_block.", ["wool_block"]),
        ("I take 2 glass.", ["glass"]),
        ("I go by the book and read some book.", ["book"]),
        ("I will book it: glass half full.", []),
        ("I have 3 diamond_swords, 3 diamond_swords.", ["diamond_swords"]),
        ("More planks!", []),
    ],
)
def test_what_was_never_met_is_found(text: str, strange: list[str]) -> None:
    assert ungrounded(KNOWN, game().intro(), "", [], "inventory", text) == strange


def test_actions_and_observations_count_as_met() -> None:
    history = [Step("", "", "craft 1 lamp using 1 glass", "There is no recipe for lamp.", False, "policy")]
    assert ungrounded(KNOWN, game().intro(), "", history, "inventory", "I need 2 glass.") == []
