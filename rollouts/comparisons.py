"""Which turns are compared: each explored turn with the expert turns around it, as points to sample rollouts from.

A rollout point is a history that ends with the turn to score. Its id is a digest of everything that decides a rollout
from there: the history, the scorer, the episode settings, the sampling parameters and the seed. So rollouts are shared
wherever two histories are equal (an expert turn is the reference of one comparison and the same-step turn of another;
another round or run has the same prefix), and never across different histories, policies or settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from configs.cache_inputs import cache_key_settings, rollout_id_settings
from configs.needed import compares_suffixes
from configs.schema import FactoryConfig
from environments.complete import CompleteWorld
from environments.versions import FIRST_VERSION
from rollouts.play import EpisodeSettings, PlayedEpisode, Start, execute, seed_of
from rollouts.prompting import briefing_of
from rollouts.rows import Demonstration, StoredTrajectory, demonstrations, explorations
from rollouts.stages.decide import sampling_rule_of, suffix_sampling_rule_of
from rollouts.stages.explore import prefix_starts
from steca.deviation import Candidate, Rule, candidate_of, prefilter, worth_scoring
from steca.exploration import Exploration
from steca.preferences import ipr_possible_winners, ipr_rule
from steca.vocabulary import Side
from storage.ids import content_id
from storage.records import Record


@dataclass(frozen=True, slots=True)
class RolloutPoint:
    """A turn whose value rollouts estimate: the stored trajectory that holds it, its index there, and the episode right
    after it."""

    id: str
    side: Side
    source: StoredTrajectory
    step_index: int
    after: PlayedEpisode
    task_start: Start

    @property
    def ended(self) -> bool:
        """Whether the turn ended the episode, so that its value is known."""
        return self.after.trajectory.end != "running"

    def start(self, sample: int) -> Start:
        """The start of one rollout. Its seed depends on the point and the sample's index only."""
        return self.after.resume(self.task_start.task, seed_of(self.id, sample))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two points whose values a rule compares. `rank`: the index of the candidate among those of its task, from 0."""

    reference: RolloutPoint
    explored: RolloutPoint
    rule: Rule
    rank: int


@dataclass(frozen=True, slots=True)
class TaskComparisons:
    """All comparisons of one task: those of eq. 5 in step order, and those of D_s."""

    task_id: str
    deviations: tuple[Comparison, ...]
    suffixes: tuple[Comparison, ...]

    @property
    def points(self) -> dict[str, RolloutPoint]:
        pairs = (*self.deviations, *self.suffixes)
        return {point.id: point for pair in pairs for point in (pair.reference, pair.explored)}


def candidates(
    demo: Demonstration, runs: dict[int, StoredTrajectory], limit: int | None
) -> list[tuple[StoredTrajectory, Candidate]]:
    """The explored runs whose first turn some rule could use, earliest first, at most `limit`."""
    found = []
    for step, run in sorted(runs.items()):
        candidate = candidate_of(Exploration(demo.expert.trajectory, run.trajectory, step))
        if worth_scoring(candidate):
            found.append((run, candidate))
    return found if limit is None else found[:limit]


class PointBuilder:
    """Builds rollout points for one configuration and one scorer (its digest), by playing their turns."""

    def __init__(self, world: CompleteWorld, config: FactoryConfig, scorer: str) -> None:
        self._world, self._settings = world, EpisodeSettings.of(config)
        self._basis = _basis(config, scorer, world)

    def starts(self, demo: Demonstration) -> list[Start]:
        """The starts after 0..T-1 turns of the expert."""
        return prefix_starts(self._world, demo, self._settings)

    def point(self, side: Side, source: StoredTrajectory, index: int, start: Start) -> RolloutPoint:
        """The point after the turn with this index of a trajectory. `start` is the start before it."""
        after = self._after(source, index, start)
        history = [[step.text, step.observation] for step in after.trajectory.steps]
        basis = self._basis | self._briefing_digest(start)
        identity = content_id("point", basis, start.task.task_id, start.first_observation, history)
        return RolloutPoint(identity, side, source, index, after, start)

    def _briefing_digest(self, start: Start) -> dict[str, str]:
        """The digest of the briefing, if there is one: another text, other rollouts."""
        briefing = briefing_of(self._world, start.task, self._settings.style)
        return {"briefing": content_id(briefing)} if briefing else {}

    def _after(self, source: StoredTrajectory, index: int, start: Start) -> PlayedEpisode:
        text = source.trajectory.steps[index].text
        return execute(self._world, start, [text], "policy", self._settings)[0]


class StoredPoints(PointBuilder):
    """The same points (equal ids, ends and known values) from stored rows alone: nothing is played, so no rollout can
    start from them."""

    def starts(self, demo: Demonstration) -> list[Start]:
        expert = demo.expert.trajectory
        return [
            Start(demo.task, expert.first_observation, expert.steps[:turns], state=None)
            for turns in range(len(expert.steps))
        ]

    def _after(self, source: StoredTrajectory, index: int, start: Start) -> PlayedEpisode:
        whole, progress = source.trajectory, source.record.progress
        if index + 1 == len(whole.steps):
            return PlayedEpisode(whole, whole.outcome if progress is None else progress, state=None)
        unfinished = replace(whole, steps=whole.steps[: index + 1], outcome=0.0, end="running")
        return PlayedEpisode(unfinished, 0.0, state=None)


class ComparisonBuilder:
    """Builds the comparisons of tasks for one configuration, from points of one scorer."""

    def __init__(self, config: FactoryConfig, points: PointBuilder) -> None:
        self.config, self.points = config, points
        self.rule = sampling_rule_of(config.deviation, config.rewards)
        self.suffix_rule = suffix_sampling_rule_of(config.deviation, config.rewards)

    def of_task(self, demo: Demonstration, runs: dict[int, StoredTrajectory]) -> TaskComparisons:
        """For each candidate at step j: the explored turn against the expert's turn j - 1 (eq. 5) and, for D_s, against
        the expert's turn j. Mode fixed builds both for every candidate; the other modes leave out what the rule or the
        training set can never use."""
        found = candidates(demo, runs, self.config.rewards.candidates)
        starts = self.points.starts(demo) if found else []
        expert = {
            index: self.points.point("expert", demo.expert, index, starts[index])
            for index in sorted({candidate.step - back for _, candidate in found for back in (0, 1)})
        }
        deviations, suffixes = [], []
        for rank, (run, candidate) in enumerate(found):
            step = candidate.step
            explored = self.points.point("explored", run, step, starts[step])
            if self._fixed or (self._compares_eq5 and prefilter(candidate, self.rule) is None):
                deviations.append(Comparison(expert[step - 1], explored, self.rule, rank))
            if self._fixed or compares_suffixes(self.config):
                suffixes.append(Comparison(expert[step], explored, self.suffix_rule, rank))
        return TaskComparisons(demo.task.task_id, tuple(deviations), tuple(suffixes))

    @property
    def _compares_eq5(self) -> bool:
        """Whether eq. 5 needs rewards: for the rule, or for later questions (`rewards.evidence`)."""
        return self.rule.needs_rewards or self.config.rewards.evidence == "always"

    @property
    def _fixed(self) -> bool:
        return self.config.rewards.mode == "fixed"


def _basis(config: FactoryConfig, scorer: str, world: CompleteWorld) -> dict[str, Any]:
    """What decides a rollout besides the history that it continues."""
    return {
        "scorer": scorer,
        "seed": config.seed,
        "environment": cache_key_settings(config, ["environment"], world.connection_options)["environment"],
        **rollout_id_settings(config),
        "temperature": config.rewards.temperature,
        "top_p": config.rewards.top_p,
        **({"world": world.version} if world.version != FIRST_VERSION else {}),
    }


def comparisons_of(
    world: CompleteWorld,
    records: Sequence[Record],
    config: FactoryConfig,
    scorer: str,
    points: type[PointBuilder] = PointBuilder,
) -> list[TaskComparisons]:
    """The comparisons of every demonstrated task among the records."""
    builder, runs = ComparisonBuilder(config, points(world, config, scorer)), explorations(records)
    return [builder.of_task(demo, runs.get(demo.task.task_id, {})) for demo in demonstrations(records)]


def ipr_comparisons(
    world: CompleteWorld,
    records: Sequence[Record],
    config: FactoryConfig,
    scorer: str,
    points: type[PointBuilder] = PointBuilder,
) -> list[TaskComparisons]:
    """What method ipr compares: of every run explored from step j >= 1 that could make a pair by its outcome, the
    explored turn with the expert's turn j. At most `rewards.candidates` for each task, the earliest."""
    builder, runs = points(world, config, scorer), explorations(records)
    return [
        _ipr_of_task(builder, demo, runs.get(demo.task.task_id, {}), config)
        for demo in demonstrations(records)
    ]


def _ipr_of_task(
    points: PointBuilder, demo: Demonstration, runs: dict[int, StoredTrajectory], config: FactoryConfig
) -> TaskComparisons:
    preferences = config.training.preferences
    ipr = ipr_rule(preferences.preset, preferences.margin)
    rule = suffix_sampling_rule_of(config.deviation, config.rewards)
    found = [
        (step, run)
        for step, run in sorted(runs.items())
        if step and ipr_possible_winners(Exploration(demo.expert.trajectory, run.trajectory, step), ipr)
    ][: config.rewards.candidates]
    starts = points.starts(demo) if found else []
    pairs = [
        Comparison(
            points.point("expert", demo.expert, step, starts[step]),
            points.point("explored", run, step, starts[step]),
            rule,
            rank,
        )
        for rank, (step, run) in enumerate(found)
    ]
    return TaskComparisons(demo.task.task_id, (), tuple(pairs))
