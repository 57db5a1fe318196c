"""One task as a game: the recipes that it lists, what is there at the start, and the goal. As JSON it is in the
payload of a task, and as text its first observation, from which the expert reads it back: nothing of it is hidden.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from typing import Any

from configs.json_text import parse_json
from environments.base import EnvironmentFault
from environments.textcraft.recipes import Amounts, Recipe, listed

TASK_MARK = "Your task is to: "
_GROUP = re.compile(r"^(\w+): any of (.*)$", re.MULTILINE)
_LISTED = re.compile(r"^craft (\d+) (\w+) using (.*)$", re.MULTILINE)
_HAVE = re.compile(r"^You have (.*?)\.(?: You can get (.*)\.)?$", re.MULTILINE)
_AMOUNT = re.compile(r"(\d+) (\w+)")


@dataclass(frozen=True)
class Game:
    """`start`: what is there at the start, in the agent's hands or, with `gather`, to be got first. `goal`: what must
    be crafted on top of that. `groups`: name -> its items that can be had here; a recipe may take a group."""

    start: Amounts
    goal: Amounts
    recipes: tuple[Recipe, ...]
    groups: Mapping[str, tuple[str, ...]]
    gather: bool

    @cached_property
    def ways(self) -> Mapping[str, tuple[Recipe, ...]]:
        """Item -> the recipes that make it, with an item chosen for each group."""
        found: dict[str, list[Recipe]] = {}
        for recipe in self.recipes:
            for way in self.ways_of(recipe):
                found.setdefault(recipe.item, []).append(way)
        return {item: tuple(ways) for item, ways in found.items()}

    def ways_of(self, recipe: Recipe) -> Iterator[Recipe]:
        """The recipe with each choice of an item for each group."""
        for choice in product(*(self.groups.get(name, (name,)) for name, _ in recipe.takes)):
            takes = Counter[str]()
            for item, (_, n) in zip(choice, recipe.takes, strict=True):
                takes[item] += n
            yield Recipe(recipe.item, recipe.count, tuple(takes.items()))

    @cached_property
    def ranks(self) -> Mapping[str, int]:
        """Item -> more than the rank of whatever its recipes take. Items that can be crafted in a circle, and what
        rests on them, have none."""
        parts = {item: {part for way in ways for part, _ in way.takes} for item, ways in self.ways.items()}
        ranks = {part: 0 for taken in parts.values() for part in taken - parts.keys()}
        waiting, grown = list(parts), True
        while grown:
            ready = [item for item in waiting if parts[item] <= ranks.keys()]
            ranks.update((item, 1 + max(ranks[part] for part in parts[item])) for item in ready)
            waiting = [item for item in waiting if item not in ranks]
            grown = bool(ready)
        return ranks

    @cached_property
    def needed(self) -> Amounts:
        """How many of each item of the goal there must be in the end."""
        return {item: count + self.start.get(item, 0) for item, count in self.goal.items()}

    def instruction(self) -> str:
        return f"craft {listed(self.goal)}"

    def intro(self) -> str:
        """The first observation."""
        lines = ["The recipes are:", *(recipe.command() for recipe in self.recipes)]
        lines += [f"{group}: any of {', '.join(items)}" for group, items in self.groups.items()]
        have = (
            f"You have nothing. You can get {listed(self.start)}."
            if self.gather
            else f"You have {listed(self.start)}."
        )
        return "\n".join([*lines, have, f"{TASK_MARK}{self.instruction()}."])

    def fields(self) -> dict[str, Any]:
        """What `game_of` reads, ready for JSON."""
        recipes = [[recipe.item, recipe.count, recipe.takes] for recipe in self.recipes]
        values = (dict(self.start), dict(self.goal), recipes, dict(self.groups), self.gather)
        return dict(zip(_FIELDS, values, strict=True))


_FIELDS = ("start", "goal", "recipes", "groups", "gather")


@lru_cache(maxsize=256)
def game_of(payload: str) -> Game:
    """The game of a task's payload. Raises EnvironmentFault for anything else."""
    try:
        data = parse_json(payload)
        start, goal, recipes, groups, gather = (data[field] for field in _FIELDS)
        if not goal:
            raise ValueError("no goal")
        return Game(
            start,
            goal,
            tuple(
                Recipe(item, count, tuple((name, n) for name, n in takes)) for item, count, takes in recipes
            ),
            {group: tuple(items) for group, items in groups.items()},
            gather,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise unreadable(payload, error) from error


def unreadable(payload: str, error: Exception) -> EnvironmentFault:
    reason = f"{type(error).__name__}: {error}"
    return EnvironmentFault(
        f"the payload of a TextCraft task cannot be read ({reason}): {payload[:60]!r}; list the tasks again"
    )


@lru_cache(maxsize=256)
def game_in(first_observation: str) -> Game | None:
    """The game that a first observation describes; None if it describes none."""
    have, goal = _HAVE.search(first_observation), first_observation.rpartition(TASK_MARK)[2]
    if not have or not amounts(goal):
        return None
    before = first_observation[: have.start()]
    recipes = tuple(
        Recipe(item, int(count), tuple(amounts(takes).items()))
        for count, item, takes in _LISTED.findall(before)
    )
    groups = {group: tuple(items.split(", ")) for group, items in _GROUP.findall(before)}
    return Game(amounts(have[2] or have[1]), amounts(goal), recipes, groups, have[2] is not None)


def amounts(text: str) -> dict[str, int]:
    """ "2 stick, 3 oak_planks" as a mapping."""
    return {item: int(count) for count, item in _AMOUNT.findall(text)}
