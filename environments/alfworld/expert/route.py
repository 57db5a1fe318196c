"""Errands in a game, using hidden state: each goes and opens where necessary, and records its commands."""

from __future__ import annotations

from dataclasses import dataclass, replace

from environments.alfworld.engine.game import Game, State


class BlockedError(Exception):
    """The errand is impossible from here."""


@dataclass(frozen=True)
class Route:
    """A state of the game and the (command, answer) pairs that led to it. Every errand returns a longer route, and
    raises BlockedError if the rules refuse it. Entities are PDDL ids."""

    game: Game
    state: State
    steps: tuple[tuple[str, str], ...] = ()

    def do(self, command: str) -> Route:
        done = self.game.apply(self.state, command)
        if done is None:
            raise BlockedError(f"the game refuses {command!r}")
        return replace(self, state=done[0], steps=(*self.steps, (command, done[1])))

    @property
    def held(self) -> str | None:
        return next((thing for _, thing in self.game.facts(self.state, "holds")), None)

    def holder_of(self, thing: str) -> list[str]:
        """The receptacles that a thing lies in; official games may have two for one thing."""
        return sorted(place for other, place in self.game.facts(self.state, "inreceptacle") if other == thing)

    def near(self, place: str) -> bool:
        here = {location for _, location in self.game.facts(self.state, "atlocation")}
        spots = self.game.facts(self.state, "receptacleatlocation")
        return any((place, location) in spots for location in here)

    def shut(self, place: str) -> bool:
        return self.game.holds(self.state, "openable", place) and not self.game.holds(
            self.state, "opened", place
        )

    def takes(self, place: str, thing: str) -> bool:
        """Whether the rules let such a thing be put there."""
        kinds = [kind for other, kind in self.game.facts(self.state, "receptacletype") if other == place]
        sorts = [sort for other, sort in self.game.facts(self.state, "objecttype") if other == thing]
        fitting = self.game.facts(self.state, "cancontain")
        return any((kind, sort) in fitting for kind in kinds for sort in sorts)

    def go(self, place: str) -> Route:
        return self if self.near(place) else self.do(f"go to {self.game.names[place]}")

    def reach_into(self, place: str) -> Route:
        there = self.go(place)
        return there.do(f"open {self.game.names[place]}") if there.shut(place) else there

    def take(self, thing: str) -> Route:
        """Fetch a thing, after putting down whatever is held."""
        if self.held == thing:
            return self
        places = self.holder_of(thing)
        if not places:
            raise BlockedError(f"{self.game.names[thing]} lies in no receptacle")
        place = min(places, key=lambda place: (not self.near(place), self.shut(place)))
        there = self.free_hand(place).reach_into(place)
        return there.do(f"take {self.game.names[thing]} from {self.game.names[place]}")

    def put(self, thing: str, place: str) -> Route:
        names = self.game.names
        there = self.reach_into(place)
        for command in (
            f"put {names[thing]} in/on {names[place]}",
            f"move {names[thing]} to {names[place]}",
        ):
            if there.game.apply(there.state, command):
                return there.do(command)
        raise BlockedError(f"{names[thing]} cannot be put at {names[place]}")

    def free_hand(self, next_place: str) -> Route:
        """Put down what is held where it costs least on the way to `next_place`."""
        held = self.held
        if held is None:
            return self
        spots = [place for place in sorted(self.game.receptacle_types) if self.takes(place, held)]
        if not spots:
            raise BlockedError(f"{self.game.names[held]} fits nowhere")
        return self.put(held, min(spots, key=lambda place: self._detour(place, next_place)))

    def _detour(self, place: str, next_place: str) -> int:
        if place == next_place:
            return 1
        return 1 + self.shut(place) + (not self.near(place))

    def treat(self, verb: str, thing: str, appliance: str) -> Route:
        names = self.game.names
        return self.go(appliance).do(f"{verb} {names[thing]} with {names[appliance]}")

    def slice_with(self, thing: str, knife: str) -> Route:
        there = self.take(knife).go(self.holder_of(thing)[0])
        return there.do(f"slice {self.game.names[thing]} with {self.game.names[knife]}")
