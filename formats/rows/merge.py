"""Heads of rows and their steps, from two streams in the same order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from steca.types import Step, Trajectory
from storage.faults import StorageFault

Head = dict[str, Any]
_NO_MORE: tuple[str | None, Iterator[Head]] = (None, iter(()))
STEP = "s.step_index, s.origin, s.text, s.thought, s.action, s.observation, s.valid"
"""The columns of a step, as `trajectory` reads them."""


def with_parts(
    heads: Iterator[Head], parts: Iterator[Head], key: str, required: bool = True
) -> Iterator[tuple[Head, list[Head]]]:
    """Each head with its parts. Both are ordered by `key`. Raises StorageFault for a head without parts where they are
    required."""
    groups = groupby(parts, key=lambda part: part[key])
    found, group = next(groups, _NO_MORE)
    for head in heads:
        own = list(group) if found == head[key] else []
        if own:
            found, group = next(groups, _NO_MORE)
        elif required:
            raise StorageFault(
                f"{key.removesuffix('_id')} {head[key]} has no steps in the store: `steca doctor` says what is missing"
            )
        yield head, own


def trajectory(head: Head, first_observation: str, steps: list[Head], wanted: int) -> Trajectory:
    """The first `wanted` steps of a trajectory. Raises StorageFault where some are missing."""
    if [step["step_index"] for step in steps] != list(range(wanted)):
        raise StorageFault(
            f"task {head['task_id']}: a trajectory has {len(steps)} of {wanted} steps in the store: `steca doctor` "
            "says what is missing"
        )
    return Trajectory(head["task_id"], first_observation, tuple(map(_step, steps)), 0.0, "done")


def _step(row: Head) -> Step:
    return Step(row["text"], row["thought"], row["action"], row["observation"], row["valid"], row["origin"])
