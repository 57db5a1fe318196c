"""Commands in text and as lines of programs."""

from __future__ import annotations

import pytest

from environments.virtualhome.commands import FORMS, Command, Thing, parse_command, parse_line

CUP, FOOD, BANDS = Thing("cup", 12), Thing("food_food", 1000), Thing("band-aids", 3)


@pytest.mark.parametrize("action", FORMS)
def test_every_action_is_read_back_from_its_text_and_its_line(action: str) -> None:
    things = (FOOD, BANDS)[: FORMS[action].count("THING")]
    command = Command(action, things)
    assert parse_command(command.text) == command
    assert parse_line(command.line) == command


def test_no_two_actions_have_the_same_text() -> None:
    assert len(set(FORMS.values())) == len(FORMS)


def test_text_may_differ_in_case_and_spaces() -> None:
    assert parse_command("  Put  cup 12 ON food food 1000. ") == Command("PUTBACK", (CUP, FOOD))


@pytest.mark.parametrize(
    "text", ["", "fly to cup 12", "grab cup", "put cup 12", "stand up cup 12", "grab 12"]
)
def test_other_texts_are_no_command(text: str) -> None:
    assert parse_command(text) is None


@pytest.mark.parametrize("line", ["[WALK] <cup> (1.12)", "[WALK] <cup> (12)", " [Walk] <Cup>  (2.12) "])
def test_numbers_of_lines_may_have_the_number_in_the_program_first(line: str) -> None:
    assert parse_line(line) == Command("WALK", (CUP,))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("WALK <cup> (12)", "has not the form"),
        ("[WALK] <cup (12)", "has not the form"),
        ("[FLY] <cup> (12)", "unknown action 'FLY'"),
        ("[PUTIN] <cup> (12)", "names 1 things, and PUTIN takes 2"),
        ("[WALK] <cup> (1.2.12)", "not written"),
    ],
)
def test_a_broken_line_is_refused_with_the_reason(line: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_line(line)
