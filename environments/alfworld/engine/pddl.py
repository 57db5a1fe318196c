"""Parses the subset of PDDL that ALFWorld's games use: typing, and/or/not/exists/=, conditional effects.

PDDL names are case-insensitive: parsing makes everything lower case. Costs, functions and `increase` effects do not
affect play and are skipped. Anything else outside the subset raises `GameError`. Only blanks and parentheses separate
words. So in the official domain, `(exists (?l - location, ?r - receptacle) ...)` requires the type "location,", which
nothing has, and objects can be examined only in the hand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from environments.base import EnvironmentFault

TOP_TYPE = "object"  # PDDL's root type: every type is a kind of it


class GameError(EnvironmentFault, ValueError):
    """A game text (PDDL or grammar) cannot be compiled, or written from. The message says which part and why."""


@dataclass(frozen=True, slots=True)
class Atom:
    """predicate(args); an argument that starts with "?" is a variable, any other names an entity."""

    predicate: str
    args: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Equal:
    left: str
    right: str


@dataclass(frozen=True, slots=True)
class Not:
    part: Formula


@dataclass(frozen=True, slots=True)
class And:
    parts: tuple[Formula, ...]


@dataclass(frozen=True, slots=True)
class Or:
    parts: tuple[Formula, ...]


@dataclass(frozen=True, slots=True)
class Exists:
    variables: tuple[tuple[str, str], ...]  # (variable, type)
    part: Formula


Formula = Atom | Equal | Not | And | Or | Exists


@dataclass(frozen=True, slots=True)
class Effect:
    """`atom` becomes true (`adds`) or false, if `condition` held before the action."""

    condition: Formula
    adds: bool
    atom: Atom


@dataclass(frozen=True, slots=True)
class Action:
    name: str
    parameters: tuple[tuple[str, str], ...]  # (variable, type), in the domain's order
    precondition: Formula
    effects: tuple[Effect, ...]


@dataclass(frozen=True)
class Domain:
    supertypes: Mapping[str, str]
    predicates: Mapping[str, tuple[str, ...]]  # name -> the types of its arguments
    actions: Mapping[str, Action]

    def is_a(self, kind: str, wanted: str) -> bool:
        """Whether a type is `wanted` or a subtype of it."""
        while kind not in (wanted, TOP_TYPE):
            kind = self.supertypes.get(kind, TOP_TYPE)
        return kind == wanted or wanted == TOP_TYPE


@dataclass(frozen=True)
class Problem:
    objects: Mapping[str, str]  # entity -> type
    spelling: Mapping[str, str]  # entity -> as the problem spells it
    init: frozenset[Atom]
    goal: Formula


ALWAYS = And(())


def read_expression(text: str) -> list[Any]:
    """One parenthesised expression as nested lists of lower-case words. Raises GameError if it is not complete."""
    stack: list[list[Any]] = [[]]
    for token in re.findall(r"[()]|[^\s()]+", _uncommented(text).lower()):
        if token == "(":
            stack.append([])
        elif token == ")":
            if len(stack) == 1:
                raise GameError("the PDDL has an unmatched closing parenthesis")
            done = stack.pop()
            stack[-1].append(done)
        else:
            stack[-1].append(token)
    if len(stack) != 1 or len(stack[0]) != 1 or not isinstance(stack[0][0], list):
        raise GameError("the PDDL is not one complete expression (it is empty or truncated)")
    return stack[0][0]


def _uncommented(text: str) -> str:
    return re.sub(r";[^\n]*", "", text)


def _typed(words: list[Any], what: str) -> tuple[tuple[str, str], ...]:
    """`a b - t c` as ((a, t), (b, t), (c, object))."""
    pairs: list[tuple[str, str]] = []
    waiting: list[str] = []
    rest = iter(words)
    for word in rest:
        if not isinstance(word, str):
            raise GameError(f"the {what} hold a nested list where a name was expected")
        if word != "-":
            waiting.append(word)
            continue
        kind = next(rest, None)
        if not isinstance(kind, str):
            raise GameError(f"the {what} end after '-' without a type name")
        pairs += [(name, kind) for name in waiting]
        waiting = []
    return (*pairs, *((name, TOP_TYPE) for name in waiting))


def read_formula(node: Any) -> Formula:
    """A goal description. Raises GameError for `forall`, `imply` and other parts that no ALFWorld game uses."""
    if not node:
        return ALWAYS
    if not isinstance(node, list) or not isinstance(node[0], str):
        raise GameError(f"the PDDL has {node!r} where a condition was expected")
    head, rest = node[0], node[1:]
    if head in ("and", "or"):
        parts = tuple(read_formula(part) for part in rest)
        return And(parts) if head == "and" else Or(parts)
    if head == "not" and len(rest) == 1:
        return Not(read_formula(rest[0]))
    if head == "exists" and len(rest) == 2:
        return Exists(_typed(rest[0], "exists variables"), read_formula(rest[1]))
    if head in ("forall", "imply", "when", "not", "exists"):
        raise GameError(f"the PDDL uses {head!r} in a form that this interpreter does not know")
    if not all(isinstance(word, str) for word in rest):
        raise GameError(f"the PDDL condition ({head} ...) holds a nested list where a name was expected")
    return Equal(*rest) if head == "=" and len(rest) == 2 else Atom(head, tuple(rest))


def _read_effects(node: Any, condition: Formula = ALWAYS) -> list[Effect]:
    head = node[0] if node else "and"
    if head == "and":
        return [effect for part in node[1:] for effect in _read_effects(part, condition)]
    if head == "increase":
        return []
    if head == "when" and condition == ALWAYS and len(node) == 3:
        return _read_effects(node[2], read_formula(node[1]))
    adds = head != "not"
    atom = read_formula(node if adds else node[1])
    if not isinstance(atom, Atom):
        raise GameError(f"the PDDL effect ({head} ...) is in a form that this interpreter does not know")
    return [Effect(condition, adds, atom)]


def _read_action(node: list[Any]) -> Action:
    name, fields = node[1], dict(zip(node[2::2], node[3::2], strict=False))
    return Action(
        name,
        _typed(fields.get(":parameters", []), f"parameters of action {name}"),
        read_formula(fields.get(":precondition", [])),
        tuple(_read_effects(fields.get(":effect", []))),
    )


def _sections(node: list[Any], what: str) -> dict[str, list[list[Any]]]:
    """The parts of a `(define ...)` by their first word."""
    if not node or node[0] != "define":
        raise GameError(f"the PDDL {what} does not start with (define")
    found: dict[str, list[list[Any]]] = {}
    for part in node[1:]:
        if not isinstance(part, list) or not part or not isinstance(part[0], str):
            raise GameError(f"the PDDL {what} has a part without a keyword")
        found.setdefault(part[0], []).append(part)
    return found


@lru_cache(maxsize=16)
def parse_domain(text: str) -> Domain:
    """Raises GameError."""
    sections = _sections(read_expression(text), "domain")
    actions = [_read_action(node) for node in sections.get(":action", [])]
    if not actions:
        raise GameError("the PDDL domain has no action")
    declared = [item for node in sections.get(":predicates", []) for item in node[1:]]
    types = [word for node in sections.get(":types", []) for word in node[1:]]
    return Domain(
        supertypes=dict(_typed(types, "types")),
        predicates={item[0]: tuple(kind for _, kind in _typed(item[1:], "predicates")) for item in declared},
        actions={action.name: action for action in actions},
    )


def _section(sections: dict[str, list[list[Any]]], name: str) -> list[Any]:
    if name not in sections:
        raise GameError(f"the PDDL problem has no {name} section")
    return sections[name][0][1:]


def _spelling(text: str) -> dict[str, str]:
    objects = re.search(r"\(\s*:objects\b[^()]*", _uncommented(text), re.IGNORECASE)
    return {word.lower(): word for word in (objects[0].split() if objects else ())}


def parse_problem(text: str) -> Problem:
    """Raises GameError."""
    sections = _sections(read_expression(text), "problem")
    goal = _section(sections, ":goal")
    if len(goal) != 1 or not goal[0]:
        raise GameError("the PDDL problem's :goal is empty")
    init = _section(sections, ":init")
    return Problem(
        objects=dict(_typed(_section(sections, ":objects"), "objects")),
        spelling=_spelling(text),
        init=frozenset(Atom(fact[0], tuple(fact[1:])) for fact in init if fact[0] != "="),
        goal=read_formula(goal[0]),
    )
