"""Goals: what a program changes in the home, read from the graphs before and after it.

A fact is a state of a thing, (number, "ON"), or a relation of two, (number, "INSIDE", number). What the agent is, holds
or stands next to is no part of a goal, and neither is what is close to what.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Graph = Mapping[str, Any]
"""`nodes`: id, class_name, category, states, properties. `edges`: from_id, relation_type, to_id."""
Fact = tuple[int, str] | tuple[int, str, int]


@dataclass(frozen=True, slots=True)
class Goal:
    """`added`: facts that must hold. `removed`: facts that must not. How far it is reached: likeness.py."""

    added: tuple[Fact, ...]
    removed: tuple[Fact, ...]

    def __len__(self) -> int:
        return len(self.added) + len(self.removed)


def goal_of(before: Graph, after: Graph) -> Goal:
    """What differs between two graphs of one home. Empty if only the agent, or what is close to what, differs."""
    then, now = facts(before), facts(after)
    return Goal(_sorted(now - then), _sorted(then - now))


def facts(graph: Graph) -> set[Fact]:
    me = agent_of(graph)
    found: set[Fact] = {
        (node["id"], state.upper()) for node in graph["nodes"] if node["id"] != me for state in node["states"]
    }
    for edge in graph["edges"]:
        fact = (edge["from_id"], edge["relation_type"].upper(), edge["to_id"])
        if me not in fact and fact[1] != "CLOSE":
            found.add(fact)
    return found


def agent_of(graph: Graph) -> int:
    """The number of the agent. Raises ValueError if there is not exactly one."""
    found = [node["id"] for node in graph["nodes"] if node["class_name"] == "character"]
    if len(found) != 1:
        raise ValueError(f"the graph has {len(found)} characters, and needs one")
    return int(found[0])


def without_circles(graph: Graph) -> Graph:
    """The graph without the second of two edges that say of two things that each is inside the other: the simulator
    would look for their room without end, and no goal with them can be reached."""
    seen: set[tuple[int, int]] = set()
    edges = []
    for edge in graph["edges"]:
        pair = (edge["from_id"], edge["to_id"])
        if edge["relation_type"].upper() == "INSIDE":
            if pair[::-1] in seen:
                continue
            seen.add(pair)
        edges.append(edge)
    return {**graph, "edges": edges}


def _sorted(found: Iterable[Fact]) -> tuple[Fact, ...]:
    return tuple(sorted(found, key=lambda fact: tuple(map(str, fact))))
