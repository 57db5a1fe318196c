"""A generated game as text: the compact payload that a task carries, and its PDDL problem.

The payload is JSON: {"type", "goal": [object type, target type], "task": instruction, "room", "places": [[type,
x, y, z], ...], "objects": [[type, x, y, z, index of its place], ...]} with coordinates in centimetres. They give
the ids that official games have ("Mug_bar__plus_00_dot_12_bar_..."), and so the order in which entities are numbered.
"""

from __future__ import annotations

import functools
import json
import random
from itertools import chain
from pathlib import Path
from typing import Any

from configs.json_text import parse_json
from environments.alfworld.catalog import (
    CAN_CONTAIN,
    CLEANABLE,
    COOLABLE,
    HEATABLE,
    HOLLOW,
    LAMPS,
    OPENABLE,
    SLICEABLE,
)
from environments.alfworld.generation.drawing import Household
from environments.alfworld.texts.dialect import Dialect, in_dialect
from environments.base import EnvironmentFault

RULES = Path(__file__).parent / "rules"
INSTRUCTIONS = {
    "pick_and_place_simple": ("put some {o} on {r}.", "put a {o} in {r}."),
    "look_at_obj_in_light": ("look at {o} under the {r}.", "examine the {o} with the {r}."),
    "pick_clean_then_place_in_recep": ("clean some {o} and put it in {r}.", "put a clean {o} in {r}."),
    "pick_heat_then_place_in_recep": ("heat some {o} and put it in {r}.", "put a hot {o} in {r}."),
    "pick_cool_then_place_in_recep": ("cool some {o} and put it in {r}.", "put a cool {o} in {r}."),
    "pick_two_obj_and_place": ("put two {o} in {r}.", "find two {o} and put them in {r}."),
}
_TREATED = {
    "pick_clean_then_place_in_recep": ("cleanable", "isClean"),
    "pick_heat_then_place_in_recep": ("heatable", "isHot"),
    "pick_cool_then_place_in_recep": ("coolable", "isCool"),
}
_PROPERTIES = {
    "cleanable": CLEANABLE,
    "heatable": HEATABLE,
    "coolable": COOLABLE,
    "sliceable": SLICEABLE,
    "isReceptacleObject": HOLLOW,
    "toggleable": LAMPS,
}


@functools.cache
def rules() -> tuple[str, str]:
    """The domain, and the grammar with "@TASK@" in place of the instruction."""
    return (RULES / "domain.pddl").read_text(), (RULES / "grammar.twl2").read_text()


def game_texts(payload: str, dialect: Dialect = "put") -> tuple[str, str, str]:
    """(domain, problem, grammar) of a generated game, ready for an engine."""
    domain, grammar = rules()
    grammar_text = grammar.replace("@TASK@", read_payload(payload)["task"])
    return domain, problem_pddl(payload), in_dialect(grammar_text, dialect)


def make_payload(household: Household, rng: random.Random) -> str:
    """The game's JSON text. Coordinates and the wording of the instruction are drawn here."""
    goal, layout = household.goal, household.layout
    wording = rng.choice(INSTRUCTIONS[goal.task_type])
    width, height = 700, 200
    drawn = rng.sample(range(width * height * width), len(layout.receptacles) + len(household.objects))
    spots = [(n % width - 350, n // width % height, n // width // height - 350) for n in drawn]
    places, objects = spots[: len(layout.receptacles)], spots[len(layout.receptacles) :]
    return json.dumps(
        {
            "type": goal.task_type,
            "goal": [goal.thing, goal.target],
            "task": wording.format(o=goal.thing.lower(), r=goal.target.lower()),
            "room": layout.room,
            "places": [[name, *spot] for name, spot in zip(layout.receptacles, places, strict=True)],
            "objects": [
                [thing, *spot, at] for (thing, at), spot in zip(household.objects, objects, strict=True)
            ],
        },
        separators=(",", ":"),
    )


def problem_pddl(payload: str) -> str:
    """The PDDL problem of a generated game. Raises EnvironmentFault for an invalid payload."""
    game = read_payload(payload)
    try:
        places = [(entry[0], _id(entry), f"loc_bar_{at + 1}") for at, entry in enumerate(game["places"])]
        objects = [(entry[0], _id(entry), places[entry[4]]) for entry in game["objects"]]
        facts = ["(atLocation agent1 loc_bar_0)", *_place_facts(places), *_object_facts(objects)]
        kinds, things = sorted({name for name, *_ in places}), sorted({name for name, *_ in objects})
        facts += [
            f"(canContain {kind}Type {thing}Type)"
            for kind in kinds
            for thing in things
            if thing in CAN_CONTAIN[kind]
        ]
        goal = _goal(game["type"], *game["goal"])
        wanted = sorted({*things, game["goal"][0]})
    except (LookupError, TypeError, ValueError, AttributeError) as broken:
        raise EnvironmentFault(
            f"not a generated game's payload ({broken!r} in {payload[:80]!r}): draw the tasks again"
        ) from broken
    declared = [
        "agent1 - agent",
        *(f"{ident} - object" for _, ident, _ in objects),
        *(f"{ident} - receptacle" for _, ident, _ in places),
        *(f"loc_bar_{at} - location" for at in range(len(places) + 1)),
        *(f"{name}Type - rtype" for name in kinds),
        *(f"{name}Type - otype" for name in wanted),
    ]
    sections = [["(:objects", *declared, ")"], ["(:init", *facts, ")"], [f"(:goal {goal})", ")", ""]]
    return "\n".join(["(define (problem household)", "(:domain alfred)", *chain.from_iterable(sections)])


def read_payload(payload: str) -> dict[str, Any]:
    """The fields of a payload. Raises EnvironmentFault if they are missing."""
    try:
        game = parse_json(payload)
    except ValueError as broken:
        raise EnvironmentFault(
            f"a generated game's payload is not JSON ({broken}): draw the tasks again"
        ) from broken
    fields = {"type", "goal", "task", "places", "objects"}
    if not isinstance(game, dict) or not fields <= game.keys() or not isinstance(game["task"], str):
        raise EnvironmentFault(f"not a generated game's payload: {payload[:80]!r}; draw the tasks again")
    return game


def _id(entry: list[Any]) -> str:
    """["Mug", -16, 45, 204] -> the id that official games give such an entity."""
    name, *coordinates = entry[:4]
    spots = [
        f"_bar__{'plus' if c >= 0 else 'minus'}_{abs(c) // 100:02d}_dot_{abs(c) % 100:02d}"
        for c in coordinates
    ]
    basin = f"_bar_{name}" if name.endswith("Basin") else ""
    return name.removesuffix("Basin") + "".join(spots) + basin


def _place_facts(places: list[tuple[str, str, str]]) -> list[str]:
    facts = []
    for name, ident, location in places:
        facts += [f"(receptacleType {ident} {name}Type)", f"(receptacleAtLocation {ident} {location})"]
        if name in OPENABLE:
            facts.append(f"(openable {ident})")
    return facts


def _object_facts(objects: list[tuple[str, str, tuple[str, str, str]]]) -> list[str]:
    facts = []
    for name, ident, (_, receptacle, location) in objects:
        facts += [f"(objectType {ident} {name}Type)", f"(objectAtLocation {ident} {location})"]
        facts += [f"(inReceptacle {ident} {receptacle})"]
        facts += [f"({fact} {ident})" for fact, names in _PROPERTIES.items() if name in names]
        if name not in LAMPS:
            facts.append(f"(pickupable {ident})")
    return facts


def _goal(task_type: str, thing: str, target: str) -> str:
    if task_type == "look_at_obj_in_light":
        lamp = f"(objectType ?ot {target}Type) (toggleable ?ot) (isToggled ?ot)"
        near = "(receptacleAtLocation ?r ?l) (atLocation ?a ?l) (inReceptacle ?ot ?r)"
        held = f"(exists (?o - object ?a - agent) (and (objectType ?o {thing}Type) (holds ?a ?o)))"
        return f"(and (exists (?ot - object ?r - receptacle ?a - agent ?l - location) (and {lamp} {near})) {held})"
    there = f"(objectType {{o}} {thing}Type) (receptacleType ?r {target}Type) (inReceptacle {{o}} ?r)"
    if task_type == "pick_two_obj_and_place":
        second = f"(exists (?o2 - object) (and (not (= ?o1 ?o2)) {there.format(o='?o2')}))"
        wanted = f"(exists (?o1 - object) (and {there.format(o='?o1')} {second}))"
    else:
        able = " ".join(f"({fact} ?o)" for fact in _TREATED.get(task_type, ()))
        wanted = f"(exists (?o - object) (and {able} {there.format(o='?o')}))"
    return f"(and (exists (?r - receptacle) {wanted}))"
