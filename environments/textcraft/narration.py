"""Composes the thought before a command, from the visible history only.

It works back from the goal to the command: which parts of the goal are done, what is needed, its recipe and how often
it is carried out, what that takes and what is there of it, and so on. The wording is fixed, and every number is there,
because a small policy copies rather than composes: one that was told less (0.4.0) lost count of what was done already.
The expert, the thoughts for the published runs and the reflections share it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import pairwise
from typing import NamedTuple

from environments.textcraft.game import Game, game_in
from environments.textcraft.recipes import Recipe, listed
from environments.textcraft.rules import (
    GET,
    INVENTORY,
    Craft,
    RefusedError,
    State,
    apply,
    initial,
    parse_craft,
    total,
)
from steca.types import Step

REFUSED = "That had no effect."


class Link(NamedTuple):
    """One need on the way from the goal to an item: how many are needed and held, the group that the item is taken for
    ("" if the recipe names it), and the recipe that takes it, with its needs before this one (None for the goal)."""

    item: str
    needed: int
    held: int
    group: str = ""
    recipe: Recipe | None = None
    before: tuple[Link, ...] = ()


def replay(first_observation: str, steps: Iterable[Step]) -> tuple[Game, State] | None:
    """The game and its state after a visible history. None if the first observation describes no game."""
    game = game_in(first_observation)
    if game is None:
        return None
    state = initial(game)
    for step in steps:
        with suppress(RefusedError):
            state, _ = apply(game, state, step.action)
    return game, state


def narrate(game: Game, state: State, action: str, refused: bool = False) -> str:
    """The thought that leads to `action`. `refused`: the last command had no effect."""
    thought = " ".join(_sentences(game, state, action))
    return f"{REFUSED} {thought}" if refused else thought


def chain(game: Game, state: State, item: str) -> list[Link] | None:
    """The shortest way from the first item of the goal that is still missing and takes `item`, through needs that are
    not yet met. None if nothing that is missing takes the item."""
    there, held = total(state), dict(state.held)
    for goal, needed in game.needed.items():
        missing = Link(goal, needed - there.get(goal, 0), 0)
        links = _way_to(game, held, missing, item) if missing.needed > 0 else None
        if links:
            return links
    return None


def _way_to(game: Game, held: dict[str, int], missing: Link, item: str) -> list[Link] | None:
    waiting, seen = deque([[missing]]), {missing.item}
    while waiting:
        links = waiting.popleft()
        if links[-1].item == item:
            return links
        for link in _parts(game, held, links[-1]):
            if link.item == item or (link.item not in seen and link.held < link.needed):
                seen.add(link.item)
                waiting.append([*links, link])
    return None


def _parts(game: Game, held: dict[str, int], need: Link) -> Iterator[Link]:
    """What it takes to craft the pieces that are missing."""
    for recipe in game.recipes:
        if recipe.item != need.item:
            continue
        times, before = -(-(need.needed - need.held) // recipe.count), tuple[Link, ...]()
        for name, n in recipe.takes:
            group = name if name in game.groups else ""
            links = [
                Link(item, times * n, held.get(item, 0), group, recipe, before)
                for item in game.groups.get(name, (name,))
            ]
            yield from links
            before += (max(links, key=lambda link: link.held),)


def _sentences(game: Game, state: State, action: str) -> Iterator[str]:
    command, got = parse_craft(action), GET.fullmatch(action)
    item = command.item if command else got[2] if got else ""
    links = chain(game, state, item)
    if links is None:
        yield "I look at what I have." if action == INVENTORY else f"My next step is: {action}."
        return
    there = total(state)
    yield from (f"{goal} is done." for goal, n in game.needed.items() if there.get(goal, 0) >= n)
    yield f"I need {links[0].needed} {links[0].item}."
    for above, link in pairwise(links):
        yield from _takes(link, above.needed - above.held)
    if command:
        yield from _taken_by(game, state, command)
        yield f"I craft {command.pieces} {item}."
    elif got:
        yield f"I get {got[1]} {item}."


def _takes(link: Link, pieces: int) -> Iterator[str]:
    """The recipe that takes a need, for so many pieces, and its needs up to this one."""
    assert link.recipe, "only the goal is taken by no recipe"
    takes = listed(dict(link.recipe.takes))
    yield f"Recipe: {link.recipe.item} using {takes}, {-(-pieces // link.recipe.count)} times."
    for item, needed, held, group, *_ in (*link.before, link):
        yield f"That takes {needed} {item}{f' as {group}' if group else ''}, I have {held}."


def _taken_by(game: Game, state: State, command: Craft) -> Iterator[str]:
    """The recipe that a command follows, and all that the command takes. Nothing if it follows none."""
    made, held = Recipe(command.item, command.pieces, tuple(command.takes.items())), dict(state.held)
    for recipe in game.recipes:
        times = command.pieces // recipe.count if recipe.item == command.item else 0
        if times and any(way.command(times) == made.command() for way in game.ways_of(recipe)):
            groups = {part: group for group, _ in recipe.takes for part in game.groups.get(group, ())}
            links = [Link(part, n, held.get(part, 0), groups.get(part, ""), recipe) for part, n in made.takes]
            yield from _takes(links[-1]._replace(before=tuple(links[:-1])), command.pieces)
            return
