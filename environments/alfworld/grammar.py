"""The text side of a game: TextWorld's context-sensitive grammar, as ALFWorld uses it.

A grammar text holds symbols with production rules (the first rule whose condition holds is used) and, for each
action, the command template and the feedback symbol. In a rule's right side

    #symbol#                 is replaced by that symbol's text, in the same context
    {o.name}                 is a value: an attribute of a bound variable, joined by + or `or`
    [{o.name | query}]       is the list of that value over all answers to the query, with separators

A condition or query is `predicate(x:type) & ...`: its literals are tried in the order written, rows sorted, and
every variable stands for a different entity than all the others. `not_p(x)` is a fact of its own: it is true only
after an action made p(x) false, not where p(x) never held.
"""

from __future__ import annotations

import ast
import json
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from environments.alfworld.facts import Schema, State
from environments.alfworld.joins import Binding, Search, compile_query
from environments.alfworld.pddl import Atom, GameError

Names = Mapping[str, str]  # entity -> the name that the texts use
Value = Callable[[Names, Binding], str]


class Query:
    """A conjunctive query. Which variables are bound depends on who asks: plans are made once for each case."""

    def __init__(self, atoms: tuple[Atom, ...]) -> None:
        self.atoms = atoms
        self._plans: dict[tuple[object, ...], Search] = {}

    def plan(self, schema: Schema, known: Binding) -> Search:
        key = (schema, *known)
        if key not in self._plans:
            self._plans[key] = compile_query(schema, self.atoms, tuple(known))
        return self._plans[key]


@dataclass(frozen=True)
class Text:
    literal: str


@dataclass(frozen=True)
class Symbol:
    name: str


@dataclass(frozen=True)
class Expression:
    """A value between braces. `variables` are those it reads."""

    value: Value
    variables: frozenset[str]


@dataclass(frozen=True)
class Listing:
    """The item for every answer to the query (or once, without a query), as a list with separators or joined."""

    item: Symbol | Expression
    query: Query | None
    separated: bool


Segment = Text | Symbol | Expression | Listing


@dataclass(frozen=True)
class Rule:
    condition: Query | None
    source: str

    @property
    def segments(self) -> tuple[Segment, ...]:
        return parse_segments(self.source)


@dataclass(frozen=True)
class ActionText:
    template: str
    feedback: str


@dataclass(frozen=True)
class Grammar:
    rules: Mapping[str, tuple[Rule, ...]]
    actions: Mapping[str, ActionText]
    conditions: frozenset[str] = field(
        default_factory=frozenset
    )  # predicates that some condition or query reads


ATTRIBUTES: Mapping[str, Value] = {
    "indefinite": lambda names, known: "a",
    "definite": lambda names, known: "the",
}


def _value(node: ast.expr) -> Value:
    """An expression's value. Only attributes of variables, strings, + and `or` exist: nothing else is evaluated."""
    match node:
        case ast.Constant(str() as text):
            return lambda names, known: text
        case ast.Name(name):
            key = f"?{name}"
            return lambda names, known: names[known[key]]
        case ast.Attribute(ast.Name(name), "name"):
            key = f"?{name}"
            return lambda names, known: names[known[key]]
        case ast.Attribute(ast.Name(name), "id"):
            key = f"?{name}"
            return lambda names, known: known[key]
        case ast.Attribute(ast.Name(_), attribute) if attribute in ATTRIBUTES:
            return ATTRIBUTES[attribute]
        case ast.BinOp(left, ast.Add(), right):
            first, second = _value(left), _value(right)
            return lambda names, known: first(names, known) + second(names, known)
        case ast.BoolOp(ast.Or(), [left, right]):
            first, second = _value(left), _value(right)
            return lambda names, known: first(names, known) or second(names, known)
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
    return Expression(_value(tree), variables)


@lru_cache(maxsize=4096)
def parse_query(source: str) -> Query:
    atoms = []
    for literal in source.split("&"):
        match = re.fullmatch(r"\s*([\w-]+)\s*\(([^()]*)\)\s*", literal)
        if not match:
            raise GameError(
                f"the grammar's condition {literal.strip()!r} is not of the form predicate(x:type)"
            )
        args = [arg.partition(":")[0].strip() for arg in match[2].split(",") if arg.strip()]
        atoms.append(Atom(match[1], tuple(f"?{arg}" for arg in args)))
    return Query(tuple(atoms))


def _braces(kind: str) -> str:
    item = rf"#(?P<{kind}_symbol>[^#{{}}]+)#|(?P<{kind}_value>[^|\[\]{{}}\n<>]+?)"
    return rf"\{{\s*(?:{item})\s*(?:\|\s*(?P<{kind}_given>[^;|{{}}\n\[\]#]+))?\}}"


_SEGMENT = re.compile(
    rf"""\#(?P<symbol>[\w()/!<>\-\s,.]+)\#|\[{_braces("list")}\]|{_braces("one")}|(?P<text>[^;|"<>\[\]\#{{}}]+)"""
)


@lru_cache(maxsize=4096)
def parse_segments(source: str) -> tuple[Segment, ...]:
    """The right side of a rule. Like the text engine, reading ends where the text stops making sense (one rule of
    the official grammar has a brace too many), and blanks at the start are dropped."""
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


_PART = re.compile(
    r"\s+|#[^\n]*"
    r'|grammar\s*::\s*"""(?P<block>.*?)"""\s*;'
    r'|action\s+(?P<name>[\w/-]+)\s*\{(?P<body>(?:"""(?:.*?)"""|"[^"]*"|[^"}])*)\}',
    re.DOTALL,
)
_FIELD = re.compile(r'(template|feedback|pddl|grammar)\s*::\s*("""(?:.*?)"""|"[^"]*")\s*;', re.DOTALL)


@lru_cache(maxsize=32)
def parse_grammar(text: str) -> Grammar:
    """Raises GameError."""
    rules: dict[str, tuple[Rule, ...]] = {}
    actions: dict[str, ActionText] = {}
    position = 0
    while position < len(text):
        match = _PART.match(text, position)
        if not match:
            where = text[position : position + 40].splitlines()[0]
            raise GameError(f"the grammar cannot be read from {where!r} on")
        position = match.end()
        if match["block"]:
            rules.update(_rules(match["block"]))
        elif match["name"]:
            fields = {key: value.strip('"') for key, value in _FIELD.findall(match["body"])}
            if not {"template", "feedback"} <= fields.keys():
                raise GameError(f"the grammar's action {match['name']} lacks a template or a feedback")
            actions[match["name"].lower()] = ActionText(fields["template"], fields["feedback"])
            rules.update(_rules(fields.get("grammar", "{}")))
    return Grammar(rules, actions, _read_predicates(rules))


def _rules(block: str) -> dict[str, tuple[Rule, ...]]:
    lines = (line for line in textwrap.dedent(block).split("\n") if not line.lstrip().startswith("#"))
    try:
        data = json.loads("\n".join(lines))
        return {
            name: tuple(
                Rule(parse_query(r["condition"]) if r.get("condition") else None, r["rhs"])
                for r in alternatives
            )
            for name, alternatives in data.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise GameError(f"a block of the grammar is not the JSON it should be: {error}") from error


def _read_predicates(rules: Mapping[str, tuple[Rule, ...]]) -> frozenset[str]:
    queries = [rule.condition for alternatives in rules.values() for rule in alternatives]
    queries += [
        segment.query
        for alternatives in rules.values()
        for rule in alternatives
        for segment in rule.segments
        if isinstance(segment, Listing)
    ]
    return frozenset(atom.predicate for query in queries if query for atom in query.atoms)


@dataclass(frozen=True)
class Writer:
    """Writes texts of one game: a grammar over the names of its entities."""

    grammar: Grammar
    schema: Schema
    names: Names

    def write(self, source: str, state: State, known: Binding) -> str:
        """The text of a right side. Raises GameError for an unknown symbol."""
        return "".join([self._segment(segment, state, known) for segment in parse_segments(source)])

    def _segment(self, segment: Segment, state: State, known: Binding) -> str:
        if isinstance(segment, Text):
            return segment.literal
        if isinstance(segment, Expression):
            return segment.value(self.names, known)
        if isinstance(segment, Symbol):
            return self.write(self._rule(segment.name, state, known).source, state, known)
        return self._listing(segment, state, known)

    def _rule(self, symbol: str, state: State, known: Binding) -> Rule:
        for rule in self.grammar.rules.get(symbol, ()):
            if rule.condition is None or next(self._answers(rule.condition, state, known), None) is not None:
                return rule
        raise GameError(f"the grammar has no rule for #{symbol}# that holds here")

    def _answers(self, query: Query, state: State, known: Binding) -> Iterator[Binding]:
        return query.plan(self.schema, known)(state, known, {})

    def _listing(self, listing: Listing, state: State, known: Binding) -> str:
        contexts = [known]
        if listing.query is not None:
            contexts = list(self._answers(listing.query, state, known))
        items = [self._segment(listing.item, state, context) for context in contexts]
        if not listing.separated:
            return "".join(items)
        if not items:
            return self._segment(Symbol("list_empty"), state, known)
        if len(items) == 1:
            return items[0]
        separator = self._segment(Symbol("list_separator"), state, known)
        last = self._segment(Symbol("list_last_separator"), state, known)
        return separator.join(items[:-1]) + last + items[-1]
