"""Parsing PDDL: what is supported, and that the rest raises an error that names it."""

from __future__ import annotations

import pytest

from environments.alfworld.engine.pddl import (
    And,
    Atom,
    Equal,
    Exists,
    GameError,
    Not,
    parse_domain,
    parse_problem,
)
from tests.support.alfworld_toys import DOMAIN, PROBLEM


def test_a_domain_gives_types_predicates_and_actions():
    domain = parse_domain(DOMAIN)
    assert domain.predicates["inreceptacle"] == ("object", "receptacle")
    assert domain.is_a("receptacle", "object")
    assert not domain.is_a("object", "receptacle")
    action = domain.actions["goto"]
    assert [name for name, _ in action.parameters] == ["?a", "?from", "?to", "?r"]
    assert [(e.adds, e.atom) for e in action.effects] == [
        (False, Atom("atlocation", ("?a", "?from"))),
        (True, Atom("atlocation", ("?a", "?to"))),
    ]


def test_conditional_effects_keep_their_condition():
    first, second = parse_domain(DOMAIN).actions["switch"].effects
    assert (first.condition, first.adds) == (Atom("ison", ("?o",)), False)
    assert (second.condition, second.adds) == (Not(Atom("ison", ("?o",))), True)


def test_a_problem_gives_objects_facts_and_goal():
    problem = parse_problem(PROBLEM)
    assert problem.objects["shelf_bar_b"] == "receptacle"
    assert problem.objects["cup_bar_1"] == problem.objects["cup_bar_2"] == "object"
    assert problem.spelling["boxtype"] == "BoxType"
    assert Atom("ison", ("lamp_bar_1",)) in problem.init
    assert isinstance(problem.goal, And)
    (exists,) = problem.goal.parts
    assert isinstance(exists, Exists)
    assert Not(Equal("?o1", "?o2")) in exists.part.parts[-1].part.parts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PROBLEM[: len(PROBLEM) // 2], "truncated"),
        ("", "truncated"),
        (PROBLEM + ")", "unmatched closing parenthesis"),
        (PROBLEM.replace(":init", ":start"), "no :init section"),
        (PROBLEM.replace("(:goal", "(:aim"), "no :goal section"),
        (PROBLEM.replace("(exists (?o2", "(forall (?o2"), "'forall'"),
        (PROBLEM.replace("(define", "(defun"), r"does not start with \(define"),
    ],
)
def test_broken_problems_are_refused(text, message):
    with pytest.raises(GameError, match=message):
        parse_problem(text)


def test_a_domain_without_actions_is_refused():
    with pytest.raises(GameError, match="no action"):
        parse_domain("(define (domain d))")


def test_an_effect_for_all_is_refused():
    text = DOMAIN.replace("(when (isOn ?o) (not (isOn ?o)))", "(forall (?x - object) (isOn ?x))")
    with pytest.raises(GameError, match="'forall'"):
        parse_domain(text)
