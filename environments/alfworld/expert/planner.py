"""The planner: from any state of a game, the shortest of a few sensible plans to its goal, using hidden state.

The goal is read from the game's own PDDL. Every candidate plan (which thing, which appliance, which place) is played
from the state, so a returned plan has won. It walks straight to things that the agent has not seen: good for repairs
after a deviation and for the optimal length, but not as a demonstration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import permutations, product

from environments.alfworld.engine.game import Game, State
from environments.alfworld.engine.pddl import And, Atom, Equal, Exists, Formula, Not, Or
from environments.alfworld.expert.instruction import GoalKind, TaskGoal
from environments.alfworld.expert.memory import Memory, remember
from environments.alfworld.expert.route import BlockedError, Route
from environments.alfworld.texts.dialect import after_arrival
from environments.alfworld.texts.narration import narrate
from steca.types import Turn

_TREATMENTS: dict[str, tuple[GoalKind, str, tuple[str, ...]]] = {
    "isclean": ("clean", "clean", ("SinkBasinType", "SinkType")),
    "ishot": ("heat", "heat", ("MicrowaveType",)),
    "iscool": ("cool", "cool", ("FridgeType",)),
}
_KNIVES = ("KnifeType", "ButterKnifeType")
NEAREST = 6
"""Most candidates tried per kind of thing: the nearest ones."""


@dataclass(frozen=True)
class PddlGoal:
    """A PDDL goal of one of the six task types, with PDDL types in lower case. `states`: the predicates that must hold
    for each thing."""

    thing: str
    target: str
    states: frozenset[str]
    count: int

    @property
    def task_goal(self) -> TaskGoal:
        treated = [kind for state, (kind, _, _) in _TREATMENTS.items() if state in self.states]
        kind: GoalKind = (treated or ["light" if "istoggled" in self.states else "put"])[0]
        thing, target = self.thing.removesuffix("type"), self.target.removesuffix("type")
        return TaskGoal("two" if self.count == 2 else kind, thing, target, "issliced" in self.states)


def plan_repair(game: Game, state: State) -> list[Turn] | None:
    """The turns that lead to the goal, [] if it is reached, None if no plan is found. Thoughts mention what is in sight
    at each turn, and where the turn goes."""
    goal = parse_pddl_goal(game.goal.formula)
    if game.won(state):
        return []
    if goal is None:
        return None
    routes = [route for route in _routes(goal, Route(game, state)) if game.won(route.state)]
    if not routes:
        return None
    return _narrated(goal.task_goal, game, state, min(routes, key=lambda route: len(route.steps)))


def parse_pddl_goal(goal: Formula) -> PddlGoal | None:
    """The goal of a formula, or None if it has another form."""
    atoms = list(_atoms(goal))
    kinds = {atom.args[0]: atom.args[1] for atom in atoms if atom.predicate == "objecttype"}
    held = [atom.args[1] for atom in atoms if atom.predicate == "holds"]
    lamps = [kinds.get(atom.args[0], "") for atom in atoms if atom.predicate == "istoggled"]
    if held and lamps:
        return PddlGoal(kinds[held[0]], lamps[0], frozenset({"istoggled"}), 1)
    targets = {atom.args[1] for atom in atoms if atom.predicate == "receptacletype"}
    if len(targets) != 1 or len(set(kinds.values())) != 1:
        return None
    states = {atom.predicate for atom in atoms} & {*_TREATMENTS, "issliced"}
    return PddlGoal(next(iter(kinds.values())), targets.pop(), frozenset(states), len(kinds))


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


def _routes(goal: PddlGoal, start: Route) -> Iterator[Route]:
    things = _nearest(start, [t for t, kind in start.game.object_types.items() if kind.lower() == goal.thing])
    if "istoggled" in goal.states:
        lamps = [t for t, kind in start.game.object_types.items() if kind.lower() == goal.target]
        yield from _feasible(_lit, start, product(things, _nearest(start, lamps)))
        return
    targets = [p for p, kind in start.game.receptacle_types.items() if kind.lower() == goal.target]
    for target in _worthwhile(start, targets):
        there = [thing for thing in things if _ready(goal, start, thing) and target in start.holder_of(thing)]
        missing = max(0, goal.count - len(there))
        others = [thing for thing in things if thing not in there]
        for chosen in permutations(others, missing):
            yield from _feasible(_bring_all, start, [(goal, chosen, target)])


def _feasible(
    errand: Callable[..., Route], start: Route, choices: Iterator[tuple] | list[tuple]
) -> Iterator[Route]:
    for choice in choices:
        try:
            yield errand(start, *choice)
        except BlockedError:
            continue


def _lit(start: Route, thing: str, lamp: str) -> Route:
    places = start.holder_of(lamp)
    if not places:
        raise BlockedError("the lamp stands nowhere")
    there = start.take(thing).go(places[0])
    return there if start.game.won(there.state) else there.do(f"use {start.game.names[lamp]}")


def _bring_all(start: Route, goal: PddlGoal, things: tuple[str, ...], target: str) -> Route:
    for thing in things:
        start = _treated(goal, start, thing).put(thing, target)
    return start


def _treated(goal: PddlGoal, start: Route, thing: str) -> Route:
    """The route to the thing in the hand, in every state that the goal requires."""
    if "issliced" in goal.states and not start.game.holds(start.state, "issliced", thing):
        start = _sliced(start, thing)
    route = start.take(thing)
    for state, (_, verb, kinds) in _TREATMENTS.items():
        if state in goal.states and not route.game.holds(route.state, state, thing):
            appliances = [p for p, kind in route.game.receptacle_types.items() if kind in kinds]
            if not appliances:
                raise BlockedError(f"nothing here can {verb}")
            route = route.treat(verb, thing, min(appliances, key=lambda place: not route.near(place)))
    return route


def _sliced(start: Route, thing: str) -> Route:
    """A thing in the hand must be put down first; the next `take` puts the knife down."""
    if start.held == thing:
        start = start.free_hand(thing)
    knives = [k for k, kind in start.game.object_types.items() if kind in _KNIVES]
    ways = list(
        _feasible(
            lambda route, knife: route.slice_with(thing, knife),
            start,
            [(k,) for k in _nearest(start, knives)],
        )
    )
    if not ways:
        raise BlockedError("no knife can be had")
    return min(ways, key=lambda route: len(route.steps))


def _ready(goal: PddlGoal, route: Route, thing: str) -> bool:
    return all(route.game.holds(route.state, state, thing) for state in goal.states)


def _nearest(route: Route, things: list[str]) -> list[str]:
    """The things that are easiest to reach from here."""

    def effort(thing: str) -> tuple[int, str]:
        if thing == route.held:
            return 0, thing
        return min((1 + _steps_to(route, place) for place in route.holder_of(thing)), default=99), thing

    return sorted(things, key=effort)[:NEAREST]


def _worthwhile(route: Route, targets: list[str]) -> list[str]:
    """The targets worth trying: all that hold anything (a thing of the kind may be there already), and the two easiest
    to reach."""
    holding = {place for _, place in route.game.facts(route.state, "inreceptacle")}
    easy = sorted(targets, key=lambda place: (_steps_to(route, place), place))[:2]
    return [place for place in targets if place in easy or place in holding]


def _steps_to(route: Route, place: str) -> int:
    return (not route.near(place)) + route.shut(place)


def _narrated(goal: TaskGoal, game: Game, state: State, route: Route) -> list[Turn]:
    memory = _visible_memory(game, Route(game, state))
    turns = []
    for command, answer in route.steps:
        turns.append(Turn(narrate(goal, memory, command), command))
        memory.observe(command, after_arrival(answer))
    return turns


def _visible_memory(game: Game, now: Route) -> Memory:
    """A memory of what the agent can see or feel where it stands."""
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
