"""What is compared: explored turns with the expert turns around them, as points whose value rollouts estimate.

A point is a history that ends with the turn in question. Its id holds everything that decides a rollout from there:
the history, the scorer, the world's wrapping, the sampling and the seed. So evidence is shared wherever two histories
are the same (an expert turn is the reference of one comparison and the expert's side of another; the same prefix in
another round or run), and never across different histories, policies or settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from configs.cache_inputs import played
from configs.schema import FactoryConfig
from environments.base import FIRST_VERSION, World
from rollouts.play import Played, Start, Wrapping, execute, seed_of
from rollouts.prompting import briefing_of
from rollouts.rows import Demonstration, Stored, demonstrations, explorations
from rollouts.stages.decide import sampling_rule_of, suffix_rule_of
from rollouts.stages.explore import prefix_starts
from steca.deviation import Candidate, Rule, candidate, prefilter, worth_scoring
from steca.exploration import Exploration
from steca.vocabulary import Side
from storage.ids import content_id
from storage.records import Record


@dataclass(frozen=True, slots=True)
class Point:
    """A turn whose value is wanted: the trajectory that holds it, its index there, and the point after it."""

    id: str
    side: Side
    holder: Stored
    step_index: int
    after: Played
    task_start: Start

    @property
    def ended(self) -> bool:
        """Whether the turn ended the episode: then its value is known."""
        return self.after.trajectory.end != "running"

    def start(self, sample: int) -> Start:
        """The start of one rollout: its random stream is a function of the point and the sample's number."""
        return self.after.resume(self.task_start.task, seed_of(self.id, sample))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two points whose values a rule compares. `rank`: which of its task's candidates it is about, from 0."""

    reference: Point
    explored: Point
    rule: Rule
    rank: int


@dataclass(frozen=True, slots=True)
class TaskComparisons:
    """All comparisons of one task: those of eq. 5 in order of their steps, and those of D_s."""

    task_id: str
    deviations: tuple[Comparison, ...]
    suffixes: tuple[Comparison, ...]

    @property
    def points(self) -> dict[str, Point]:
        pairs = (*self.deviations, *self.suffixes)
        return {point.id: point for pair in pairs for point in (pair.reference, pair.explored)}


def candidates(
    demo: Demonstration, runs: dict[int, Stored], limit: int | None
) -> list[tuple[Stored, Candidate]]:
    """The explored runs whose first turn is worth rollouts under some rule, earliest first, at most `limit`."""
    found = []
    for step, run in sorted(runs.items()):
        seen = candidate(Exploration(demo.expert.trajectory, run.trajectory, step))
        if worth_scoring(seen):
            found.append((run, seen))
    return found if limit is None else found[:limit]


class Comparer:
    """Builds the comparisons of tasks, under one configuration and one scorer (its digest)."""

    def __init__(self, world: World, config: FactoryConfig, scorer: str) -> None:
        self.world, self.environment, self.config = world, world.environment(), config
        self.rule = sampling_rule_of(config.deviation, config.rewards)
        self.suffix_rule = suffix_rule_of(config.deviation, config.rewards)
        self.wrapping = Wrapping.of(config)
        self._basis = _basis(config, scorer, world)

    def of_task(self, demo: Demonstration, runs: dict[int, Stored]) -> TaskComparisons:
        """For each candidate at step j: the explored turn against the expert's turn j - 1 (eq. 5) and, for D_s, against
        the expert's turn j. In mode fixed every candidate gets both; the others leave out what the rule or the
        training set can never use."""
        found = candidates(demo, runs, self.config.rewards.candidates)
        starts = prefix_starts(self.environment, demo, self.wrapping) if found else []
        expert = {
            index: self._point("expert", demo.expert, index, starts[index])
            for index in sorted({seen.step - back for _, seen in found for back in (0, 1)})
        }
        deviations, suffixes = [], []
        for rank, (run, seen) in enumerate(found):
            explored = self._point("explored", run, seen.step, starts[seen.step])
            if self._fixed or (self._asked_for and prefilter(seen, self.rule) is None):
                deviations.append(Comparison(expert[seen.step - 1], explored, self.rule, rank))
            if self._fixed or self.config.datasets.expert_suffixes:
                suffixes.append(Comparison(expert[seen.step], explored, self.suffix_rule, rank))
        return TaskComparisons(demo.task.task_id, tuple(deviations), tuple(suffixes))

    @property
    def _asked_for(self) -> bool:
        """Whether eq. 5 is to be decided, by the rule or for what may be asked later."""
        return self.rule.needs_rewards or self.config.rewards.evidence == "always"

    @property
    def _fixed(self) -> bool:
        return self.config.rewards.mode == "fixed"

    def _point(self, side: Side, holder: Stored, index: int, start: Start) -> Point:
        text = holder.trajectory.steps[index].text
        after = execute(self.environment, start, [text], "policy", self.wrapping)[0]
        told = [[step.text, step.observation] for step in after.trajectory.steps]
        basis = self._basis | self._told(start)
        identity = content_id("point", basis, start.task.task_id, start.first_observation, told)
        return Point(identity, side, holder, index, after, start)

    def _told(self, start: Start) -> dict[str, str]:
        """The text of the prompt, by its digest: other words, other rollouts."""
        briefing = briefing_of(self.world, start.task, self.wrapping.style)
        return {"briefing": content_id(briefing)} if briefing else {}


def _basis(config: FactoryConfig, scorer: str, world: World) -> dict[str, Any]:
    """What decides a rollout beside the history that it continues."""
    return {
        "scorer": scorer,
        "seed": config.seed,
        "environment": config.environment.model_dump(mode="json"),
        **played(config),
        "temperature": config.rewards.temperature,
        "top_p": config.rewards.top_p,
        **({"world": world.version} if world.version != FIRST_VERSION else {}),
    }


def comparisons_of(
    world: World, records: Sequence[Record], config: FactoryConfig, scorer: str
) -> list[TaskComparisons]:
    """The comparisons of every demonstrated task among the records."""
    comparer, runs = Comparer(world, config, scorer), explorations(records)
    return [comparer.of_task(demo, runs.get(demo.task.task_id, {})) for demo in demonstrations(records)]
