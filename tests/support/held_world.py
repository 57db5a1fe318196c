"""The generated games, in a world that a test can hold or break in the middle of a batch, in whichever process."""

from __future__ import annotations

import os
import time
from pathlib import Path

from environments.alfworld.environment import AlfworldEnvironment
from environments.alfworld.generation.world import GeneratedAlfworld
from environments.base import Environment, EnvironmentFault, StepResult

FOLDER = "STECA_TEST_HELD"
"""Environment variable with the folder of the files `hold` and `fail`, and of what the processes note there."""


class HeldEnvironment(AlfworldEnvironment):
    """Each step notes its process and waits as long as the file `hold` is there; raises where `fail` is there."""

    def step(self, action: str) -> StepResult:
        folder = Path(os.environ[FOLDER])
        while (folder / "hold").exists():
            (folder / f"waits-{os.getpid()}").touch()
            time.sleep(0.05)
        if (folder / "fail").exists():
            with (folder / "failed").open("a") as noted:
                noted.write(f"{os.getpid()}\n")
            raise EnvironmentFault("the world is out of order: repair it")
        return super().step(action)


class Held(GeneratedAlfworld):
    def environment(self) -> Environment:
        return HeldEnvironment()
