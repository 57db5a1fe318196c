"""The planner: from any state, a short list of commands that reaches the goal.

It works back from the goal. What is missing is made by one of its recipes, which may leave other things missing. The
search is A* over how many commands are needed: the estimate is the number of missing things that no chosen recipe
makes yet. Every item is crafted before anything that takes it, so a balance without a debt can be carried out.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count as counter

from environments.textcraft.game import Game
from environments.textcraft.recipes import Recipe
from environments.textcraft.rules import State, total

NODES = 20_000
"""Most choices that are looked at before the search gives up."""


@dataclass(slots=True)
class _Node:
    """A partial plan. `balance`: what is left over of each item, in debt if below 0. `times`: how often each recipe
    is carried out. `takes`: for each item to be crafted, what its chosen recipes take."""

    balance: dict[str, int]
    debts: set[str]
    times: dict[Recipe, int]
    takes: dict[str, set[str]]

    def copy(self) -> _Node:
        takes = {item: set(parts) for item, parts in self.takes.items()}
        return _Node(dict(self.balance), set(self.debts), dict(self.times), takes)

    def add(self, way: Recipe, times: int) -> None:
        self.times[way] = self.times.get(way, 0) + times
        self.takes.setdefault(way.item, set()).update(item for item, _ in way.takes)
        self._change(way.item, times * way.count)
        for item, n in way.takes:
            self._change(item, -times * n)

    def cost(self) -> int:
        return len(self.times) + sum(item not in self.takes for item in self.debts)

    def rests_on(self, item: str, other: str) -> bool:
        """Whether crafting `item` takes `other`, directly or not."""
        waiting, seen = [item], {item}
        while waiting:
            now = waiting.pop()
            if now == other:
                return True
            new = self.takes.get(now, set()) - seen
            seen |= new
            waiting += new
        return False

    def _change(self, item: str, by: int) -> None:
        self.balance[item] = now = self.balance.get(item, 0) + by
        if now < 0:
            self.debts.add(item)
        else:
            self.debts.discard(item)


def plan(game: Game, state: State) -> list[str] | None:
    """Commands that lead from the state to the goal. None if the goal cannot be reached, or not within NODES
    choices."""
    found = _search(game, state)
    return None if found is None else list(_commands(game, state, found))


def _search(game: Game, state: State) -> _Node | None:
    ranks, ticks = game.ranks, counter()
    first = _Node(total(state), set(), {}, {})
    for item, n in game.needed.items():
        first._change(item, -n)
    heap = [(first.cost(), 0, next(ticks), first)]
    for _ in range(NODES):
        if not heap:
            return None
        node = heapq.heappop(heap)[3]
        while node.debts:
            item = max(node.debts, key=lambda debt: (ranks.get(debt, len(ranks)), debt))
            options = list(_options(game, node, item, ranks))
            if len(options) != 1:
                break
            node.add(*options[0])
        else:
            return node
        for way, times in options:
            after = node.copy()
            after.add(way, times)
            heapq.heappush(heap, (after.cost(), -len(after.times), next(ticks), after))
    return None


def _options(game: Game, node: _Node, item: str, ranks: Mapping[str, int]) -> Iterator[tuple[Recipe, int]]:
    """The recipes that make a missing item, with how often: as often as it takes, or, if there are other recipes, as
    often as what is there allows."""
    ways = game.ways.get(item, ())
    for way in ways:
        if any(part not in ranks and node.rests_on(part, item) for part, _ in way.takes):
            continue
        times = -(node.balance[item] // way.count)
        yield way, times
        at_once = min(node.balance.get(part, 0) // n for part, n in way.takes)
        if len(ways) > 1 and 0 < at_once < times:
            yield way, at_once


def _commands(game: Game, state: State, node: _Node) -> Iterator[str]:
    """The plan in an order that can be carried out: for each item of the goal, first what it takes, in the recipe's
    order."""
    held = defaultdict(int, state.held)
    ways: dict[str, list[tuple[Recipe, int]]] = {}
    for way, times in node.times.items():
        ways.setdefault(way.item, []).append((way, times))
    for item in _order(game, ways):
        for way, times in ways[item]:
            for part, n in way.takes:
                missing = times * n - held[part]
                if missing > 0:
                    held[part] += missing
                    yield f"get {missing} {part}"
                held[part] -= times * n
            held[item] += times * way.count
            yield way.command(times)


def _order(game: Game, ways: Mapping[str, list[tuple[Recipe, int]]]) -> list[str]:
    order: dict[str, None] = {}

    def visit(item: str) -> None:
        if item not in order and item in ways:
            for way, _ in ways[item]:
                for part, _ in way.takes:
                    visit(part)
            order[item] = None

    for item in game.goal:
        visit(item)
    return list(order)
