"""Whether the simulator of ScienceWorld can run here, and how tests play it."""

from __future__ import annotations

import shutil
from importlib.util import find_spec

import pytest

from environments.scienceworld.environment import ScienceWorldEnvironment, Variation
from environments.scienceworld.world import ScienceWorld

needs_simulator = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("scienceworld") is None, reason="pip install -e .[scienceworld]"),
    pytest.mark.skipif(shutil.which("java") is None, reason="no Java: apt-get install default-jre-headless"),
]


def solution(world: ScienceWorld, variation: Variation) -> list[str]:
    """The actions of the simulator's own solution, as they are made."""
    environment = world.environment()
    actions = environment.gold_path(variation)
    environment.close()
    return actions


def played(environment: ScienceWorldEnvironment, variation: Variation, actions: list[str]) -> list[object]:
    """The first observation, then all answers."""
    return [environment.start(variation), *(environment.step(action) for action in actions)]
