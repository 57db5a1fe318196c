"""A world with known step values: rooms in a row, hatches into a cellar, and a policy with known probabilities.

In each room the policy goes on, goes back or opens the hatch with given probabilities, and else writes an action
without effect. In the cellar it climbs the ladder, if there is one, or acts without effect. So the value of every turn,
r(s, a), and its mean progress are exact sums over few states (`Corridor.value`), with the step cap and the streak of
invalid turns as in `rollouts.play`. The whole factory runs on it as on any other world: `environment.name=oracle`, with
`OraclePolicy` as the scorer.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from configs.schema import EnvironmentConfig
from environments.base import StepResult, Task
from environments.complete import CompleteWorld
from models.policy import Generation, History, Sampling
from steca.types import Step, Turn

CELLAR = -1
ON, BACK, HATCH, CLIMB, WAIT = "go on", "go back", "open hatch", "climb ladder", "wait"


@dataclass(frozen=True, slots=True)
class Corridor:
    """One task: the last of `rooms` + 1 rooms is the goal. Probabilities of going on, back and down, by room."""

    name: str
    rooms: int
    ladder: bool
    on: tuple[float, ...]
    back: tuple[float, ...]
    hatch: tuple[float, ...]
    climb: float

    def after(self, place: int, action: str) -> int:
        """The place after an action; the same place if it has no effect."""
        if place == CELLAR:
            return 0 if action == CLIMB and self.ladder else CELLAR
        if action == BACK:
            return max(0, place - 1)
        return {ON: place + 1, HATCH: CELLAR}.get(action, place)

    def chances(self, place: int) -> dict[str, float]:
        """The policy's probability of each action."""
        if place == CELLAR:
            return {CLIMB: self.climb, WAIT: 1.0 - self.climb}
        on, back, hatch = self.on[place], self.back[place], self.hatch[place]
        return {ON: on, BACK: back, HATCH: hatch, WAIT: 1.0 - on - back - hatch}

    def progress(self, place: int) -> float:
        return max(0, place) / self.rooms

    @lru_cache(maxsize=1 << 18)  # noqa: B019  corridors are few and small
    def value(self, place: int, left: int, streak: int, invalid: int = 0) -> tuple[float, float]:
        """(probability of success, mean progress at the end) from a place, with `left` steps before the cap, if
        `streak` invalid turns in a row end the episode and the last `invalid` turns were invalid."""
        if place == self.rooms:
            return 1.0, 1.0
        if left == 0 or invalid == streak:
            return 0.0, self.progress(place)
        success = progress = 0.0
        for action, chance in self.chances(place).items():
            if chance:
                then = self.after(place, action)
                later = self.value(then, left - 1, streak, 0 if then != place else invalid + 1)
                success, progress = success + chance * later[0], progress + chance * later[1]
        return success, progress


def corridor(name: str) -> Corridor:
    """The corridor of a name: from hopeless to certain, some with rooms where the greedy policy falls into a trap."""
    draw = random.Random(name)
    rooms, skill = draw.randint(2, 7), draw.random() ** 0.7
    traps = [draw.random() < 0.3 for _ in range(rooms)]
    on = [skill * (0.35 if trap else draw.uniform(0.8, 1.0)) for trap in traps]
    rest = [1.0 - chance for chance in on]
    hatch = [left * (0.8 if trap else draw.uniform(0.0, 0.4)) for left, trap in zip(rest, traps, strict=True)]
    back = [(left - down) * draw.uniform(0.3, 0.9) for left, down in zip(rest, hatch, strict=True)]
    return Corridor(
        name,
        rooms,
        draw.random() < 0.7,
        tuple(on),
        tuple(back),
        tuple(hatch),
        climb=draw.uniform(0.3, 1.0) * skill,
    )


def _seen(corridor: Corridor, place: int) -> str:
    return "You are in the cellar." if place == CELLAR else f"You are in room {place} of {corridor.rooms}."


def _place(observation: str) -> int:
    found = re.search(r"You are in room (\d+) of", observation)
    return int(found[1]) if found else CELLAR


@dataclass
class OracleEnvironment:
    corridor: Corridor
    place: int = 0

    def reset(self, task: Task, seed: int = 0) -> str:
        self.corridor, self.place = corridor(json.loads(task.payload)["name"]), 0
        return f"{_seen(self.corridor, 0)} Your task is to: {task.instruction}"

    def step(self, action: str) -> StepResult:
        then = self.corridor.after(self.place, action)
        valid, self.place = then != self.place, then
        done = then == self.corridor.rooms
        seen = _seen(self.corridor, then) if valid else f"Nothing happens. {_seen(self.corridor, then)}"
        return StepResult(seen, float(done), done, valid)

    def snapshot(self) -> object:
        return self.corridor, self.place

    def restore(self, snapshot: object) -> None:
        self.corridor, self.place = snapshot  # type: ignore[misc]

    def admissible_actions(self) -> list[str]:
        actions = (ON, BACK, HATCH, CLIMB)
        return sorted(a for a in actions if self.corridor.after(self.place, a) != self.place)

    def progress(self) -> float:
        return self.corridor.progress(self.place)

    def expert_turn(self, first_observation: str, steps: Sequence[Step]) -> Turn | None:
        seen = steps[-1].observation if steps else first_observation
        turns = _way(corridor(_name(first_observation)), _place(seen))
        return turns[0] if turns else None

    def plan_repair(self) -> list[Turn] | None:
        return _way(self.corridor, self.place) or None


def _name(first_observation: str) -> str:
    return first_observation.rsplit(" ", 1)[1].rstrip(".")


def _way(corridor: Corridor, place: int) -> list[Turn]:
    """The shortest way to the goal; empty if there is none."""
    up = (
        [Turn("I am in the cellar; there is a ladder.", CLIMB)] if place == CELLAR and corridor.ladder else []
    )
    if place == CELLAR and not up:
        return []
    return up + [Turn("The way is on.", ON)] * (corridor.rooms - max(0, place))


class OracleWorld:
    name = "oracle"
    version = "1"
    no_action = "Nothing happens."

    def tasks(self, split: str, count: int, seed: int) -> list[Task]:
        names = [f"{split}-{seed}-{index}" for index in range(count)]
        goal = "reach the last room of corridor"
        return [
            Task(f"oracle-{n}", "oracle", split, "corridor", f"{goal} {n}.", json.dumps({"name": n}))
            for n in names
        ]

    def environment(self) -> OracleEnvironment:
        return OracleEnvironment(corridor("none"))

    def reflect(
        self, instruction: str, first_observation: str, steps: Sequence[Step], required_action: str
    ) -> str:
        return f"{steps[-1].action} led away from the last room; now {required_action}."

    def vocabulary(self) -> list[str]:
        return ["room", "cellar", "hatch", "ladder"]


@dataclass(frozen=True)
class OraclePolicy:
    """Draws from `Corridor.chances` (temperature 1, top-p 1); greedy takes the likeliest action."""

    digest: str = "oracle"

    def act(self, histories: Sequence[History], seeds: Sequence[int], sampling: Sampling) -> list[Generation]:
        return [self._turn(history, seed, sampling) for history, seed in zip(histories, seeds, strict=True)]

    def _turn(self, history: History, seed: int, sampling: Sampling) -> Generation:
        chances = corridor_of(history).chances(_place(history[-1]["content"]))
        if sampling.temperature == 0.0:
            action = max(chances, key=lambda a: chances[a])
        else:
            (action,) = random.Random(seed).choices(list(chances), list(chances.values()))
        return Generation(f"Thought: So be it.\nAction: {action}", 8, "stop")


def corridor_of(history: History) -> Corridor:
    return _kept(_name(history[0]["content"]))


_kept = lru_cache(maxsize=4096)(corridor)


@dataclass(frozen=True, slots=True)
class ExactComparison:
    """A turn that the policy may write instead of the expert's, with the exact values that eq. 5 compares."""

    corridor: Corridor
    step: int
    action: str
    reference: float
    explored: float


def exact_comparisons(tasks: Sequence[Task], step_cap: int, invalid_streak: int) -> Iterator[ExactComparison]:
    """For every step of every expert run except the first: all actions of the policy there except the expert's."""
    for task in tasks:
        here = corridor(json.loads(task.payload)["name"])
        for step in range(1, here.rooms):
            reference, _ = here.value(step, step_cap - step, invalid_streak)
            for action, chance in here.chances(step).items():
                then = here.after(step, action)
                if action != ON and chance:
                    value, _ = here.value(then, step_cap - step - 1, invalid_streak, int(then == step))
                    yield ExactComparison(here, step, action, reference, value)


def make() -> CompleteWorld:
    """The world as the stages use it."""
    return CompleteWorld(OracleWorld(), EnvironmentConfig(name="oracle"))
