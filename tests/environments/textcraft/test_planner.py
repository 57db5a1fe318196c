"""The planner finds a plan wherever there is one: compared with trying everything."""

from __future__ import annotations

import random

import pytest

from environments.textcraft.game import Game
from environments.textcraft.planner import plan
from environments.textcraft.recipes import Recipe
from environments.textcraft.rules import State, admissible, apply, initial, progress
from tests.support.textcraft_toys import game


def carried_out(rules: Game, state: State, commands: list[str]) -> State:
    for command in commands:
        state, _ = apply(rules, state, command)
    return state


def shortest(rules: Game, state: State) -> int | None:
    """The fewest commands to the goal, by trying everything; None if there is no way."""
    front, seen, depth = {state}, {state}, 0
    while front:
        if any(progress(rules, now) == 1.0 for now in front):
            return depth
        front = {apply(rules, now, command)[0] for now in front for command in admissible(rules, now)} - seen
        seen |= front
        depth += 1
    return None


@pytest.mark.parametrize("gather", [False, True])
def test_a_plan_reaches_the_goal(gather: bool) -> None:
    commands = plan(game(gather), initial(game(gather)))
    assert commands is not None
    assert progress(game(gather), carried_out(game(gather), initial(game(gather)), commands)) == 1.0


def test_nothing_is_left_to_do_at_the_goal() -> None:
    rules = game()
    end = carried_out(rules, initial(rules), plan(rules, initial(rules)) or [])
    assert plan(rules, end) == []


def test_from_random_states_there_is_a_plan_exactly_if_there_is_a_way() -> None:
    rules, rng, dead, longer = game(), random.Random(0), 0, 0
    for _ in range(60):
        state = initial(rules)
        for _ in range(rng.randint(1, 3)):
            state, _ = apply(rules, state, rng.choice(admissible(rules, state)))
        found, fewest = plan(rules, state), shortest(rules, state)
        assert (found is None) == (fewest is None), state
        dead += found is None
        if found is not None and fewest is not None:
            assert progress(rules, carried_out(rules, state, found)) == 1.0
            longer += len(found) > fewest
    assert 5 < dead < 55
    assert longer <= 3


def test_a_circle_of_recipes_does_not_make_something_of_nothing() -> None:
    rules = Game({"hemp": 8}, {"hemp_bale": 1}, game().recipes, {"planks": ()}, False)
    assert plan(rules, initial(rules)) is None
    rules = Game({"hemp": 9}, {"hemp_bale": 1}, game().recipes, {"planks": ()}, False)
    assert plan(rules, initial(rules)) == ["craft 1 hemp_bale using 9 hemp"]


def test_two_recipes_are_mixed_if_neither_has_enough() -> None:
    recipes = (Recipe("dye", 1, (("lily", 1),)), Recipe("dye", 1, (("bone", 1),)))
    rules = Game({"bone": 2, "lily": 1}, {"dye": 3}, recipes, {}, False)
    commands = plan(rules, initial(rules))
    assert sorted(commands or []) == ["craft 1 dye using 1 lily", "craft 2 dye using 2 bone"]


def test_what_several_things_take_is_crafted_at_once() -> None:
    recipes = tuple(Recipe(item, 1, (("stick", 3),)) for item in ("bow", "rod"))
    rules = Game({"log": 2}, {"bow": 1, "rod": 1}, (*recipes, Recipe("stick", 4, (("log", 1),))), {}, False)
    assert plan(rules, initial(rules)) == [
        "craft 8 stick using 2 log",
        "craft 1 bow using 3 stick",
        "craft 1 rod using 3 stick",
    ]


def test_a_long_chain_of_recipes_is_planned() -> None:
    recipes = tuple(Recipe(f"i{n + 1}", 1, ((f"i{n}", 1),)) for n in range(300))
    rules = Game({"i0": 1}, {"i300": 1}, recipes, {}, False)
    commands = plan(rules, initial(rules))
    assert commands is not None
    assert len(commands) == 300
