"""An episode as the agent sees it: first a look around and the task, then the simulator's answers, word for word.

The reward is ETO's: the highest score reached so far, out of 100. A negative score (a focus on the wrong thing) and a
completed task end the episode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from environments.base import EnvironmentFault, StepResult, Task
from environments.scienceworld.catalog import SIMPLIFICATION, TASK_TYPES
from environments.scienceworld.package import JAR_DIGEST, VERSION
from environments.scienceworld.simulator import Episode, Simulator, SimulatorError

UNKNOWN_ACTION = "No known action matches that input."


class Variation(NamedTuple):
    """What a task's payload says."""

    task_type: str
    number: int

    @property
    def payload(self) -> str:
        """boil 12 easy f4e1fdce0cdabe1b, with the digest of the simulator's jar"""
        return f"{self.task_type} {self.number} {SIMPLIFICATION} {JAR_DIGEST}"


def variation_of(payload: str) -> Variation:
    """Raises EnvironmentFault for a payload of another simulator or simplification."""
    task_type, _, rest = payload.partition(" ")
    number, _, source = rest.partition(" ")
    if source != f"{SIMPLIFICATION} {JAR_DIGEST}" or task_type not in TASK_TYPES or not number.isdigit():
        raise EnvironmentFault(
            f"scienceworld: task {payload!r} is not one of scienceworld {VERSION}, simplification {SIMPLIFICATION}: "
            "run the stage demonstrate again"
        )
    return Variation(task_type, int(number))


class ScienceWorldEnvironment:
    """Implements `environments.base.Environment`. `simulator` gives a running one."""

    def __init__(self, simulator: Callable[[], Simulator]) -> None:
        self._simulator = simulator
        self._episode: Episode | None = None
        self._best = 0

    def reset(self, task: Task, seed: int) -> str:
        """Start the task's episode, in a new JVM if the last one has ended. Variations are fixed: the seed has no
        effect. Raises EnvironmentFault, or ConnectionError if the JVM ends meanwhile."""
        return self.start(variation_of(task.payload))

    def start(self, variation: Variation) -> str:
        """The same, for a variation."""
        self._best = 0
        with _named(variation):
            task, look = self._running().load(variation.task_type, variation.number, SIMPLIFICATION)
        return f"{look}\n\n{task}"

    def gold_path(self, variation: Variation) -> list[str]:
        """The actions of the simulator's own solution. Ends the episode."""
        with _named(variation):
            return self._running().gold_path(variation.task_type, variation.number, SIMPLIFICATION)

    def _running(self) -> Episode:
        if self._episode is None or not self._episode.simulator.alive:
            self._episode = Episode(self._simulator())
        return self._episode

    def step(self, action: str) -> StepResult:
        """Raises ConnectionError if the JVM has ended or does not answer."""
        if self._episode is None:
            raise EnvironmentFault(
                "the ScienceWorld environment has no episode yet: call reset(task, seed) first"
            )
        try:
            observation, score, completed = self._episode.step(action)
        except SimulatorError as error:
            return StepResult(f"The simulator failed: {error}", self._best / 100, valid=False)
        self._best = max(self._best, score)
        valid = observation != UNKNOWN_ACTION
        return StepResult(observation, self._best / 100, completed or score < 0, valid)

    def close(self) -> None:
        if self._episode is not None:
            self._episode.close()
        self._episode = None


@contextmanager
def _named(variation: Variation) -> Iterator[None]:
    """A task that the simulator cannot load is a fault of the task."""
    try:
        yield
    except SimulatorError as error:
        raise EnvironmentFault(f"scienceworld: {variation.payload!r} cannot be loaded: {error}") from error
