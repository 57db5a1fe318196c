"""Tasks of our own, drawn from the Minecraft recipes: any number of them, of chosen lengths.

A task is drawn backwards: goals, of those of the published training tasks, are added until so many things have to be
crafted, and what they take is crafted too or is there. A few pieces more are there than needed, and things of no use.
The run of a task is the planner's. No task has the goal items of a published test task, and a set of goal items is in
one split only.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from environments.base import EnvironmentFault
from environments.textcraft.game import Game
from environments.textcraft.planner import plan
from environments.textcraft.recipes import Book, Recipe, minecraft_book
from environments.textcraft.rules import initial
from environments.textcraft.tasks import classic_game, digest, published

_OF_TEN = {8: "validation", 9: "unseen"}
"""Of ten sets of goal items, eight are in `train`."""
_MOST_PIECES = 3
"""Most pieces of one goal, as in the published tasks."""
_MOST_USELESS = 3
"""Most things that are there and of no use."""
_MOST_OTHERS = 2
"""Most recipes that do not help."""
_CRAFTED = 0.7
"""How often what a recipe takes is crafted, where it can be, and not there at the start."""
_TRIES = 1000
"""So many draws may be thrown away for one task."""


Drawn = tuple[Game, list[str]]
"""A game and its run."""


@lru_cache(maxsize=8)
def drawn(wheel: Path, split: str, seed: int, crafts: range, gather: bool, count: int) -> tuple[Drawn, ...]:
    """Distinct tasks of a split. Each number of crafts is as frequent as any other; more tasks begin with the fewer.
    Raises EnvironmentFault where not enough can be found."""
    rng, found = random.Random(f"drawn {split} {seed}"), dict[str, Drawn]()
    while len(found) < count:
        number = rng.choice(crafts)
        tries = (_draw(wheel, rng, split, number) for _ in range(_TRIES))
        game, run = next((each for each in tries if each and each[0].intro() not in found), (None, []))
        if game is None:
            raise EnvironmentFault(
                f"textcraft: only {len(found)} {split} tasks were found: no other one of {number} crafts in {_TRIES} "
                "draws; change min_crafts and max_crafts, or request fewer tasks"
            )
        found[game.intro()] = game, run
    return tuple((replace(game, gather=gather), run) for game, run in found.values())


def _draw(wheel: Path, rng: random.Random, split: str, crafts: int) -> Drawn | None:
    """None if what was drawn makes no sense, belongs to another split or has another number of crafts."""
    drawing = _Drawing(wheel, rng)
    goal = drawing.goal(crafts)
    if drawing.start.keys() & drawing.ways.keys() or _split(wheel, goal) != split:
        return None
    game = classic_game(wheel, drawing.things(), goal, rng, others=_MOST_OTHERS)
    run = plan(game, initial(game))
    return (game, run) if run and len(run) == crafts else None


def goal_items(goal: Mapping[str, int]) -> str:
    """The items of a goal without their numbers, by which tasks are split."""
    return " ".join(sorted(goal))


def _split(wheel: Path, goal: Mapping[str, int]) -> str | None:
    """None for the goal of a published test task."""
    items = goal_items(goal)
    return None if items in _test_goals(wheel) else _OF_TEN.get(int(digest(items), 16) % 10, "train")


@lru_cache(maxsize=4)
def _test_goals(wheel: Path) -> frozenset[str]:
    tests = (task.line for task in published(wheel, "classic") if task.split == "unseen")
    return frozenset(goal_items(json.loads(line)["misc"]["target_items"]) for line in tests)


@lru_cache(maxsize=4)
def _goal_items(wheel: Path) -> tuple[str, ...]:
    """What published training tasks have as goals."""
    lines = (task.line for task in published(wheel, "classic") if task.split == "train")
    return tuple(sorted({item for line in lines for item in json.loads(line)["misc"]["target_items"]}))


@lru_cache(maxsize=4)
def _makers(wheel: Path) -> Mapping[str, list[Recipe]]:
    """Item -> its recipes."""
    found: dict[str, list[Recipe]] = {}
    for recipe in minecraft_book(wheel).recipes:
        found.setdefault(recipe.item, []).append(recipe)
    return found


@dataclass
class _Drawing:
    """One draw. `ways`: the recipe of each thing that is crafted, with items chosen for groups. `start`: what they
    take."""

    wheel: Path
    rng: random.Random
    ways: dict[str, Recipe] = field(default_factory=dict)
    start: Counter[str] = field(default_factory=Counter)

    def goal(self, crafts: int) -> dict[str, int]:
        """Goals that take so many crafts."""
        goal, items = dict[str, int](), _goal_items(self.wheel)
        while len(self.ways) < min(crafts, len(items)):
            item = self.rng.choice(items)
            if item not in self.ways:
                goal[item] = self.rng.randint(1, _MOST_PIECES)
                self._craft(item, goal[item], (), crafts)
        return goal

    @property
    def _book(self) -> Book:
        return minecraft_book(self.wheel)

    def _craft(self, item: str, pieces: int, above: tuple[str, ...], crafts: int) -> None:
        if item not in self.ways:
            self.ways[item] = self._chosen(self.rng.choice(_makers(self.wheel)[item]))
        way = self.ways[item]
        for part, n in way.takes:
            needed = -(-pieces // way.count) * n
            if part not in above and self._is_crafted(part, crafts):
                self._craft(part, needed, (*above, item), crafts)
            else:
                self.start[part] += needed

    def _is_crafted(self, part: str, crafts: int) -> bool:
        new = len(self.ways) < crafts and part in _makers(self.wheel) and part not in self.start
        return part in self.ways or (new and self.rng.random() < _CRAFTED)

    def _chosen(self, recipe: Recipe) -> Recipe:
        """The recipe with an item for each group."""
        takes = Counter[str]()
        for name, n in recipe.takes:
            takes[self.rng.choice(self._book.groups.get(name, (name,)))] += n
        return Recipe(recipe.item, recipe.count, tuple(takes.items()))

    def things(self) -> dict[str, int]:
        """What there is at the start, in no order."""
        for item, needed in self.start.items():
            self.start[item] += self.rng.randint(0, max(1, needed // 4))
        others = [n for n in self._book.names() if n not in {*self._book.groups, *self.ways, *self.start}]
        useless = self.rng.sample(others, min(self.rng.randint(0, _MOST_USELESS), len(others)))
        things = [*self.start.items(), *((item, self.rng.randint(1, 3)) for item in useless)]
        self.rng.shuffle(things)
        return dict(things)
