"""The interpreter on a toy world: admissible commands, effects, texts, and the goal."""

from __future__ import annotations

import pytest

from environments.alfworld.engine.game import Game, GameError, State, compile_game
from tests.support.alfworld_toys import ACTIONS, DOMAIN, NEWER, PROBLEM, WINNING, grammar


def toy(domain: str = DOMAIN, problem: str = PROBLEM, actions=ACTIONS) -> Game:
    return compile_game(domain, problem, grammar(actions))


def run(game: Game, commands: list[str], state: State | None = None) -> tuple[State, list[str]]:
    state, said = state or game.initial, []
    for command in commands:
        done = game.apply(state, command)
        assert done is not None, command
        state, text = done
        said.append(text)
    return state, said


def test_entities_are_numbered_downwards_in_the_order_of_their_ids():
    names = toy().names
    assert names["shelf_bar_a"] == "shelf 2"
    assert names["shelf_bar_b"] == "shelf 1"
    assert toy().ids["cup 2"] == "cup_bar_1"


def test_types_are_spelled_as_in_the_problem():
    game = toy()
    assert game.receptacle_types == {
        "shelf_bar_a": "ShelfType",
        "shelf_bar_b": "ShelfType",
        "box_bar_a": "BoxType",
    }
    assert game.object_types["lamp_bar_1"] == "LampType"


def test_the_first_observation_lists_the_room_and_the_task():
    game = toy()
    assert game.intro() == (
        "Welcome.\n\nYou see a box 1, a shelf 2, and a shelf 1.\n\nYour task is to: fill the box."
    )
    assert game.instruction == "fill the box"


def test_admissible_commands_are_sorted_and_exactly_those_that_apply():
    game = toy()
    state, _ = run(game, ["go to shelf 1", "take lamp 1 from shelf 1"])
    commands = game.commands(state)
    assert commands == [
        "examine cup 1",
        "examine cup 2",
        "examine lamp 1",
        "go to box 1",
        "look",
        "put lamp 1 in/on shelf 1",
        "put lamp 1 in/on shelf 2",
        "use lamp 1",
    ]
    assert all(game.apply(state, command) for command in commands)


@pytest.mark.parametrize(
    "command",
    [
        "go to shelf 1",
        "take cup 1 from shelf 2",
        "open box 1",
        "fly",
        "",
        "look around",
        "LOOK",
        "go to cup 1",
    ],
)
def test_other_commands_are_not_admissible(command):
    game = toy()
    state, _ = run(game, ["go to shelf 2", "take cup 1 from shelf 2"])
    assert command not in game.commands(state)
    assert game.apply(state, command) is None


def test_blanks_around_a_command_do_not_matter():
    game = toy()
    assert game.apply(game.initial, "  go to box 1 ") == game.apply(game.initial, "go to box 1")


def test_going_to_where_one_is_changes_nothing_and_so_is_not_admissible():
    game = toy()
    state, _ = run(game, ["go to shelf 1"])
    assert game.apply(state, "go to shelf 2") is None  # it stands in the same place
    assert game.apply(state, "go to box 1") is not None


def test_what_is_in_a_closed_box_cannot_be_taken():
    game = toy(
        problem=PROBLEM.replace("(inReceptacle Cup_bar_1 Shelf_bar_a)", "(inReceptacle Cup_bar_1 Box_bar_a)")
    )
    state, said = run(game, ["go to box 1"])
    assert said == ["You arrive at loc 1. The box 1 is closed."]
    assert game.apply(state, "take cup 2 from box 1") is None
    state, said = run(game, ["open box 1", "take cup 2 from box 1"], state)
    assert said[0] == "You open the box 1. In it, you see a cup 2."


def test_a_run_is_won_at_its_last_step_and_progress_counts_conditions():
    game = toy()
    state, progress = game.initial, []
    for command in WINNING:
        assert not game.won(state)
        state, _ = run(game, [command], state)
        progress.append(game.progress(state))
    assert game.won(state)
    assert progress == [0.0] * 4 + [0.5] * 4 + [1.0]


def test_the_same_object_does_not_count_twice():
    game = toy()
    state, _ = run(game, WINNING[:5])
    assert game.progress(state) == 0.5
    assert not game.won(state)


def test_an_object_can_be_in_two_receptacles():
    game = toy(
        problem=PROBLEM.replace(
            "(isOn Lamp_bar_1)", "(isOn Lamp_bar_1) (inReceptacle Lamp_bar_1 Shelf_bar_a)"
        )
    )
    state, _ = run(game, ["go to shelf 1", "take lamp 1 from shelf 1"])
    assert game.facts(state, "inReceptacle") >= {("lamp_bar_1", "shelf_bar_a")}
    assert not game.holds(state, "inReceptacle", "lamp_bar_1", "shelf_bar_b")


def test_conditional_effects_look_at_the_state_before():
    game = toy()
    state, _ = run(game, ["go to shelf 1", "take lamp 1 from shelf 1"])
    assert game.holds(state, "isOn", "lamp_bar_1")
    off, _ = run(game, ["use lamp 1"], state)
    assert not game.holds(off, "isOn", "lamp_bar_1")
    assert run(game, ["use lamp 1"], off)[0] == state


def test_texts_know_what_was_undone_not_what_never_was():
    game = toy()
    state, said = run(game, ["go to shelf 1", "look", "take lamp 1 from shelf 1", "look"])
    assert said[1] == "You face the shelf 2, and shelf 1. Missing: nothing."
    assert said[3] == "You face the shelf 2, and shelf 1. Missing: lamp 1."
    assert run(game, ["put lamp 1 in/on shelf 1", "look"], state)[1][1].endswith("Missing: nothing.")


def test_states_are_equal_where_nothing_that_matters_differs():
    game = toy()
    seen, _ = run(game, ["go to shelf 1", "look", "examine lamp 1"])
    plain, _ = run(game, ["go to shelf 2"])
    assert seen == plain
    assert hash(seen) == hash(plain)
    assert game.initial != plain


def test_a_type_that_nothing_has_can_never_be_met():
    """The official domain writes `?l - location,`: the comma rules out examining what only lies near."""
    comma = DOMAIN.replace("(exists (?l - location ?r", "(exists (?l - location, ?r")
    game = toy(domain=comma)
    state, _ = run(game, ["go to shelf 1"])
    assert game.apply(state, "examine lamp 1") is None
    assert "examine lamp 1" not in game.commands(state)
    state, _ = run(game, ["take lamp 1 from shelf 1"], state)
    assert game.apply(state, "examine lamp 1") is not None


def test_the_grammar_decides_the_dialect():
    older, newer = toy(), toy(actions=NEWER)
    at_box = ["go to shelf 1", "take lamp 1 from shelf 1", "go to box 1", "open box 1"]
    state, _ = run(newer, at_box)
    assert run(newer, ["move lamp 1 to box 1"], state)[1] == ["You move the lamp 1 to the box 1."]
    assert newer.apply(state, "put lamp 1 in/on box 1") is None
    state, _ = run(older, at_box)
    assert older.apply(state, "move lamp 1 to box 1") is None
    assert older.apply(state, "put lamp 1 in/on box 1") is not None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"problem": PROBLEM.replace("(isOn Lamp_bar_1)", "(isOn Candle_bar_1)")}, "candle_bar_1"),
        ({"problem": PROBLEM.replace("(isOn Lamp_bar_1)", "(glows Lamp_bar_1)")}, "glows"),
        ({"domain": DOMAIN.replace("(openable ?r) (atLocation", "(locked ?r) (atLocation")}, "'locked'"),
        (
            {"actions": {k: v for k, v in ACTIONS.items() if k != "take"}},
            "no template for the PDDL action 'take'",
        ),
        ({"actions": {**ACTIONS, "take": ("take {x} from {r}", "ok")}}, "'take {x} from {r}'"),
        ({"actions": {**ACTIONS, "take": ("{o} taken", "ok")}}, "does not start with a word"),
    ],
)
def test_texts_that_do_not_fit_together_are_refused(changes, message):
    with pytest.raises(GameError, match=message.replace("{", "\\{")):
        toy(**changes)


def test_asking_for_an_unknown_predicate_is_refused():
    game = toy()
    with pytest.raises(GameError, match="checked"):
        game.holds(game.initial, "checked", "box_bar_a")
