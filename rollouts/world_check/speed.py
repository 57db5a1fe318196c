"""How fast a world is: what a rollout pays for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import cast

from environments.capabilities import Snapshots
from environments.states.calling import reset, step
from environments.states.snapshots import close_quietly
from rollouts.world_check.finding import Finding, Sample

SECONDS = 2.0
"""Each part is measured for about so long."""


def check_speed(sample: Sample) -> Iterator[Finding]:
    """Medians: a step, a reset, a new environment, a snapshot with its restoring."""
    world = sample.world
    environment = sample.environment()
    taken: list[float] = []
    resets: list[float] = []
    until = time.perf_counter() + SECONDS
    for task in sample.tasks * 50:
        run = sample.runs.get(task.task_id)
        resets.append(_timed(lambda task=task: reset(environment, task, 0)))  # type: ignore[misc]
        for one in run.trajectory.steps if run else ():
            taken.append(_timed(lambda task=task, one=one: step(environment, task, one.action)))  # type: ignore[misc]
        if time.perf_counter() > until:
            break
    new = _timed(lambda: close_quietly(world.own.environment()))
    told = [
        f"{1 / median(taken):,.0f} steps/s" if taken else "no steps",
        f"reset {median(resets) * 1e3:.2f} ms",
        f"new environment {new * 1e3:.1f} ms",
    ]
    if world.can(Snapshots):
        snapshots = cast(Snapshots, environment)
        told.append(
            f"snapshot and restore {_timed(lambda: snapshots.restore(snapshots.snapshot())) * 1e6:.0f} us"
        )
    yield Finding("speed", "ok", ", ".join(told))


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
