"""What the agent can see of a state of the simulator. What is in something closed is hidden."""

from __future__ import annotations

from typing import Any

from environments.virtualhome.simulator import Home, related
from environments.virtualhome.texts import Sight, View

SHELL = frozenset(("wall", "floor", "ceiling", "window", "doorjamb"))
"""Classes of the building itself: they are not listed."""
_UNSAID = "CLEAN"
"""The usual state, which is not said: what is not dirty is clean, or neither."""


def look(home: Home, state: Any) -> View:
    close = [number for number in related(state, home.me, "CLOSE") if _listed(home, state, number)]
    held = sorted({n for hand in ("HOLDS_RH", "HOLDS_LH") for n in related(state, home.me, hand)})
    postures = {found.name.lower() for found in state.get_node(home.me).states}
    return View(
        room=" and ".join(home.names[n] for n in related(state, home.me, "INSIDE") if _is_room(state, n)),
        posture=" and ".join(sorted(postures & {"sitting", "lying"})),
        close=tuple(_sight(home, state, number) for number in close if number not in held),
        faced=tuple(home.names[n] for n in related(state, home.me, "FACING") if n in home.names),
        held=tuple(home.names[number] for number in held),
    )


def overview(home: Home, state: Any) -> dict[str, list[str]]:
    """Room -> the things in it that can be seen, by number."""
    rooms = [node.id for node in state.get_nodes() if node.category == "Rooms"]
    found: dict[str, list[str]] = {home.names[room]: [] for room in sorted(rooms)}
    for number in sorted(home.names):
        if number in rooms or not _listed(home, state, number):
            continue
        for room in related(state, number, "INSIDE"):
            if room in rooms:
                found[home.names[room]].append(home.names[number])
    return found


def _sight(home: Home, state: Any, number: int) -> Sight:
    marks = [
        f"{word} {home.names[other]}"
        for relation, word in (("ON", "on"), ("INSIDE", "in"))
        for other in related(state, number, relation)
        if other in home.names and _said(state, other)
    ]
    states = sorted(found.name for found in state.get_node(number).states if found.name != _UNSAID)
    return Sight(home.names[number], (*marks, *(_worded(name) for name in states)))


def _worded(state: str) -> str:
    return {"PLUGGED_OUT": "unplugged"}.get(state, state.lower().replace("_", " "))


def _listed(home: Home, state: Any, number: int) -> bool:
    return number in home.names and _said(state, number) and not _hidden(state, number, {number})


def _said(state: Any, number: int) -> bool:
    node = state.get_node(number)
    return node.category != "Rooms" and node.class_name not in SHELL


def _hidden(state: Any, number: int, met: set[int]) -> bool:
    """Whether a thing is in something closed, directly or not."""
    for container in set(related(state, number, "INSIDE")) - met:
        closed = any(found.name == "CLOSED" for found in state.get_node(container).states)
        if not _is_room(state, container) and (closed or _hidden(state, container, met | {container})):
            return True
    return False


def _is_room(state: Any, number: int) -> bool:
    return bool(state.get_node(number).category == "Rooms")
