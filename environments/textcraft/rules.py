"""What the commands do. A state is immutable, so it is its own snapshot."""

from __future__ import annotations

import re
from typing import NamedTuple

from environments.base import EnvironmentFault
from environments.textcraft.game import Game
from environments.textcraft.recipes import Amounts, Recipe, listed

Pile = tuple[tuple[str, int], ...]
"""How many of each item, sorted by item, none of them 0."""
INVENTORY = "inventory"
_AMOUNTS = r"(\d{1,9} \w+(?:, \d{1,9} \w+)*)"
CRAFT = re.compile(rf"craft (\d{{1,9}}) (\w+) using {_AMOUNTS}", re.ASCII)
GET = re.compile(r"get (\d{1,9}) (\w+)", re.ASCII)
MOST_COMMANDS = 100_000
_COMMANDS = "The commands are: craft N ITEM using N ITEM, N ITEM; {}inventory."


class State(NamedTuple):
    """`held`: what the agent has. `around`: what it can get."""

    held: Pile
    around: Pile


class Craft(NamedTuple):
    """A parsed `craft`."""

    item: str
    pieces: int
    takes: Amounts


class RefusedError(Exception):
    """A command that has no effect. The message is the answer to the agent."""


def initial(game: Game) -> State:
    start = pile(game.start)
    return State((), start) if game.gather else State(start, ())


def total(state: State) -> dict[str, int]:
    """What is there at all, held or not."""
    there = dict(state.held)
    for item, count in state.around:
        there[item] = there.get(item, 0) + count
    return there


def progress(game: Game, state: State) -> float:
    """Share of the goal's pieces that were crafted, 1.0 exactly when all were."""
    there = total(state)
    made = sum(min(max(there.get(item, 0) - game.start.get(item, 0), 0), n) for item, n in game.goal.items())
    return made / sum(game.goal.values())


def apply(game: Game, state: State, action: str) -> tuple[State, str]:
    """The next state and the observation. Raises RefusedError."""
    action = spelled(action)
    if action == INVENTORY:
        return state, f"You have {listed(dict(state.held)) or 'nothing'}."
    if wanted := GET.fullmatch(action):
        return _get(state, int(wanted[1]), wanted[2])
    command = parse_craft(action)
    if command is None:
        raise RefusedError(_COMMANDS.format("get N ITEM; " if game.gather else ""))
    return _craft(game, state, command)


def spelled(action: str) -> str:
    """Lower case, with single blanks."""
    return " ".join(action.lower().split())


def parse_craft(action: str) -> Craft | None:
    """None if it is no `craft`, or names an ingredient twice."""
    found = CRAFT.fullmatch(spelled(action))
    if not found:
        return None
    parts = [part.split() for part in found[3].split(", ")]
    takes = {item: int(count) for count, item in parts}
    return Craft(found[2], int(found[1]), takes) if len(takes) == len(parts) else None


def admissible(game: Game, state: State) -> list[str]:
    """Every command that is not refused, sorted, each in one spelling. Raises EnvironmentFault if there are more than
    MOST_COMMANDS."""
    held = dict(state.held)
    most = {
        way: min(held.get(item, 0) // count for item, count in way.takes)
        for ways in game.ways.values()
        for way in ways
    }
    number = 1 + sum(most.values()) + sum(count for _, count in state.around)
    if number > MOST_COMMANDS:
        raise EnvironmentFault(
            f"the task {game.instruction()!r} admits {number:,} commands, too many to list: use "
            "`policy.constrain: none`, or shorter tasks"
        )
    gets = (f"get {n} {item}" for item, count in state.around for n in range(1, count + 1))
    crafts = (way.command(times) for way, at_most in most.items() for times in range(1, at_most + 1))
    return sorted([INVENTORY, *gets, *crafts])


def pile(amounts: Amounts) -> Pile:
    return tuple(sorted((item, count) for item, count in amounts.items() if count))


def _get(state: State, count: int, item: str) -> tuple[State, str]:
    held, around = dict(state.held), dict(state.around)
    if not count or around.get(item, 0) < count:
        raise RefusedError(f"You can get {around.get(item, 0)} {item} here.")
    around[item] -= count
    held[item] = held.get(item, 0) + count
    return State(pile(held), pile(around)), f"You got {count} {item}."


def _craft(game: Game, state: State, command: Craft) -> tuple[State, str]:
    way = _way(game, command)
    held = dict(state.held)
    for item, count in command.takes.items():
        if held.get(item, 0) < count:
            raise RefusedError(f"You have {held.get(item, 0)} {item}, not {count}.")
        held[item] -= count
    held[way.item] = held.get(way.item, 0) + command.pieces
    return State(pile(held), state.around), f"You crafted {command.pieces} {way.item}."


def _way(game: Game, command: Craft) -> Recipe:
    """The recipe that the command follows. Raises RefusedError if there is none."""
    ways = [way for way in game.ways.get(command.item, ()) if dict(way.takes).keys() == command.takes.keys()]
    for way in ways:
        times = command.pieces // way.count
        exact = {item: times * n for item, n in way.takes} == command.takes
        if exact and times and times * way.count == command.pieces:
            return way
    group = next((name for name in command.takes if name in game.groups), None)
    if group:
        raise RefusedError(f"{group} is a group. Choose one of: {', '.join(game.groups[group])}.")
    recipes = [recipe.command() for recipe in ways or game.recipes if recipe.item == command.item]
    if recipes:
        raise RefusedError(f"That does not fit the recipe: {' or '.join(recipes)}.")
    raise RefusedError(f"There is no recipe for {command.item}.")
