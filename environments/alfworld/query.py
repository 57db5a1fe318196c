"""Facts with indexes, and conjunctions compiled to joins over them: what preconditions, goals and texts ask.

A state is a tuple of `Facts`, one for each predicate (its slot). Two kinds of question are compiled once for all
games: `Search` for PDDL formulas (any order of literals will do, so the cheapest is chosen) and, in `grammar`, the
text engine's queries (literals in the order written, every variable a different entity). A scan yields rows in
sorted order, because the texts list things in that order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, product

from environments.alfworld.pddl import And, Atom, Equal, Exists, Formula, GameError, Not, Or

Row = tuple[str, ...]
Binding = dict[str, str]


class Facts(frozenset[Row]):
    """The true rows of one predicate. Indexes are made on first use and live as long as the set."""

    __slots__ = ("_indexes",)
    _indexes: dict[tuple[int, ...], dict[Row, list[Row]]]

    def by(self, positions: tuple[int, ...]) -> dict[Row, list[Row]]:
        """Sorted rows, grouped by their values at `positions`."""
        try:
            return self._indexes[positions]
        except AttributeError:
            self._indexes = {}
        except KeyError:
            pass
        index: dict[Row, list[Row]] = {}
        for row in sorted(self):
            index.setdefault(tuple([row[position] for position in positions]), []).append(row)
        self._indexes[positions] = index
        return index


State = tuple[Facts, ...]
Entities = Mapping[str, tuple[str, ...]]  # type -> the entities of that type, sorted
Test = Callable[[State, Binding], bool]
Search = Callable[[State, Binding, Entities], Iterator[Binding]]
"""(state, known, entities) -> bindings that extend `known`. What is yielded is reused: copy it to keep it."""


@dataclass(frozen=True, eq=False)
class Schema:
    """Where each predicate lives in a state, and which ones actions change."""

    slots: Mapping[str, int]
    fluents: frozenset[str]

    def slot(self, predicate: str) -> int:
        if predicate not in self.slots:
            raise GameError(
                f"the predicate {predicate!r} is used but the game's PDDL domain does not declare it"
            )
        return self.slots[predicate]


def is_variable(name: str) -> bool:
    return name.startswith("?")


def row_of(args: Row) -> Callable[[Binding], Row]:
    """Fills an atom's arguments in: constants stay, variables are looked up."""
    if all(is_variable(arg) for arg in args):
        if len(args) == 1:
            only = args[0]
            return lambda known: (known[only],)
        if len(args) == 2:
            first, second = args
            return lambda known: (known[first], known[second])
    return lambda known: tuple([known[arg] if is_variable(arg) else arg for arg in args])


def atom_test(schema: Schema, atom: Atom, wanted: bool = True) -> Test:
    slot, row = schema.slot(atom.predicate), row_of(atom.args)
    if wanted:
        return lambda state, known: row(known) in state[slot]
    return lambda state, known: row(known) not in state[slot]


def formula_test(schema: Schema, formula: Formula) -> Test:
    """A test for a formula whose variables are all bound. Raises GameError for an inner `exists`."""
    match formula:
        case Atom():
            return atom_test(schema, formula)
        case Equal(left, right):
            row = row_of((left, right))
            return lambda _, known: len(set(row(known))) == 1
        case Not(Atom() as atom):
            return atom_test(schema, atom, wanted=False)
        case Not(part):
            inner = formula_test(schema, part)
            return lambda state, known: not inner(state, known)
        case And(parts):
            tests = [formula_test(schema, part) for part in parts]
            return lambda state, known: all(test(state, known) for test in tests)
        case Or(parts):
            tests = [formula_test(schema, part) for part in parts]
            return lambda state, known: any(test(state, known) for test in tests)
    raise GameError(
        "the PDDL nests 'exists' below 'not' or 'or' in a form that this interpreter does not know"
    )


def free_variables(formula: Formula) -> set[str]:
    match formula:
        case Atom(_, args):
            return {arg for arg in args if is_variable(arg)}
        case Equal(left, right):
            return {arg for arg in (left, right) if is_variable(arg)}
        case Not(part):
            return free_variables(part)
        case And(parts) | Or(parts):
            return set().union(*(free_variables(part) for part in parts))
        case Exists(variables, part):
            return free_variables(part) - {name for name, _ in variables}


def predicates_of(formula: Formula) -> set[str]:
    match formula:
        case Atom(predicate, _):
            return {predicate}
        case Equal():
            return set()
        case Not(part) | Exists(_, part):
            return predicates_of(part)
        case And(parts) | Or(parts):
            return set().union(*(predicates_of(part) for part in parts))


@dataclass(frozen=True)
class Conjunction:
    """Literals and other tests that must all hold, with the types of every variable (quantified ones renamed)."""

    kinds: Mapping[str, str]
    parts: tuple[Formula, ...]


def conjunctions(formula: Formula, kinds: Mapping[str, str]) -> list[Conjunction]:
    """The formula as alternatives, each a conjunction: `exists` is lifted, and an `or` is split where it binds a
    variable that nothing else binds (any other `or` stays a test)."""
    fresh = count()
    seen = dict(kinds)
    branches = [(seen, list(_flatten(formula, {}, seen, fresh)))]
    done: list[Conjunction] = []
    while branches:
        seen, parts = branches.pop()
        bound = set().union(*(free_variables(part) for part in parts if isinstance(part, Atom)))
        split = next((p for p in parts if isinstance(p, Or) and _must_split(p, bound)), None)
        if split is None:
            done.append(Conjunction(seen, tuple(parts)))
            continue
        others = [part for part in parts if part is not split]
        for choice in reversed(split.parts):
            now = dict(seen)
            branches.append((now, [*others, *_flatten(choice, {}, now, fresh)]))
    return done


def _must_split(choice: Or, bound: set[str]) -> bool:
    return not free_variables(choice) <= bound or any(_quantified(part) for part in choice.parts)


def _quantified(formula: Formula) -> bool:
    match formula:
        case And(parts) | Or(parts):
            return any(_quantified(part) for part in parts)
        case Not(part):
            return _quantified(part)
    return isinstance(formula, Exists)


def _flatten(
    formula: Formula, renamed: Mapping[str, str], kinds: dict[str, str], fresh: Iterator[int]
) -> Iterator[Formula]:
    """The conjuncts, with quantified variables under new names that are entered in `kinds`."""
    match formula:
        case And(parts):
            for part in parts:
                yield from _flatten(part, renamed, kinds, fresh)
        case Exists(variables, part):
            names = {name: f"{name}/{next(fresh)}" for name, _ in variables}
            kinds.update({names[name]: kind for name, kind in variables})
            yield from _flatten(part, {**renamed, **names}, kinds, fresh)
        case _:
            yield rename(formula, renamed)


def rename(formula: Formula, names: Mapping[str, str]) -> Formula:
    match formula:
        case Atom(predicate, args):
            return Atom(predicate, tuple(names.get(arg, arg) for arg in args))
        case Equal(left, right):
            return Equal(names.get(left, left), names.get(right, right))
        case Not(part):
            return Not(rename(part, names))
        case And(parts):
            return And(tuple(rename(part, names) for part in parts))
        case Or(parts):
            return Or(tuple(rename(part, names) for part in parts))
        case Exists(variables, part):
            inner = {old: new for old, new in names.items() if old not in dict(variables)}
            return Exists(variables, rename(part, inner))


Stage = Callable[[State, Binding, Entities], Iterator[None]]


def scan(schema: Schema, atom: Atom, bound: set[str], unlike: Sequence[str] = ()) -> Stage:
    """Binds the atom's unbound variables to each row that fits the bound ones. What they are bound to must differ
    from the values of the variables `unlike`, and from each other if there are any."""
    slot = schema.slot(atom.predicate)
    fixed = tuple(i for i, arg in enumerate(atom.args) if not is_variable(arg) or arg in bound)
    key = row_of(tuple(atom.args[i] for i in fixed))
    new = [(i, arg) for i, arg in enumerate(atom.args) if i not in fixed]
    if len({arg for _, arg in new}) != len(new):
        raise GameError(f"the condition {atom.predicate} names one unbound variable twice")

    def stage(state: State, known: Binding, _: Entities) -> Iterator[None]:
        for row in state[slot].by(fixed).get(key(known), ()):
            for position, name in new:
                known[name] = row[position]
            yield

    def distinct_stage(state: State, known: Binding, _: Entities) -> Iterator[None]:
        used = {known[name] for name in unlike}
        for row in state[slot].by(fixed).get(key(known), ()):
            values = {row[position] for position, _ in new}
            if len(values) == len(new) and not values & used:
                for position, name in new:
                    known[name] = row[position]
                yield

    return distinct_stage if unlike else stage


def _check(test: Test) -> Stage:
    def stage(state: State, known: Binding, _: Entities) -> Iterator[None]:
        if test(state, known):
            yield

    return stage


def _enumerate(names: Sequence[str], kinds: Sequence[str]) -> Stage:
    def stage(_: State, known: Binding, entities: Entities) -> Iterator[None]:
        for values in product(*(entities[kind] for kind in kinds)):
            known.update(zip(names, values, strict=True))
            yield

    return stage


def compile_search(schema: Schema, wanted: Conjunction, bound: set[str]) -> Search:
    """A search over the bindings of a conjunction when the variables in `bound` are known from the start.

    Cheapest first: tests that are fully bound; then scans with something bound to index by; then fluents, which
    are few; a variable in no positive literal runs over all entities of its type."""
    bound, parts, stages = set(bound), list(wanted.parts), list[Stage]()

    def cost(part: Formula) -> tuple[int, int]:
        unbound = free_variables(part) - bound
        if not unbound:
            return (0, 0)
        if not isinstance(part, Atom):
            return (9, 0)
        anchored = len(unbound) < len(part.args)
        return (1 if anchored else 2 if part.predicate in schema.fluents else 3, len(unbound))

    while parts:
        part = min(parts, key=cost)
        free = free_variables(part) - bound
        if free and not isinstance(part, Atom):
            names = sorted(free)
            stages.append(_enumerate(names, [wanted.kinds[name] for name in names]))
        elif free and isinstance(part, Atom):
            stages.append(scan(schema, part, bound))
            parts.remove(part)
        else:
            stages.append(_check(formula_test(schema, part)))
            parts.remove(part)
        bound |= free
    if missing := sorted(name for name in wanted.kinds if name not in bound):
        stages.append(_enumerate(missing, [wanted.kinds[name] for name in missing]))
    return chain(stages)


def chain(stages: Sequence[Stage]) -> Search:
    """Nested loops over the stages, innermost last."""

    def search(state: State, known: Binding, entities: Entities) -> Iterator[Binding]:
        if not stages:
            yield known
            return
        open_stages = [stages[0](state, known, entities)]
        while open_stages:
            if next(open_stages[-1], known) is not None:  # `known` marks the end; a live stage yields None
                open_stages.pop()
            elif len(open_stages) == len(stages):
                yield known
            else:
                open_stages.append(stages[len(open_stages)](state, known, entities))

    return search
