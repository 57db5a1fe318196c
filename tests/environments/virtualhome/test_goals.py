"""Goals from two small graphs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from environments.virtualhome.goals import agent_of, goal_of, without_circles

ME, CUP, TABLE, LAMP = 1, 2, 3, 4


def graph(lamp: str, *edges: tuple[int, str, int]) -> dict[str, Any]:
    classes = {ME: "character", CUP: "cup", TABLE: "table", LAMP: "lamp"}
    states = {LAMP: [lamp], ME: ["SITTING"] if lamp == "ON" else []}
    nodes = [{"id": n, "class_name": kind, "states": states.get(n, [])} for n, kind in classes.items()]
    named = [{"from_id": one, "relation_type": relation, "to_id": other} for one, relation, other in edges]
    return {"nodes": nodes, "edges": named}


BEFORE = graph("OFF", (CUP, "ON", TABLE), (CUP, "CLOSE", TABLE), (ME, "CLOSE", LAMP))
AFTER = graph("ON", (CUP, "INSIDE", LAMP), (CUP, "CLOSE", LAMP), (ME, "HOLDS_RH", TABLE), (ME, "CLOSE", CUP))


def test_a_goal_is_what_was_added_and_removed() -> None:
    goal = goal_of(BEFORE, AFTER)
    assert set(goal.added) == {(CUP, "INSIDE", LAMP), (LAMP, "ON")}
    assert set(goal.removed) == {(CUP, "ON", TABLE), (LAMP, "OFF")}


def test_what_only_the_agent_or_closeness_changes_is_no_goal() -> None:
    moved = graph("OFF", (CUP, "ON", TABLE), (ME, "CLOSE", TABLE), (ME, "HOLDS_LH", CUP))
    assert len(goal_of(BEFORE, moved)) == 0


def test_the_second_of_two_edges_that_contradict_each_other_is_left_out() -> None:
    circle = graph(
        "OFF", (CUP, "INSIDE", TABLE), (TABLE, "INSIDE", CUP), (TABLE, "ON", CUP), (CUP, "ON", TABLE)
    )
    kept = [(e["from_id"], e["relation_type"], e["to_id"]) for e in without_circles(circle)["edges"]]
    assert kept == [(CUP, "INSIDE", TABLE), (TABLE, "ON", CUP), (CUP, "ON", TABLE)]


def test_a_graph_needs_one_agent() -> None:
    nobody = json.loads(json.dumps(BEFORE).replace("character", "statue"))
    assert agent_of(BEFORE) == ME
    with pytest.raises(ValueError, match="has 0 characters"):
        agent_of(nobody)
