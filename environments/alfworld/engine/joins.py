"""Conjunctions compiled to Python: each becomes a generator of nested loops over the facts that it reads.

PDDL leaves the order of literals open, so a precondition or goal is joined cheapest first (`compile_search`). The
text engine's queries are joined in the order written, and every variable must be a different entity
(`compile_query`). Loops run over rows in sorted order, because the texts list things in that order.

A search over "(atlocation ?a ?l) (receptacleatlocation ?r ?l) (not (opened ?r))" with ?r known becomes

    def search(state, known, entities):
        v0 = known['?r']
        for row in state[5].by((0,)).get((v0,), ()):
            v1 = row[1]
            if (v0,) not in state[4]:
                for row in state[0].by((1,)).get((v1,), ()):
                    v2 = row[0]
                    yield {'?r': v0, '?l': v1, '?a': v2}

Only numbers, quoted constants and names generated here enter the source: no text of a game is ever executed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from environments.alfworld.engine.facts import Entities, Row, Schema, State
from environments.alfworld.engine.formulas import Conjunction, free_variables, is_variable
from environments.alfworld.engine.pddl import And, Atom, Equal, Formula, GameError, Not, Or

Binding = dict[str, str]
Search = Callable[[State, Binding, Entities], Iterator[Binding]]
"""(state, known, entities) -> every binding that extends `known` and meets the conjunction, each a new dict."""
Holds = Callable[[State, Binding, Entities], bool]
"""Whether there is such a binding."""
Test = Callable[[State, Binding], bool]


class _Source:
    """Builds the source of one search."""

    def __init__(self, schema: Schema, kinds: Mapping[str, str], known: Iterable[str]) -> None:
        self.schema = schema
        self.kinds = kinds
        self.locals: dict[str, str] = {}  # variable -> local name
        self.lines = ["def search(state, known, entities):"]
        self._depth = 1
        for variable in known:
            self._line(f"{self.name(variable)} = known[{variable!r}]")

    def name(self, variable: str) -> str:
        return self.locals.setdefault(variable, f"v{len(self.locals)}")

    def term(self, arg: str) -> str:
        return self.locals[arg] if is_variable(arg) else repr(arg)

    def row(self, args: Sequence[str]) -> str:
        return "(" + "".join(f"{self.term(arg)}, " for arg in args) + ")"

    def test(self, formula: Formula) -> str:
        """The formula as a Python expression; all its variables must be bound. Raises GameError for an inner
        `exists`."""
        match formula:
            case Atom(predicate, args):
                return f"{self.row(args)} in state[{self.schema.slot(predicate)}]"
            case Equal(left, right):
                return f"{self.term(left)} == {self.term(right)}"
            case Not(part):
                return f"not ({self.test(part)})"
            case And(parts):
                return "(" + (" and ".join(f"({self.test(part)})" for part in parts) or "True") + ")"
            case Or(parts):
                return "(" + (" or ".join(f"({self.test(part)})" for part in parts) or "False") + ")"
        raise GameError("the PDDL nests 'exists' below 'not' in a form that this interpreter does not know")

    def scan(self, atom: Atom, distinct: bool) -> None:
        """A loop that binds the atom's unbound variables."""
        fixed = tuple(i for i, arg in enumerate(atom.args) if not is_variable(arg) or arg in self.locals)
        key = self.row([atom.args[i] for i in fixed])
        self._line(f"for row in state[{self.schema.slot(atom.predicate)}].by({fixed}).get({key}, ()):")
        for i, arg in enumerate(atom.args):
            if i in fixed:
                continue
            if arg in self.locals:  # the same unbound variable a second time in this atom
                self._line(f"if row[{i}] == {self.locals[arg]}:")
                continue
            others = list(self.locals.values()) if distinct else []
            self._line(f"{self.name(arg)} = row[{i}]")
            if others:
                self._line(f"if {self.locals[arg]} not in ({', '.join(others)},):")
            if not self.schema.ensures(atom.predicate, i, self.kinds[arg]):
                self._line(f"if {self.locals[arg]} in entities.get({self.kinds[arg]!r}, ()):")

    def enumerate(self, variable: str) -> None:
        self._line(f"for {self.name(variable)} in entities.get({self.kinds[variable]!r}, ()):")

    def condition(self, formula: Formula) -> None:
        self._line(f"if {self.test(formula)}:")

    def finish(self, wanted: Iterable[str]) -> Search:
        self._line("yield {" + ", ".join(f"{name!r}: {self.locals[name]}" for name in wanted) + "}")
        search: Search = _run("\n".join(self.lines), "search")
        return search

    def finish_holds(self) -> Holds:
        self._line("return True")
        holds: Holds = _run("\n".join([*self.lines, "    return False"]), "search")
        return holds

    def _line(self, text: str) -> None:
        self.lines.append("    " * self._depth + text)
        self._depth += text.endswith(":")


@lru_cache(maxsize=4096)
def _run(source: str, name: str) -> Any:
    scope: dict[str, Any] = {}
    exec(source, scope)
    return scope[name]


def compile_search(
    schema: Schema, wanted: Conjunction, known: Iterable[str], results: Iterable[str]
) -> Search:
    """A search for the bindings of a conjunction, given the variables in `known`; it yields `results`."""
    source = _cheapest_first(schema, wanted, known)
    for variable in sorted(set(results) - source.locals.keys()):
        source.enumerate(variable)
    return source.finish(results)


def compile_holds(schema: Schema, wanted: Conjunction) -> Holds:
    """A test of whether a conjunction has any binding."""
    return _cheapest_first(schema, wanted, ()).finish_holds()


def _cheapest_first(schema: Schema, wanted: Conjunction, known: Iterable[str]) -> _Source:
    """First tests whose variables are all bound; then loops that can use an index; then loops over fluents, which have
    few rows; then the rest. A variable without a positive literal ranges over its type's entities."""
    source, parts = _Source(schema, wanted.kinds, known), list(wanted.parts)
    while parts:
        part = min(parts, key=lambda part: _cost(source, part))
        free = sorted(free_variables(part) - source.locals.keys())
        if not free:
            source.condition(part)
        elif isinstance(part, Atom):
            source.scan(part, distinct=False)
        else:
            source.enumerate(free[0])
            continue
        parts.remove(part)
    return source


def _cost(source: _Source, part: Formula) -> tuple[int, int]:
    unbound = free_variables(part) - source.locals.keys()
    if not unbound or not isinstance(part, Atom):
        return (4 if unbound else 0, len(unbound))
    if len(unbound) < len(part.args):
        return (1, len(unbound))
    return (2 if part.predicate in source.schema.fluents else 3, len(unbound))


def compile_query(schema: Schema, wanted: Conjunction, known: Sequence[str]) -> Search:
    """A search over atoms in their order, with all variables different. It yields the known and the new variables."""
    source = _as_written(schema, wanted, known)
    return source.finish(source.locals)


def compile_query_holds(schema: Schema, wanted: Conjunction, known: Sequence[str]) -> Holds:
    """A test of whether such a search finds anything."""
    return _as_written(schema, wanted, known).finish_holds()


def _as_written(schema: Schema, wanted: Conjunction, known: Sequence[str]) -> _Source:
    source = _Source(schema, wanted.kinds, known)
    for part in wanted.parts:
        if isinstance(part, Atom) and not free_variables(part) <= source.locals.keys():
            source.scan(part, distinct=True)
        else:
            source.condition(part)
    return source


def compile_test(schema: Schema, formula: Formula) -> Test:
    """A test of a formula whose variables will all be known."""
    source = _reading(schema, free_variables(formula))
    test: Test = _run(f"test = lambda state, known: {source.test(formula)}", "test")
    return test


def compile_rows(schema: Schema, atoms: Sequence[Atom]) -> Callable[[Binding], tuple[Row, ...]]:
    """A function from a binding to the argument rows of several atoms."""
    source = _reading(schema, set().union(*(free_variables(atom) for atom in atoms)))
    filled = "".join(f"{source.row(atom.args)}, " for atom in atoms)
    rows: Callable[[Binding], tuple[Row, ...]] = _run(f"rows = lambda known: ({filled})", "rows")
    return rows


def _reading(schema: Schema, variables: Iterable[str]) -> _Source:
    """The source of one expression, which reads its variables from `known`."""
    source = _Source(schema, {}, ())
    source.locals.update({variable: f"known[{variable!r}]" for variable in variables})
    return source
