"""Program files, and the splits of the tasks made of them."""

from __future__ import annotations

from collections import Counter

import pytest

from environments.virtualhome.programs import parse_program
from environments.virtualhome.splits import split_of

TEXT = "Drink\nI walk to the kitchen\nand  drink\n\n\n[WALK] <dining_room> (1.201)\n[GRAB] <cup> (1.12)\n\n"


def test_a_program_has_title_description_and_commands() -> None:
    program = parse_program(TEXT)
    assert program.instruction == "Drink: I walk to the kitchen and drink"
    assert program.lines == "[WALK] <dining_room> (201)\n[GRAB] <cup> (12)"


def test_a_title_alone_is_the_instruction() -> None:
    assert parse_program("Drink\n\n[SLEEP]").instruction == "Drink"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no commands"),
        ("Drink\nWater\n", "no commands"),
        ("[SLEEP]\n", "no title"),
        ("Drink\n\n[GRAB] <cup> (1.12)\nthen more", "'then more' has not the form"),
    ],
)
def test_a_broken_program_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_program(text)


def test_a_title_is_unseen_or_not_whatever_its_programs() -> None:
    titles = [f"title {n}" for n in range(50)]
    splits = {title: {split_of(title, f"[SLEEP] {n}") for n in range(200)} for title in titles}
    unseen = [title for title in titles if "unseen" in splits[title]]
    assert 0 < len(unseen) < 25
    assert all(splits[title] == {"unseen"} for title in unseen)
    assert all(splits[title] == {"train", "validation", "seen"} for title in titles if title not in unseen)


def test_programs_are_held_out_by_their_lines_alone() -> None:
    known = [title for title in map(str, range(50)) if split_of(title, "") != "unseen"]
    lines = [f"[WALK] <cup> ({n})" for n in range(500)]
    assert all(len({split_of(title, line) for title in known}) == 1 for line in lines)
    counts = Counter(split_of(known[0], line) for line in lines)
    assert 25 < counts["validation"] < 75
    assert 25 < counts["seen"] < 75
