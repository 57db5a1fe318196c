"""The wording of every thought about a household task: one short function per statement.

A thought states the reason right before the decision, in fixed wording ("I need a mug: none on shelf 2, next
cabinet 1."), because a small policy copies rather than composes. `need` is the type to look for with its article
("a mug", "another mug").
"""

from __future__ import annotations

from collections.abc import Sequence

from environments.alfworld.catalog import openable


def a(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def at(place: str) -> str:
    return f"{'in' if openable(place) else 'on'} {place}"


def search_plan(need: str, places: Sequence[str]) -> str:
    return f"I need {need}: search {', next '.join(places)}."


def not_here(need: str, here: str | None, then: str) -> str:
    seen = f"none {at(here)}, " if here else ""
    return f"I need {need}: {seen}next {then}."


def found(thing: str, need: str) -> str:
    return f"I need {need}: {thing} is here. I take it."


def recalled(thing: str, need: str, place: str) -> str:
    return f"I need {need}: I saw {thing} {at(place)}. I go there."


def shut(place: str) -> str:
    return f"The {place} is closed. I open it."


def close(place: str) -> str:
    return f"I am done with {place}. I close it."


def treat_there(thing: str, condition: str, appliance: str) -> str:
    return f"I have {thing}. It must be {condition}. I go to {appliance}."


def treat_here(thing: str, condition: str, appliance: str) -> str:
    return f"I have {thing} at {appliance}. I make it {condition}."


def deliver(thing: str, condition: str | None, place: str) -> str:
    return f"I have {condition + ' ' if condition else ''}{thing}. I bring it to {place}."


def set_down(thing: str, place: str) -> str:
    return f"I have {thing} at {place}. I put it there."


def put_away(thing: str, need: str, place: str) -> str:
    return f"I have {thing}, but I need {need}. I put it {at(place)}."


def carry_away(thing: str, need: str, place: str) -> str:
    return f"I have {thing}, but I need {need}. I bring it to {place}."


def to_light(thing: str, lamp: str, place: str) -> str:
    return f"I have {thing}. I saw {lamp} {at(place)}. I go there."


def light(thing: str | None, lamp: str) -> str:
    return f"I have {thing} and {lamp} is here. I use it." if thing else f"{lamp} is here. I use it."


def look_closer(place: str) -> str:
    return f"I am beside {place}. I examine it."


def plainly(action: str) -> str:
    return f"My next step is: {action}."


FAILED = "That did nothing."

STATES = ("clean", "cold", "cool", "heat", "hot", "two")
"""The words that distinguish the kinds of tasks."""
