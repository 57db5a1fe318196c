"""What each command does, and why it is refused."""

from __future__ import annotations

import pytest

from environments.base import EnvironmentFault
from environments.textcraft.game import Game, game_in, game_of
from environments.textcraft.rules import (
    MOST_COMMANDS,
    RefusedError,
    State,
    admissible,
    apply,
    initial,
    progress,
)
from environments.textcraft.tasks import payload
from tests.support.textcraft_toys import game


def play(game: Game, *commands: str) -> tuple[State, list[str]]:
    state, said = initial(game), []
    for command in commands:
        state, observation = apply(game, state, command)
        said.append(observation)
    return state, said


def test_crafting_takes_the_ingredients_and_gives_the_item() -> None:
    state, said = play(game(), "craft 8 oak_planks using 2 oak_log", "craft 4 stick using 2 oak_planks")
    assert dict(state.held) == {"birch_planks": 3, "hemp": 8, "oak_planks": 6, "stick": 4}
    assert said == ["You crafted 8 oak_planks.", "You crafted 4 stick."]


def test_the_order_of_ingredients_letters_and_blanks_do_not_matter() -> None:
    before = ("craft 8 oak_planks using 2 oak_log", "craft 2 rope using 3 hemp")
    one, _ = play(game(), *before, "craft 1 crate using 6 oak_planks, 1 rope")
    other, _ = play(game(), *before, "  Craft 1  crate using 1 rope, 6 Oak_planks ")
    assert one == other


def test_inventory_changes_nothing() -> None:
    state, said = play(game(), "inventory")
    assert state == initial(game())
    assert said == ["You have 3 birch_planks, 8 hemp, 2 oak_log."]
    assert play(game(gather=True), "inventory")[1] == ["You have nothing."]


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("", "The commands are"),
        ("look", "The commands are: craft N ITEM using N ITEM, N ITEM; inventory."),
        ("craft crate", "The commands are"),
        ("craft 1 crate using 3 birch_planks, 3 birch_planks, 1 rope", "The commands are"),
        ("craft 1 door using 6 oak_log", "There is no recipe for door."),
        ("craft 4 stick using 2 planks", "planks is a group. Choose one of: birch_planks, oak_planks."),
        ("craft 1 sack using 2 oak_log", "That does not fit the recipe: craft 1 sack using 2 hemp."),
        ("craft 1 sack using 3 hemp", "That does not fit the recipe: craft 1 sack using 2 hemp."),
        ("craft 3 rope using 3 hemp", "That does not fit the recipe: craft 2 rope using 3 hemp."),
        ("craft 0 rope using 0 hemp", "That does not fit"),
        ("craft 2 stick using 2 oak_log", "craft 1 stick using 1 hemp or craft 4 stick using 2 planks."),
        ("craft 12 oak_planks using 3 oak_log", "You have 2 oak_log, not 3."),
        ("craft 1 crate using 6 oak_planks, 1 rope", "You have 0 oak_planks, not 6."),
        ("get 1 hemp", "You can get 0 hemp here."),
    ],
)
def test_a_refused_command_says_why(command: str, answer: str) -> None:
    with pytest.raises(RefusedError) as refusal:
        apply(game(), initial(game()), command)
    assert answer in str(refusal.value)


def test_what_lies_around_is_got_and_then_crafted() -> None:
    state, said = play(game(gather=True), "get 2 oak_log", "craft 4 oak_planks using 1 oak_log")
    assert state == State((("oak_log", 1), ("oak_planks", 4)), (("birch_planks", 3), ("hemp", 8)))
    assert said[0] == "You got 2 oak_log."
    for command in ("get 1 oak_log", "get 9 hemp", "get 0 hemp", "get 1 moon", "craft 2 rope using 3 hemp"):
        with pytest.raises(RefusedError):
            apply(game(gather=True), state, command)


def test_progress_is_the_share_of_the_pieces_and_can_be_lost() -> None:
    rules, before = game(), ("craft 8 oak_planks using 2 oak_log", "craft 2 rope using 3 hemp")
    assert progress(rules, initial(rules)) == 0.0
    state, _ = play(rules, *before, "craft 2 stick using 2 hemp")
    assert progress(rules, state) == 2 / 5
    state, _ = play(
        rules, *before, "craft 4 stick using 2 oak_planks", "craft 1 crate using 6 oak_planks, 1 rope"
    )
    assert progress(rules, state) == 1.0


def test_pieces_that_were_there_at_the_start_do_not_count() -> None:
    rules = Game({"hemp": 2, "sack": 5}, {"sack": 1}, game().recipes, {}, False)
    assert progress(rules, initial(rules)) == 0.0
    assert progress(rules, play(rules, "craft 1 sack using 2 hemp")[0]) == 1.0


@pytest.mark.parametrize("gather", [False, True])
def test_exactly_the_admissible_commands_are_accepted(gather: bool) -> None:
    rules = game(gather)
    for commands in (
        (),
        ("get 2 oak_log", "get 3 birch_planks") if gather else ("craft 8 oak_planks using 2 oak_log",),
    ):
        state, _ = play(rules, *commands)
        listed = admissible(rules, state)
        assert listed == sorted(set(listed))
        for command in listed:
            apply(rules, state, command)
        ways = [way for item in rules.ways.values() for way in item]
        every = {way.command(times) for way in ways for times in range(1, 12)}
        every |= {f"get {n} {item}" for item in rules.start for n in range(1, 12)} | {"inventory"}
        for command in every - set(listed):
            with pytest.raises(RefusedError):
                apply(rules, state, command)


def test_too_many_commands_are_not_listed() -> None:
    rules = Game({"hemp": 2 * MOST_COMMANDS}, {"sack": 1}, game().recipes, {}, False)
    with pytest.raises(EnvironmentFault, match="too many to list"):
        admissible(rules, initial(rules))


@pytest.mark.parametrize("gather", [False, True])
def test_a_game_is_read_back_from_its_payload_and_from_its_first_observation(gather: bool) -> None:
    assert game_of(payload(game(gather), ["inventory"])) == game(gather)
    assert game_in(game(gather).intro()) == game(gather)
    assert game_in("You are in a room. Your task is to: put a mug on the desk.") is None


@pytest.mark.parametrize(
    "broken", ["", "[]", "{}", '{"start":{}}', payload(game(), []).replace('{"crate":1,"stick":4}', "{}")]
)
def test_a_broken_payload_is_refused(broken: str) -> None:
    with pytest.raises(EnvironmentFault, match="payload of a TextCraft task cannot be read"):
        game_of(broken)


def test_an_ingredient_that_two_groups_stand_for_is_taken_twice() -> None:
    rules = Game({"oak_planks": 3}, {"stool": 1}, game().recipes, {"planks": ("oak_planks",)}, False)
    stool = type(rules.recipes[0])("stool", 1, (("planks", 1), ("oak_planks", 2)))
    rules = Game(rules.start, rules.goal, (stool,), rules.groups, False)
    assert progress(rules, play(rules, "craft 1 stool using 3 oak_planks")[0]) == 1.0
