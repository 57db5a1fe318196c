"""The grammar: the parts of a file, and how right-hand sides are parsed."""

from __future__ import annotations

import pytest

from environments.alfworld.engine.game import compile_game
from environments.alfworld.engine.grammar import parse_grammar
from environments.alfworld.engine.pddl import GameError
from environments.alfworld.engine.templates import (
    Expression,
    Listing,
    Symbol,
    Text,
    parse_segments,
    parse_value,
)
from tests.support.alfworld_toys import ACTIONS, DOMAIN, PROBLEM, SYMBOLS, grammar


def test_a_grammar_file_gives_rules_and_actions():
    read = parse_grammar(grammar())
    assert read.actions.keys() == ACTIONS.keys()
    assert read.rules.keys() == SYMBOLS.keys()
    assert len(read.rules["inside"]) == 3
    assert "not_inreceptacle" in read.predicates_read


def test_an_actions_own_rules_join_the_others():
    text = grammar() + '\naction help {\n template :: "help";\n feedback :: "#h#";\n'
    text += ' grammar :: """\n{"h": [{"rhs": "Try {hard}."}]}\n""";\n}\n'
    read = parse_grammar(text)
    assert "h" in read.rules
    assert read.actions["help"].feedback == "#h#"


def test_segments_are_told_apart():
    source = "To {r.name}: [{o.name | in(o:object, r:receptacle)}]#end(r)#"
    to, value, colon, listing, symbol = parse_segments(source)
    assert (to, colon, symbol) == (Text("To "), Text(": "), Symbol("end(r)"))
    assert isinstance(value, Expression)
    assert value.variables == {"?r"}
    assert isinstance(listing, Listing)
    assert listing.query is not None
    assert listing.query.wanted.kinds == {"?o": "object", "?r": "receptacle"}


def test_reading_ends_at_a_brace_too_many_as_in_the_text_engine():
    assert parse_segments("fine} never read") == (Text("fine"),)


def test_values_are_attributes_sums_and_alternatives_only():
    names, known = {"cup_1": "cup 1"}, {"?o": "cup_1"}
    assert parse_value("o.indefinite + ' ' + o.name").value(names, known) == "a cup 1"
    assert parse_value("o.name or o.id").value(names, known) == "cup 1"
    assert parse_value("o.name or o.id").value({"cup_1": ""}, known) == "cup_1"
    with pytest.raises(GameError, match="form"):
        parse_value("__import__('os').getcwd()")
    with pytest.raises(GameError, match="cannot be read"):
        parse_value("o.name +")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (grammar().replace('"intro": [', '"intro": '), "not the JSON"),
        (grammar()[:-10], "cannot be read from"),
        (grammar().replace('template :: "look";', ""), "look lacks a template"),
        ("rules :: none;", "cannot be read from 'rules"),
    ],
)
def test_broken_grammars_are_refused(text, message):
    with pytest.raises(GameError, match=message):
        parse_grammar(text)


def test_a_symbol_without_a_rule_is_named():
    game = compile_game(DOMAIN, PROBLEM, grammar().replace('"content": [', '"contents": ['))
    with pytest.raises(GameError, match="#content#"):
        game.apply(game.initial, "go to shelf 1")
