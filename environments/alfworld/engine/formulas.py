"""PDDL formulas normalised for search: alternatives, each a conjunction without quantifiers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count

from environments.alfworld.engine.pddl import And, Atom, Equal, Exists, Formula, Not, Or


def is_variable(name: str) -> bool:
    return name.startswith("?")


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
    """The formula as alternatives, each a conjunction: `exists` is lifted, and an `or` is split if it binds a variable
    that nothing else binds (any other `or` stays a test)."""
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
    """The conjuncts, with quantified variables renamed and entered in `kinds`."""
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
