"""A compiled PDDL action with its command template: from the text of a command to the next state."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from environments.alfworld.engine.facts import Facts, Row, Schema, State
from environments.alfworld.engine.formulas import Conjunction, conjunctions
from environments.alfworld.engine.grammar import ActionText
from environments.alfworld.engine.joins import (
    Binding,
    Search,
    Test,
    compile_rows,
    compile_search,
    compile_test,
)
from environments.alfworld.engine.pddl import (
    ALWAYS,
    Action,
    And,
    Atom,
    Effect,
    Equal,
    Formula,
    GameError,
    Not,
    Or,
)
from environments.alfworld.engine.templates import Expression, Listing, Segment, Symbol, Text, parse_segments


@dataclass(frozen=True)
class RowChange:
    """One effect on the rows of a slot. `negation_slot` is the slot of `not_p`, if the texts read it."""

    slot: int
    negation_slot: int | None
    adds: bool
    condition: Test | None


@dataclass(frozen=True)
class Template:
    """The text of this action's commands. `exact` is False if a match must be checked by writing the command out."""

    first_word: str
    segments: tuple[Segment, ...]
    pattern: re.Pattern[str]
    variables: tuple[str, ...]
    exact: bool


@dataclass(frozen=True)
class Command:
    """A compiled action. `named_searches` and `free_searches` have one search for each alternative conjunction of the
    precondition: the first given the variables that the command names, the second given none."""

    action: Action
    template: Template
    feedback: tuple[Segment, ...]
    named_searches: tuple[Search, ...]
    free_searches: tuple[Search, ...]
    changes: tuple[RowChange, ...]
    rows: Callable[[Binding], tuple[Row, ...]]  # one for each change

    def after(self, state: State, known: Binding) -> State:
        """The next state. Deletions come before additions; conditions are tested in the previous state."""
        rows: dict[int, set[Row]] = {}
        for change, row in zip(self.changes, self.rows(known), strict=True):
            if change.condition is not None and not change.condition(state, known):
                continue
            _put(rows, state, change.slot, row, change.adds)
            if change.negation_slot is not None:
                _put(rows, state, change.negation_slot, row, not change.adds)
        if not rows:
            return state
        new = list(state)
        for slot, content in rows.items():
            new[slot] = Facts(content)
        return tuple(new)


def _put(rows: dict[int, set[Row]], state: State, slot: int, row: Row, present: bool) -> None:
    now = rows.get(slot)
    if (row in (state[slot] if now is None else now)) == present:
        return
    if now is None:
        now = rows[slot] = set(state[slot])
    if present:
        now.add(row)
    else:
        now.discard(row)


def compile_command(schema: Schema, action: Action, text: ActionText) -> Command:
    """Raises GameError if the template or the action has a form that the interpreter does not support."""
    template, parameters = compile_template(text.template, action), dict(action.parameters)
    ways = [_without_idle_cases(action, wanted) for wanted in conjunctions(action.precondition, parameters)]
    # Predicates that nothing reads are left out. Deletions come first, so an addition of the same row wins.
    kept = sorted((e for e in action.effects if e.atom.predicate in schema.slots), key=lambda e: e.adds)
    return Command(
        action=action,
        template=template,
        feedback=parse_segments(text.feedback),
        named_searches=tuple(compile_search(schema, way, template.variables, parameters) for way in ways),
        free_searches=tuple(compile_search(schema, way, (), parameters) for way in ways),
        changes=tuple(_change(schema, effect) for effect in kept),
        rows=compile_rows(schema, [effect.atom for effect in kept]),
    )


def _change(schema: Schema, effect: Effect) -> RowChange:
    return RowChange(
        slot=schema.slots[effect.atom.predicate],
        negation_slot=schema.slots.get(f"not_{effect.atom.predicate}"),
        adds=effect.adds,
        condition=None if effect.condition == ALWAYS else compile_test(schema, effect.condition),
    )


def _without_idle_cases(action: Action, wanted: Conjunction) -> Conjunction:
    """The conjunction without the cases in which the action has no effect, such as going where the agent already is:
    the original engine's planner drops them too. There every effect is among the action's own preconditions, or is a
    deletion that an addition undoes."""
    if any(effect.condition != ALWAYS for effect in action.effects):
        return wanted
    demanded = [part for part in wanted.parts if isinstance(part, Atom)]
    denied = [part.part for part in wanted.parts if isinstance(part, Not) and isinstance(part.part, Atom)]
    added = [effect.atom for effect in action.effects if effect.adds]
    idle = [Or(_same(e.atom, demanded if e.adds else [*denied, *added])) for e in action.effects]
    if not all(choice.parts for choice in idle):
        return wanted
    return Conjunction(wanted.kinds, (*wanted.parts, Not(And(tuple(idle)))))


def _same(atom: Atom, others: Sequence[Atom]) -> tuple[Formula, ...]:
    """The conditions under which the atom equals one of the others."""
    alike = [other.args for other in others if other.predicate == atom.predicate]
    return tuple(And(tuple(Equal(*pair) for pair in zip(atom.args, args, strict=True))) for args in alike)


def compile_template(source: str, action: Action) -> Template:
    pattern, variables, exact = "", list[str](), True
    parameters = dict(action.parameters)
    segments = parse_segments(source)
    if not segments or not isinstance(segments[0], Text):
        raise GameError(
            f"the grammar's template {source!r} of action {action.name} does not start with a word"
        )
    for segment in segments:
        if isinstance(segment, Text):
            pattern += re.escape(segment.literal)
            continue
        variable = _named_by(segment, action.name)
        if variable not in parameters or variable in variables:
            raise GameError(
                f"the grammar's template {source!r} names {variable!r}, which action {action.name} lacks"
            )
        variables.append(variable)
        pattern += "(.+?)"
        exact = exact and isinstance(segment, Expression)
    first_word = segments[0].literal.partition(" ")[0]
    return Template(first_word, segments, re.compile(pattern), tuple(variables), exact)


def _named_by(segment: Segment, action: str) -> str:
    item = segment.item if isinstance(segment, Listing) else segment
    if isinstance(item, Symbol | Text) or len(item.variables) != 1:
        raise GameError(
            f"the grammar's template of action {action} has a part that does not name one variable"
        )
    return next(iter(item.variables))


def by_first_word(commands: Iterable[Command]) -> dict[str, list[Command]]:
    """Commands by the first word of their template, so that few have to be matched."""
    found: dict[str, list[Command]] = {}
    for command in commands:
        found.setdefault(command.template.first_word, []).append(command)
    return found
