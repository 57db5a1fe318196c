"""The texts of a game file: TextWorld's context-sensitive grammar, as ALFWorld uses it.

A grammar has symbols with their rules, and a command template and a feedback text for each action.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from configs.json_text import parse_json
from environments.alfworld.engine.formulas import predicates_of
from environments.alfworld.engine.pddl import And, GameError
from environments.alfworld.engine.templates import Listing, TextRule, parse_query, parse_segments


@dataclass(frozen=True)
class ActionText:
    template: str
    feedback: str


@dataclass(frozen=True)
class Grammar:
    rules: Mapping[str, tuple[TextRule, ...]]
    actions: Mapping[str, ActionText]
    predicates_read: frozenset[str]  # predicates that some condition or query reads


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
    rules: dict[str, tuple[TextRule, ...]] = {}
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
    return Grammar(rules, actions, _predicates_read(rules))


def _rules(block: str) -> dict[str, tuple[TextRule, ...]]:
    lines = (line for line in textwrap.dedent(block).split("\n") if not line.lstrip().startswith("#"))
    try:
        data = parse_json("\n".join(lines))
        return {
            name: tuple(
                TextRule(
                    parse_query(r["condition"]) if r.get("condition") else None, parse_segments(r["rhs"])
                )
                for r in alternatives
            )
            for name, alternatives in data.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise GameError(f"a block of the grammar is not the JSON it should be: {error}") from error


def _predicates_read(rules: Mapping[str, tuple[TextRule, ...]]) -> frozenset[str]:
    every = [rule for alternatives in rules.values() for rule in alternatives]
    listings = [part for rule in every for part in rule.segments if isinstance(part, Listing)]
    queries = [rule.condition for rule in every] + [listing.query for listing in listings]
    return frozenset().union(*(predicates_of(And(query.wanted.parts)) for query in queries if query))
