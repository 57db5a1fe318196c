"""Right-hand sides of the grammar's rules: parsed once, rendered for a state and a binding of entities.

    #symbol#                 is replaced by that symbol's text, in the same context
    {o.name}                 is a value: an attribute of a bound variable, joined by + or `or`
    [{o.name | query}]       is the list of that value over all answers to the query, with separators

A query is `predicate(x:type) & ...`: its literals are joined in the order written, rows are sorted, and every variable
is a different entity. `not_p(x)` is a separate fact: it is true only after an action made p(x) false, not if p(x) never
held.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from environments.alfworld.engine.facts import Entities, Schema, State
from environments.alfworld.engine.formulas import Conjunction
from environments.alfworld.engine.joins import Binding, Holds, Search, compile_query, compile_query_holds
from environments.alfworld.engine.pddl import Atom, GameError

Names = Mapping[str, str]  # entity -> the name that the texts use
Value = Callable[[Names, Binding], str]


class Query:
    """A conjunctive query. Which variables are bound depends on the caller, so each case is compiled once."""

    def __init__(self, wanted: Conjunction) -> None:
        self.wanted = wanted
        self._answers: dict[tuple[object, ...], Search] = {}
        self._holds: dict[tuple[object, ...], Holds] = {}

    def answers(self, writer: Writer, state: State, known: Binding) -> Iterator[Binding]:
        case = (writer.schema, *known)
        if case not in self._answers:
            self._answers[case] = compile_query(writer.schema, self.wanted, tuple(known))
        return self._answers[case](state, known, writer.entities)

    def holds(self, writer: Writer, state: State, known: Binding) -> bool:
        case = (writer.schema, *known)
        if case not in self._holds:
            self._holds[case] = compile_query_holds(writer.schema, self.wanted, tuple(known))
        return self._holds[case](state, known, writer.entities)


@dataclass(frozen=True, slots=True)
class Text:
    literal: str

    def write(self, writer: Writer, state: State, known: Binding) -> str:
        return self.literal


@dataclass(frozen=True, slots=True)
class Symbol:
    name: str

    def write(self, writer: Writer, state: State, known: Binding) -> str:
        for rule in writer.rules.get(self.name, ()):
            if rule.condition is None or rule.condition.holds(writer, state, known):
                return "".join([segment.write(writer, state, known) for segment in rule.segments])
        raise GameError(f"the grammar has no rule for #{' '.join(self.name.split())}# that holds here")


@dataclass(frozen=True, slots=True)
class Expression:
    """A value in braces. `variables` are those that it reads."""

    value: Value
    variables: frozenset[str]

    def write(self, writer: Writer, state: State, known: Binding) -> str:
        return self.value(writer.names, known)


@dataclass(frozen=True, slots=True)
class Listing:
    """The item for every answer to the query (once, without a query), as a list with separators or concatenated."""

    item: Symbol | Expression
    query: Query | None
    separated: bool

    def write(self, writer: Writer, state: State, known: Binding) -> str:
        contexts = [known] if self.query is None else self.query.answers(writer, state, known)
        items = [self.item.write(writer, state, context) for context in contexts]
        if not self.separated:
            return "".join(items)
        if not items:
            return Symbol("list_empty").write(writer, state, known)
        if len(items) == 1:
            return items[0]
        separator = Symbol("list_separator").write(writer, state, known)
        last = Symbol("list_last_separator").write(writer, state, known)
        return separator.join(items[:-1]) + last + items[-1]


Segment = Text | Symbol | Expression | Listing


@dataclass(frozen=True, slots=True)
class TextRule:
    """A right-hand side, and the condition under which it applies."""

    condition: Query | None
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Writer:
    """Renders the texts of one game."""

    rules: Mapping[
        str, tuple[TextRule, ...]
    ]  # the alternatives of each symbol: the first whose condition holds is used
    schema: Schema
    names: Names
    entities: Entities

    def write(self, segments: tuple[Segment, ...], state: State, known: Binding) -> str:
        """Raises GameError if no rule of a symbol applies."""
        return "".join([segment.write(self, state, known) for segment in segments])


_ARTICLES = {"indefinite": "a", "definite": "the"}


def _value(node: ast.expr) -> str:
    """Python source of a value over `names` and `known`, generated from the few supported forms (attributes of
    variables, strings, + and `or`): no text of a game is ever executed."""
    match node:
        case ast.Constant(str() as text):
            return repr(text)
        case ast.Name(name) | ast.Attribute(ast.Name(name), "name"):
            return f"names[known[{'?' + name!r}]]"
        case ast.Attribute(ast.Name(name), "id"):
            return f"known[{'?' + name!r}]"
        case ast.Attribute(ast.Name(_), attribute) if attribute in _ARTICLES:
            return repr(_ARTICLES[attribute])
        case ast.BinOp(left, ast.Add(), right):
            return f"({_value(left)} + {_value(right)})"
        case ast.BoolOp(ast.Or(), parts):
            return "(" + " or ".join(_value(part) for part in parts) + ")"
    raise GameError(
        f"the grammar's value {{{ast.unparse(node)}}} is in a form that this interpreter does not know"
    )


@lru_cache(maxsize=4096)
def parse_value(source: str) -> Expression:
    try:
        tree = ast.parse(source.strip(), mode="eval").body
    except SyntaxError as error:
        raise GameError(f"the grammar's value {{{source}}} cannot be read") from error
    variables = frozenset(f"?{node.id}" for node in ast.walk(tree) if isinstance(node, ast.Name))
    return Expression(eval(f"lambda names, known: {_value(tree)}", {}), variables)


@lru_cache(maxsize=4096)
def parse_query(source: str) -> Query:
    atoms, kinds = [], dict[str, str]()
    for literal in source.split("&"):
        match = re.fullmatch(r"\s*([\w-]+)\s*\(([^()]*)\)\s*", literal)
        if not match:
            raise GameError(
                f"the grammar's condition {literal.strip()!r} is not of the form predicate(x:type)"
            )
        split = [arg.partition(":") for arg in match[2].split(",") if arg.strip()]
        pairs = [(f"?{name.strip()}", (kind or name).strip()) for name, _, kind in split]
        kinds.update(pairs)
        atoms.append(Atom(match[1], tuple(name for name, _ in pairs)))
    return Query(Conjunction(kinds, tuple(atoms)))


def _braces(kind: str) -> str:
    item = rf"#(?P<{kind}_symbol>[^#{{}}]+)#|(?P<{kind}_value>[^|\[\]{{}}\n<>]+?)"
    return rf"\{{\s*(?:{item})\s*(?:\|\s*(?P<{kind}_given>[^;|{{}}\n\[\]#]+))?\}}"


_SEGMENT = re.compile(
    rf"""\#(?P<symbol>[\w()/!<>\-\s,.]+)\#|\[{_braces("list")}\]|{_braces("one")}|(?P<text>[^;|"<>\[\]\#{{}}]+)"""
)


@lru_cache(maxsize=4096)
def parse_segments(source: str) -> tuple[Segment, ...]:
    """The right-hand side of a rule. As in the text engine, parsing stops at the first syntax error (one rule of the
    official grammar has an extra brace), and leading blanks are dropped."""
    segments: list[Segment] = []
    position = len(source) - len(source.lstrip())
    while match := _SEGMENT.match(source, position):
        position = match.end()
        segments.append(_segment(match.groupdict()))
    return tuple(segments)


def _segment(found: dict[str, str | None]) -> Segment:
    if (text := found["text"]) is not None:
        return Text(text)
    if (symbol := found["symbol"]) is not None:
        return Symbol(symbol)
    kind = "list" if found["list_symbol"] or found["list_value"] else "one"
    symbol, value, given = (found[f"{kind}_{name}"] for name in ("symbol", "value", "given"))
    item = Symbol(symbol) if symbol else parse_value(value or "")
    if kind == "one" and not given:
        return item
    return Listing(item, parse_query(given) if given else None, separated=kind == "list")
