"""The setup of a problem: entities by type, their names, and the initial facts."""

from __future__ import annotations

from collections import Counter
from itertools import chain

from environments.alfworld.engine.facts import Entities, Facts, Row, Schema, State
from environments.alfworld.engine.pddl import TOP_TYPE, Domain, GameError, Problem


def initial_state(schema: Schema, entities: Entities, task: Problem) -> State:
    """Raises GameError if a fact does not fit the domain's declarations."""
    rows: dict[str, list[Row]] = {}
    members = {kind: frozenset(names) for kind, names in entities.items()}
    for atom in task.init:
        kinds = schema.domain.predicates.get(atom.predicate)
        if kinds is None or len(kinds) != len(atom.args):
            raise GameError(
                f"the PDDL problem states a ({atom.predicate} ...) that the domain does not declare"
            )
        for arg, kind in zip(atom.args, kinds, strict=True):
            if arg not in members.get(kind, ()):
                raise GameError(
                    f"the PDDL problem's ({atom.predicate} ...) names {arg!r}, which is no {kind} of it"
                )
        rows.setdefault(atom.predicate, []).append(atom.args)
    return tuple(Facts(rows.get(name, ())) for name in schema.slots)


def entities_by_type(domain: Domain, task: Problem) -> Entities:
    own: dict[str, list[str]] = {}
    for name, kind in task.objects.items():
        own.setdefault(kind, []).append(name)
    kinds = {*domain.supertypes, *own, TOP_TYPE}
    below = {kind: [names for other, names in own.items() if domain.is_a(other, kind)] for kind in kinds}
    return {kind: tuple(sorted(chain.from_iterable(lists))) for kind, lists in below.items()}


def types_of(task: Problem, predicate: str) -> dict[str, str]:
    """First argument -> second, as the problem spells it: {"shelf_bar_...": "ShelfType"}."""
    pairs = sorted(
        atom.args for atom in task.init if atom.predicate == predicate
    )  # the set has no order of its own
    return {entity: task.spelling[kind] for entity, kind in pairs}


def name_entities(task: Problem) -> dict[str, str]:
    """Names with numbers for all entities that some fact mentions: "Shelf_bar_..." is "shelf N", N counted down in
    the order of the ids; an id without "_bar_" is its own name. A basin has another name than its sink."""
    mentioned = sorted({arg for atom in task.init for arg in atom.args})
    stems = {entity: _stem(entity) for entity in mentioned}
    left = Counter(stem for stem in stems.values() if stem is not None)
    names = {}
    for entity, stem in stems.items():
        if stem is None:
            names[entity] = _plain(entity) + " "  # the engine keeps the blank before the missing number
        else:
            names[entity] = f"{stem} {left[stem]}"
            left[stem] -= 1
    return names


def _stem(entity: str) -> str | None:
    head, bar, _ = entity.partition("_bar_")
    return (_plain(head) + ("basin" if "basin" in entity else "")) if bar else None


def _plain(text: str) -> str:
    for word, sign in (("_minus_", "-"), ("_plus_", "+"), ("_dot_", "."), ("_comma_", ",")):
        text = text.replace(word, sign)
    return text
