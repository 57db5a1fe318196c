"""One PDDL action with its command template, compiled: from the words of a command to the state after it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from environments.alfworld.grammar import (
    ActionText,
    Expression,
    Listing,
    Segment,
    Symbol,
    Text,
    parse_segments,
)
from environments.alfworld.pddl import ALWAYS, Action, Atom, Effect, GameError, Not
from environments.alfworld.query import (
    Binding,
    Conjunction,
    Entities,
    Facts,
    Row,
    Schema,
    Search,
    State,
    Test,
    compile_search,
    conjunctions,
    formula_test,
    row_of,
)


@dataclass(frozen=True)
class Change:
    """One effect, ready to run. `shadow` is the slot of `not_p`, where the texts ask for it."""

    slot: int
    shadow: int | None
    adds: bool
    row: Callable[[Binding], Row]
    condition: Test | None


@dataclass(frozen=True)
class Template:
    """How a command of this action reads. `exact` is False where only writing it out tells whether it matches."""

    source: str
    pattern: re.Pattern[str]
    variables: tuple[str, ...]
    exact: bool


@dataclass(frozen=True)
class Way:
    """One conjunction that the precondition consists of."""

    given_names: Search  # the variables that the command names are known
    from_nothing: Search
    is_idle: Test | None  # holds where every effect is already demanded by the precondition


@dataclass(frozen=True)
class Command:
    action: Action
    template: Template
    feedback: str
    ways: tuple[Way, ...]
    changes: tuple[Change, ...]

    def bindings(self, state: State, known: Binding, entities: Entities) -> Iterator[Binding]:
        """How the action can be carried out when the variables in `known` (those named, or none) are settled."""
        for way in self.ways:
            search = way.given_names if known else way.from_nothing
            for found in search(state, dict(known), entities):
                if way.is_idle is None or not way.is_idle(state, found):
                    yield found

    def after(self, state: State, known: Binding) -> State:
        """The next state. Deletions come before additions; conditions look at the state before."""
        rows: dict[int, set[Row]] = {}
        for change in self.changes:
            if change.condition is not None and not change.condition(state, known):
                continue
            row = change.row(known)
            _put(rows, state, change.slot, row, change.adds)
            if change.shadow is not None:
                _put(rows, state, change.shadow, row, not change.adds)
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
    """Raises GameError where the template or the action is in a form that the interpreter does not know."""
    template = compile_template(text.template, action)
    return Command(
        action=action,
        template=template,
        feedback=text.feedback,
        ways=tuple(
            _way(schema, action, wanted, set(template.variables))
            for wanted in conjunctions(action.precondition, dict(action.parameters))
        ),
        changes=tuple(
            _change(schema, effect)
            for effect in sorted(action.effects, key=lambda effect: effect.adds)
            if effect.atom.predicate in schema.slots  # what nothing ever reads is not kept
        ),
    )


def _change(schema: Schema, effect: Effect) -> Change:
    return Change(
        slot=schema.slots[effect.atom.predicate],
        shadow=schema.slots.get(f"not_{effect.atom.predicate}"),
        adds=effect.adds,
        row=row_of(effect.atom.args),
        condition=None if effect.condition == ALWAYS else formula_test(schema, effect.condition),
    )


def _way(schema: Schema, action: Action, wanted: Conjunction, named: set[str]) -> Way:
    return Way(
        given_names=compile_search(schema, wanted, named),
        from_nothing=compile_search(schema, wanted, set()),
        is_idle=_idle_test(action, wanted),
    )


def _idle_test(action: Action, wanted: Conjunction) -> Test | None:
    """The engine's planner drops actions that can never change anything, such as going to where one is: those
    whose every effect is among their own preconditions (a deletion may also be undone by an addition)."""
    demanded = [part for part in wanted.parts if isinstance(part, Atom)]
    denied = [part.part for part in wanted.parts if isinstance(part, Not) and isinstance(part.part, Atom)]
    added = [effect.atom for effect in action.effects if effect.adds]
    pairs = [(e.atom, demanded if e.adds else [*denied, *added]) for e in action.effects]
    for atom, others in pairs:
        if atom.predicate not in {other.predicate for other in others}:
            return None
    if any(effect.condition != ALWAYS for effect in action.effects):
        return None
    checks = [
        (row_of(atom.args), [row_of(other.args) for other in others if other.predicate == atom.predicate])
        for atom, others in pairs
    ]
    return lambda _, known: all(row(known) in [other(known) for other in others] for row, others in checks)


def compile_template(source: str, action: Action) -> Template:
    pattern, variables, exact = "", list[str](), True
    parameters = dict(action.parameters)
    for segment in parse_segments(source):
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
    return Template(source, re.compile(pattern), tuple(variables), exact)


def _named_by(segment: Segment, action: str) -> str:
    item = segment.item if isinstance(segment, Listing) else segment
    if isinstance(item, Symbol | Text) or len(item.variables) != 1:
        raise GameError(
            f"the grammar's template of action {action} has a part that does not name one variable"
        )
    return next(iter(item.variables))


def by_first_word(commands: Mapping[str, Command]) -> dict[str, list[Command]]:
    """Commands by the first word of their template, to look few of them at."""
    found: dict[str, list[Command]] = {}
    for command in commands.values():
        found.setdefault(command.template.source.split(" ")[0], []).append(command)
    return found
