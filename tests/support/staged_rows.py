"""The rows of the stages before the training, made of expert runs by a toy policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from configs.schema import FactoryConfig
from models.reflectors.reflector import Reflection, ReflectionRequest
from rollouts.rows import Demonstration, StoredTrajectory, demonstrations, explorations
from rollouts.stages.calibrate import calibrate
from rollouts.stages.decide import decide
from rollouts.stages.explore import explore
from rollouts.stages.score import score
from steca.vocabulary import Progress
from storage.records import DeviationRecord, Record
from tests.support.rollouts_toys import Toy, world


class Thinker:
    """A reflector with one constant reflection."""

    label = "by-hand"

    def reflect(
        self, requests: Sequence[ReflectionRequest], progress: Progress | None = None
    ) -> list[Reflection]:
        return [Reflection("That did not help.", self.label) for _ in requests]


@dataclass(frozen=True)
class StagedRows:
    """By stage: demonstrate, explore, rewards (scores and verdicts), calibrate."""

    demonstrated: tuple[Record, ...]
    explored: tuple[Record, ...]
    scores: tuple[Record, ...]
    verdicts: tuple[DeviationRecord, ...]
    repairs: tuple[Record, ...]

    @property
    def played(self) -> list[Record]:
        """What the stage rewards reads."""
        return [*self.demonstrated, *self.explored]

    @property
    def records(self) -> list[Record]:
        return [*self.played, *self.scores, *self.verdicts, *self.repairs]

    @property
    def demos(self) -> list[Demonstration]:
        return demonstrations(self.demonstrated)

    def run(self, demo: Demonstration, j: int) -> StoredTrajectory:
        """The run that was explored after j turns of the expert."""
        return explorations(self.explored)[demo.task.task_id][j]


def staged_rows(demonstrated: Sequence[Record], policy: Toy, settings: FactoryConfig) -> StagedRows:
    """What the stages make of these expert runs. The policy explores and scores."""
    explored = explore(world(), policy, demonstrated, settings)
    played = [*demonstrated, *explored]
    scores = score(world(), policy, played, settings)
    verdicts = decide([*played, *scores], settings.deviation, settings.rewards)
    repairs = calibrate(world(), Thinker(), [*played, *scores, *verdicts], settings)
    return StagedRows(tuple(demonstrated), tuple(explored), tuple(scores), tuple(verdicts), tuple(repairs))
