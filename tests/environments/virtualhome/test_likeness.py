"""A goal is reached by any things that its description does not tell apart."""

from __future__ import annotations

from typing import Any

import pytest

from environments.virtualhome import likeness
from environments.virtualhome.goals import Goal, facts, goal_of
from environments.virtualhome.likeness import Reach, like_things

KITCHEN, BEDROOM, LAMP, OTHER, THIRD, CUP, MUG, PLATE, TABLE, DESK = range(10)
KINDS = ["kitchen", "bedroom", "lamp", "lamp", "lamp", "cup", "cup", "plate", "table", "table"]
ROOMS = {LAMP: KITCHEN, OTHER: BEDROOM, THIRD: BEDROOM, TABLE: KITCHEN, DESK: BEDROOM}
OFF: dict[int, str] = {LAMP: "OFF", OTHER: "OFF", THIRD: "ON"}


def graph(lamps: dict[int, str], *on: tuple[int, int]) -> dict[str, Any]:
    """A home. `on`: what stands on what."""
    nodes = [
        {
            "id": number,
            "class_name": kind,
            "category": "Rooms" if number in (KITCHEN, BEDROOM) else "Things",
            "states": [lamps[number]] if number in lamps else [],
        }
        for number, kind in enumerate(KINDS)
    ]
    inside = [{"from_id": thing, "relation_type": "INSIDE", "to_id": room} for thing, room in ROOMS.items()]
    standing = [{"from_id": thing, "relation_type": "ON", "to_id": other} for thing, other in on]
    me = {"id": 99, "class_name": "character", "category": "Characters", "states": []}
    return {"nodes": [*nodes, me], "edges": [*inside, *standing]}


def progress(before: Any, program: Any, now: Any, description: str = "") -> float:
    """How far the goal of a program is reached in another home."""
    reach = Reach.of(goal_of(before, program), facts(before), like_things(before, description))
    there = facts(now)
    return reach.progress(lambda fact: fact in there)


def test_another_thing_of_the_kind_will_do() -> None:
    before = graph(OFF)
    program = graph(OFF | {LAMP: "ON"})
    assert progress(before, program, program) == 1.0
    assert progress(before, program, graph(OFF | {OTHER: "ON"})) == 1.0
    assert progress(before, program, before) == 0.0


def test_what_was_so_from_the_beginning_reaches_nothing() -> None:
    """The third lamp is on: that is no change. Nor is it one to switch it off."""
    before, program = graph(OFF), graph(OFF | {LAMP: "ON"})
    assert progress(before, program, graph(OFF | {THIRD: "OFF"})) == 0.0


def test_a_room_that_the_description_names_is_meant() -> None:
    before, program, other = graph(OFF), graph(OFF | {LAMP: "ON"}), graph(OFF | {OTHER: "ON"})
    assert progress(before, program, other, "Turn on a light in the Kitchen.") == 0.0
    assert progress(before, program, program, "Turn on a light in the Kitchen.") == 1.0
    assert progress(before, program, other, "Turn on a light, then go to the bedroom.") == 1.0


def test_each_thing_counts_once() -> None:
    """Two lamps are to be on, two cups on the table: one of each is half."""
    before = graph({**OFF, THIRD: "OFF"})
    program = graph({LAMP: "ON", OTHER: "ON", THIRD: "OFF"}, (CUP, TABLE), (MUG, TABLE))
    half = graph({LAMP: "OFF", OTHER: "OFF", THIRD: "ON"}, (MUG, TABLE))
    whole = graph({LAMP: "ON", OTHER: "OFF", THIRD: "ON"}, (MUG, TABLE), (CUP, TABLE))
    assert progress(before, program, half) == 0.5
    assert progress(before, program, whole) == 1.0


def test_what_stands_together_stands_together_anywhere() -> None:
    """A plate and a cup on one table: the other table will do, but not one on each."""
    before = graph(OFF)
    program = graph(OFF, (PLATE, TABLE), (CUP, TABLE))
    assert progress(before, program, graph(OFF, (PLATE, DESK), (MUG, DESK))) == 1.0
    assert progress(before, program, graph(OFF, (PLATE, DESK), (CUP, TABLE))) == 0.5


def test_where_there_are_too_many_choices_the_program_s_own_is_meant(monkeypatch: Any) -> None:
    before, program = graph(OFF), graph(OFF, (PLATE, TABLE))
    other = graph(OFF, (PLATE, DESK))
    assert progress(before, program, other) == 1.0
    monkeypatch.setattr(likeness, "MOST", 1)
    assert progress(before, program, other) == 0.0
    assert progress(before, program, program) == 1.0


def test_facts_are_exchanged_together() -> None:
    """What is removed of a thing must be removed of the thing that stands for it."""
    before = graph(OFF, (CUP, TABLE), (MUG, TABLE))
    program = graph(OFF, (CUP, DESK), (MUG, TABLE))
    reach = Reach.of(goal_of(before, program), facts(before), like_things(before, ""))
    assert reach.facts == 2
    assert progress(before, program, graph(OFF, (MUG, DESK), (CUP, TABLE))) == 1.0
    assert progress(before, program, graph(OFF, (MUG, TABLE), (MUG, DESK), (CUP, TABLE))) == 0.5


def test_one_thing_is_never_two() -> None:
    """Two lamps of the kitchen are to be on, and the plate is to stand on that of the bedroom. Where it stands on one
    of the kitchen, the other one is not both."""
    like = {0: (0, 1), 1: (0, 1), 2: (0, 1, 2), 3: (3,)}
    goal = Goal(((0, "ON"), (1, "ON"), (3, "ON", 2)), ())
    reach = Reach.of(goal, frozenset(), like)
    one_lamp = {(1, "ON"), (3, "ON", 0)}
    assert reach.progress(lambda fact: fact in one_lamp) == pytest.approx(2 / 3)
    assert reach.progress(lambda fact: fact in {(0, "ON"), (1, "ON"), (3, "ON", 2)}) == 1.0
