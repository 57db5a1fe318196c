"""The planner: from any state of a game the shortest of a few sensible ways to its goal, with hidden state in view.

The goal is read from the game's own PDDL. Every candidate (which thing, which appliance, which place) is really
played from the state, so a plan that is returned has won. It walks straight to things that nobody has seen:
good for repairs after a deviation and for the optimal length, not as a demonstration.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import permutations, product

from environments.alfworld.engine.game import Game, State
from environments.alfworld.engine.pddl import And, Atom, Equal, Exists, Formula, Not, Or
from environments.alfworld.expert.aims import Aim, AimKind
from environments.alfworld.expert.memory import Memory, remember
from environments.alfworld.expert.route import BlockedError, Route
from environments.alfworld.texts.narration import narrate
from steca.types import Turn

_ARRIVAL = re.compile(r"^You arrive at [^.]*\. ")
_TREATMENTS: dict[str, tuple[AimKind, str, tuple[str, ...]]] = {
    "isclean": ("clean", "clean", ("SinkBasinType", "SinkType")),
    "ishot": ("heat", "heat", ("MicrowaveType",)),
    "iscool": ("cool", "cool", ("FridgeType",)),
}
_KNIVES = ("KnifeType", "ButterKnifeType")
NEAREST = 6
"""How many things, and how many places, are tried at most: the nearest ones."""


@dataclass(frozen=True)
class Wish:
    """A PDDL goal of one of the six kinds: types as PDDL has them, in lower case; `states` the predicates that
    have to be true of each thing."""

    thing: str
    target: str
    states: frozenset[str]
    count: int

    @property
    def aim(self) -> Aim:
        treated = [kind for state, (kind, _, _) in _TREATMENTS.items() if state in self.states]
        kind: AimKind = (treated or ["light" if "istoggled" in self.states else "put"])[0]
        thing, target = self.thing.removesuffix("type"), self.target.removesuffix("type")
        return Aim("two" if self.count == 2 else kind, thing, target, "issliced" in self.states)


def plan_repair(game: Game, state: State) -> list[Turn] | None:
    """The turns that lead to the goal, [] where it is reached; None where no way is found. Thoughts speak of what
    is within sight at each turn, and of where the turn goes."""
    wish = read_wish(game.goal.formula)
    if game.won(state):
        return []
    if wish is None:
        return None
    routes = [route for route in _routes(wish, Route(game, state)) if game.won(route.state)]
    if not routes:
        return None
    return _told(wish.aim, game, state, min(routes, key=lambda route: len(route.steps)))


def read_wish(goal: Formula) -> Wish | None:
    """The goal as a wish, or None where it is of another form."""
    atoms = list(_atoms(goal))
    kinds = {atom.args[0]: atom.args[1] for atom in atoms if atom.predicate == "objecttype"}
    held = [atom.args[1] for atom in atoms if atom.predicate == "holds"]
    lamps = [kinds.get(atom.args[0], "") for atom in atoms if atom.predicate == "istoggled"]
    if held and lamps:
        return Wish(kinds[held[0]], lamps[0], frozenset({"istoggled"}), 1)
    targets = {atom.args[1] for atom in atoms if atom.predicate == "receptacletype"}
    if len(targets) != 1 or len(set(kinds.values())) != 1:
        return None
    states = {atom.predicate for atom in atoms} & {*_TREATMENTS, "issliced"}
    return Wish(next(iter(kinds.values())), targets.pop(), frozenset(states), len(kinds))


def _atoms(formula: Formula) -> Iterator[Atom]:
    match formula:
        case Atom():
            yield formula
        case And(parts) | Or(parts):
            for part in parts:
                yield from _atoms(part)
        case Exists(_, part) | Not(part):
            yield from _atoms(part)
        case Equal():
            return


def _routes(wish: Wish, start: Route) -> Iterator[Route]:
    things = _nearest(start, [t for t, kind in start.game.object_types.items() if kind.lower() == wish.thing])
    if "istoggled" in wish.states:
        lamps = [t for t, kind in start.game.object_types.items() if kind.lower() == wish.target]
        yield from _tried(_lit, start, product(things, _nearest(start, lamps)))
        return
    targets = [p for p, kind in start.game.receptacle_types.items() if kind.lower() == wish.target]
    for target in _worthwhile(start, targets):
        there = [thing for thing in things if _ready(wish, start, thing) and target in start.holder_of(thing)]
        missing = max(0, wish.count - len(there))
        others = [thing for thing in things if thing not in there]
        for chosen in permutations(others, missing):
            yield from _tried(_bring_all, start, [(wish, chosen, target)])


def _tried(
    way: Callable[..., Route], start: Route, choices: Iterator[tuple] | list[tuple]
) -> Iterator[Route]:
    for choice in choices:
        try:
            yield way(start, *choice)
        except BlockedError:
            continue


def _lit(start: Route, thing: str, lamp: str) -> Route:
    places = start.holder_of(lamp)
    if not places:
        raise BlockedError("the lamp stands nowhere")
    there = start.take(thing).go(places[0])
    return there if start.game.won(there.state) else there.do(f"use {start.game.names[lamp]}")


def _bring_all(start: Route, wish: Wish, things: tuple[str, ...], target: str) -> Route:
    for thing in things:
        start = _treated(wish, start, thing).put(thing, target)
    return start


def _treated(wish: Wish, start: Route, thing: str) -> Route:
    """The thing in the hand, in every state that the goal wants."""
    if "issliced" in wish.states and not start.game.holds(start.state, "issliced", thing):
        start = _sliced(start, thing)
    route = start.take(thing)
    for state, (_, verb, kinds) in _TREATMENTS.items():
        if state in wish.states and not route.game.holds(route.state, state, thing):
            appliances = [p for p, kind in route.game.receptacle_types.items() if kind in kinds]
            if not appliances:
                raise BlockedError(f"nothing here can {verb}")
            route = route.treat(verb, thing, min(appliances, key=lambda place: not route.near(place)))
    return route


def _sliced(start: Route, thing: str) -> Route:
    """A thing in the hand has to be put down first, and the knife is put down by whatever is taken next."""
    if start.held == thing:
        start = start.free_hand(thing)
    knives = [k for k, kind in start.game.object_types.items() if kind in _KNIVES]
    ways = list(
        _tried(
            lambda route, knife: route.slice_with(thing, knife),
            start,
            [(k,) for k in _nearest(start, knives)],
        )
    )
    if not ways:
        raise BlockedError("no knife can be had")
    return min(ways, key=lambda route: len(route.steps))


def _ready(wish: Wish, route: Route, thing: str) -> bool:
    return all(route.game.holds(route.state, state, thing) for state in wish.states)


def _nearest(route: Route, things: list[str]) -> list[str]:
    """The things that take least effort to reach from here."""

    def effort(thing: str) -> tuple[int, str]:
        if thing == route.held:
            return 0, thing
        return min((1 + _steps_to(route, place) for place in route.holder_of(thing)), default=99), thing

    return sorted(things, key=effort)[:NEAREST]


def _worthwhile(route: Route, targets: list[str]) -> list[str]:
    """Places where a thing of the kind may be already come in by being near the front of no list: keep all of
    those that hold anything, then the easiest to reach."""
    holding = {place for _, place in route.game.facts(route.state, "inreceptacle")}
    easy = sorted(targets, key=lambda place: (_steps_to(route, place), place))[:2]
    return [place for place in targets if place in easy or place in holding]


def _steps_to(route: Route, place: str) -> int:
    return (not route.near(place)) + route.shut(place)


def _told(aim: Aim, game: Game, state: State, route: Route) -> list[Turn]:
    memory = _in_sight(game, Route(game, state))
    turns = []
    for command, answer in route.steps:
        turns.append(Turn(narrate(aim, memory, command), command))
        memory.observe(command, _ARRIVAL.sub("", answer))
    return turns


def _in_sight(game: Game, now: Route) -> Memory:
    """A memory of no more than what can be seen or felt where the agent stands."""
    memory = remember(game.intro(), ())
    memory.held = game.names[now.held] if now.held else None
    for place in sorted(game.receptacle_types):
        if now.near(place):
            memory.here = game.names[place]
            if now.shut(place):
                memory.closed.add(memory.here)
            else:
                inside = game.facts(now.state, "inreceptacle")
                memory.contents[memory.here] = [
                    game.names[thing] for thing, at in sorted(inside) if at == place
                ]
    for state, word in (("isclean", "clean"), ("ishot", "hot"), ("iscool", "cool")):
        memory.conditions |= {(game.names[thing], word) for (thing,) in game.facts(now.state, state)}
    return memory
