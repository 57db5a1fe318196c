"""Composes the thought before a command, from the visible history only.

It works back from the goal to the command: what is needed, what that takes, and so on, each link in fixed wording and
with its number, because a small policy copies rather than composes. The expert, the thoughts for the published runs
and the reflections share it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from environments.textcraft.game import Game, game_in
from environments.textcraft.recipes import listed
from environments.textcraft.rules import (
    GET,
    INVENTORY,
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
    """One need on the way from the goal to an item: how many are needed, how many are held, and the group that the
    item is taken for ("" if the recipe names it)."""

    item: str
    needed: int
    held: int
    group: str = ""


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
        times = -(-(need.needed - need.held) // recipe.count)
        for name, n in recipe.takes:
            group = name if name in game.groups else ""
            for item in game.groups.get(name, (name,)):
                yield Link(item, times * n, held.get(item, 0), group)


def _sentences(game: Game, state: State, action: str) -> Iterator[str]:
    command, got = parse_craft(action), GET.fullmatch(action)
    item = command.item if command else got[2] if got else ""
    links = chain(game, state, item)
    if links is None:
        yield "I look at what I have." if action == INVENTORY else f"My next step is: {action}."
        return
    yield f"I need {links[0].needed} {links[0].item}."
    for link in links[1:]:
        group = f" as {link.group}" if link.group else ""
        yield f"That takes {link.needed} {link.item}{group}{f', I have {link.held}' if link.held else ''}."
    if command:
        yield f"I have {listed(command.takes)}: I craft {command.pieces} {item}."
    elif got:
        yield f"I get {got[1]} {item}."
