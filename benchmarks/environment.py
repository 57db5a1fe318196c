"""How fast the ALFWorld rules are on one core: steps, snapshots, resets.

    python benchmarks/environment.py [--games 60] [--repeats 7]

Plays expert runs, with one inadmissible action in ten, on generated games (and on official ones if ALFWORLD_DATA is
set), and prints medians over the repeats. "hot": the games were compiled and played before.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import time
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from environments.alfworld.environment import compiled_game
from environments.base import Environment, Task, World
from environments.registry import make_world
from steca.types import Step

Run = tuple[Task, list[str]]
INVALID = "go to nowhere 1"


def expert_run(world: World, task: Task, cap: int = 40) -> Run:
    """The actions of the exploring expert, with an inadmissible one inserted before one in ten."""
    environment, steps, actions = world.environment(), list[Step](), list[str]()
    first, rng = environment.reset(task, 0), random.Random(task.task_id)
    while len(steps) < cap and (turn := environment.expert_turn(first, steps)):
        result = environment.step(turn.action)
        steps.append(Step("", turn.thought, turn.action, result.observation, result.valid, "expert"))
        actions += [INVALID, turn.action] if rng.random() < 0.1 else [turn.action]
        if result.done:
            break
    return task, actions


def seconds(work: Callable[[], int], repeats: int) -> float:
    """Median seconds per unit of work; `work` returns how many units it did."""
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        units = work()
        taken.append((time.perf_counter() - start) / units)
    return statistics.median(taken)


def play(environment: Environment, runs: list[Run]) -> int:
    for task, actions in runs:
        environment.reset(task, 0)
        for action in actions:
            environment.step(action)
    return sum(len(actions) for _, actions in runs)


def rewind(environment: Environment, times: int = 2000) -> int:
    for _ in range(times):
        environment.restore(environment.snapshot())
    return times


def reset_all(environment: Environment, runs: list[Run], forget: bool) -> int:
    for task, _ in runs:
        if forget:
            compiled_game.cache_clear()
        environment.reset(task, 0)
    return len(runs)


def measure(name: str, games: int, repeats: int) -> list[str]:
    world = make_world(name, {})
    runs = [expert_run(world, task) for task in world.tasks("train", games, seed=0)]
    environment = world.environment()
    play(environment, runs)
    step = seconds(lambda: play(environment, runs), repeats)
    snapshot = seconds(lambda: rewind(environment), repeats)
    hot = seconds(lambda: reset_all(environment, runs, forget=False), repeats)
    cold = seconds(lambda: reset_all(environment, runs, forget=True), 1)
    return [name, f"{1 / step:,.0f}", f"{snapshot * 1e6:.2f}", f"{hot * 1e3:.3f}", f"{cold * 1e3:.2f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--games", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    table = Table("world", "steps/s", "snapshot + restore, us", "reset hot, ms", "reset first, ms")
    for name in ["alfworld-generated", *(["alfworld"] if os.environ.get("ALFWORLD_DATA") else [])]:
        table.add_row(*measure(name, options.games, options.repeats))
    Console().print(table)


if __name__ == "__main__":
    main()
