"""What a check of a world found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from configs.schema import PolicyConfig
from environments.base import Environment, EnvironmentFault, Task
from environments.complete import CompleteWorld
from environments.states.snapshots import close_quietly
from rollouts.play import EpisodeSettings, PlayedEpisode

State = Literal["ok", "fault", "note", "not there"]
"""note: nothing is wrong, but it costs something. not there: the world does not have what would be checked."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`found` says what was tried, and for a fault which task, what happened, and what to do."""

    check: str
    state: State
    found: str


@dataclass
class Sample:
    """The world, and the tasks and runs that checks use."""

    world: CompleteWorld
    settings: EpisodeSettings
    tasks: tuple[Task, ...]
    runs: dict[str, PlayedEpisode]
    """By task id: the expert's run, or another one where it has none."""
    experts: dict[str, tuple[PlayedEpisode | None, str]]
    """By task id: the expert's run, and why it cannot be used (rollouts.stages.demonstrate.expert_run)."""
    sources: str
    """Where the runs come from, e.g. "20 of the expert"."""
    policy: PolicyConfig | None = None
    faults: set[str] = field(default_factory=set)
    """The names of the checks that found a fault so far."""
    _made: list[Environment] = field(default_factory=list)

    def environment(self) -> Environment:
        """A new environment, as the world makes it."""
        self._made.append(self.world.make_environment())
        return self._made[-1]

    def close(self) -> None:
        """Close the environments that were made."""
        while self._made:
            close_quietly(self._made.pop())


Check = Callable[[Sample], Iterator[Finding]]


def guarded(name: str, check: Check) -> Check:
    """The check; a fault that the world raises in the middle is a finding of it."""

    def run(sample: Sample) -> Iterator[Finding]:
        try:
            yield from check(sample)
        except EnvironmentFault as fault:
            yield Finding(name, "fault", str(fault))
        except (ConnectionError, TimeoutError) as error:
            yield Finding(name, "fault", f"{type(error).__name__}: {error}")
        finally:
            sample.close()

    return run
