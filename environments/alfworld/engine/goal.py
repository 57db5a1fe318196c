"""A game's goal: whether it is reached, and the share of its conditions that hold."""

from __future__ import annotations

from dataclasses import dataclass

from environments.alfworld.engine.facts import Entities, Schema, State
from environments.alfworld.engine.formulas import Conjunction, conjunctions, free_variables, predicates_of
from environments.alfworld.engine.joins import (
    Holds,
    Search,
    Test,
    compile_holds,
    compile_search,
    compile_test,
)
from environments.alfworld.engine.pddl import Formula


@dataclass(frozen=True)
class Component:
    """Goal conditions that share variables: the bindings to consider, and the conditions to satisfy for one of them."""

    candidates: Search  # every binding that meets the static conditions (no action can change them)
    conditions: tuple[Test, ...]

    def best(self, state: State, entities: Entities) -> int:
        """The largest number of conditions that hold for one binding."""
        bindings = self.candidates(state, {}, entities)
        return max((sum(test(state, known) for test in self.conditions) for known in bindings), default=0)


@dataclass(frozen=True)
class Goal:
    """`alternatives`: the conjunctions of which one must hold, each with its test and its components."""

    formula: Formula
    slots: tuple[int, ...]  # of the predicates that it reads
    alternatives: tuple[tuple[Holds, tuple[Component, ...]], ...]

    def unchanged(self, before: State, after: State) -> bool:
        """Whether an action changed nothing that the goal reads."""
        return all(
            before[slot] is after[slot] for slot in self.slots
        )  # unchanged sets are shared between states

    def reached(self, state: State, entities: Entities) -> bool:
        return any(holds(state, {}, entities) for holds, _ in self.alternatives)

    def progress(self, state: State, entities: Entities) -> float:
        """The largest share, over the alternatives, of conditions that hold now, in [0, 1]; 1.0 exactly when the
        goal is reached. Conditions that no action can change are not counted."""
        return max(self._share(components, state, entities) for _, components in self.alternatives)

    @staticmethod
    def _share(components: tuple[Component, ...], state: State, entities: Entities) -> float:
        total = sum(len(component.conditions) for component in components)
        held = sum(component.best(state, entities) for component in components)
        return held / total if total else 1.0


def compile_goal(schema: Schema, formula: Formula) -> Goal:
    """Raises GameError if the goal has a form that the interpreter does not support."""
    return Goal(
        formula,
        tuple(sorted(schema.slot(predicate) for predicate in predicates_of(formula))),
        tuple(
            (
                compile_holds(schema, wanted),
                tuple(_component(schema, group) for group in _groups(wanted)),
            )
            for wanted in conjunctions(formula, {})
        ),
    )


def _component(schema: Schema, wanted: Conjunction) -> Component:
    static = [part for part in wanted.parts if not predicates_of(part) & schema.fluents]
    changeable = [part for part in wanted.parts if predicates_of(part) & schema.fluents]
    candidates = compile_search(schema, Conjunction(wanted.kinds, tuple(static)), (), wanted.kinds)
    return Component(candidates, tuple(compile_test(schema, part) for part in changeable))


def _groups(wanted: Conjunction) -> list[Conjunction]:
    """The conjunction, split into parts that share no variable."""
    groups: list[tuple[set[str], list[Formula]]] = []
    for part in wanted.parts:
        names, parts = free_variables(part), [part]
        apart = []
        for other_names, other_parts in groups:
            if names & other_names:
                names, parts = names | other_names, other_parts + parts
            else:
                apart.append((other_names, other_parts))
        groups = [*apart, (names, parts)]
    return [
        Conjunction({name: wanted.kinds[name] for name in sorted(names)}, tuple(parts))
        for names, parts in groups
    ]
