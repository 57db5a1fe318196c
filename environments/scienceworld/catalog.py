"""The task types: ETO (Song et al. 2024) uses 24 of the simulator's 30. It leaves out the three inclined planes, both
genetics tasks and the melting point of an unknown substance.

The simulator numbers the variations of a type: the first are for training, the next for development, the last for
testing. The counts here are those of version 1.2.3, in which they do not depend on the simplification.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

SIMPLIFICATION = "easy"
"""Doors are open, containers too, flower pots water themselves, and `teleport` is allowed."""


class TaskType(NamedTuple):
    """Numbers of variations in the simulator's three sets, and ETO's most steps of an episode."""

    train: int
    dev: int
    test: int
    step_cap: int


TASK_TYPES: Mapping[str, TaskType] = {
    "boil": TaskType(14, 7, 9, 100),
    "change-the-state-of-matter-of": TaskType(14, 7, 9, 80),
    "chemistry-mix": TaskType(16, 8, 8, 60),
    "chemistry-mix-paint-secondary-color": TaskType(18, 9, 9, 15),
    "chemistry-mix-paint-tertiary-color": TaskType(18, 9, 9, 30),
    "find-animal": TaskType(150, 75, 75, 15),
    "find-living-thing": TaskType(150, 75, 75, 15),
    "find-non-living-thing": TaskType(150, 75, 75, 15),
    "find-plant": TaskType(150, 75, 75, 15),
    "freeze": TaskType(14, 7, 9, 80),
    "grow-fruit": TaskType(62, 31, 33, 60),
    "grow-plant": TaskType(62, 31, 33, 30),
    "identify-life-stages-1": TaskType(6, 3, 5, 30),
    "identify-life-stages-2": TaskType(4, 2, 4, 30),
    "lifespan-longest-lived": TaskType(62, 31, 32, 10),
    "lifespan-longest-lived-then-shortest-lived": TaskType(62, 31, 32, 12),
    "lifespan-shortest-lived": TaskType(62, 31, 32, 10),
    "measure-melting-point-known-substance": TaskType(218, 109, 109, 120),
    "melt": TaskType(14, 7, 9, 80),
    "power-component": TaskType(10, 5, 5, 20),
    "power-component-renewable-vs-nonrenewable-energy": TaskType(10, 5, 5, 30),
    "test-conductivity": TaskType(450, 225, 225, 30),
    "test-conductivity-of-unknown-substances": TaskType(300, 150, 150, 30),
    "use-thermometer": TaskType(270, 135, 135, 30),
}
