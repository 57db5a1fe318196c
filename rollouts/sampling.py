"""Samples the outcomes of a batch's points: played from snapshots, or read from the pool of stored rollouts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from configs.schema import FactoryConfig
from environments.complete import CompleteWorld
from models.policy import Policy, Sampling
from rollouts.budget import BudgetTracker
from rollouts.comparisons import RolloutPoint, TaskComparisons
from rollouts.play import EpisodeSettings, PlayedEpisode, Start, play, sampling_of
from steca.rewards import Tally, compared_value
from steca.vocabulary import Progress, RewardOutcome
from storage.ids import content_id
from storage.records import Record, RolloutRecord, ScoredTurnRecord
from storage.rollout_pool import RolloutPool, Rollouts

SAVE_INTERVAL = 10.0
"""Seconds between saves of new rollouts to the pool."""


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """A request for `n` outcomes of a point in all. Requests are served by `priority` (larger first), then by the
    candidate's `rank` in its task."""

    point: RolloutPoint
    n: int
    priority: float
    rank: int


Draw = tuple[RolloutPoint, int]
"""A point, and the index of the sample to play from it."""
Rounds = Iterator[list[Draw]]
"""What is missing for each round of a task's comparisons: goes on once that is available."""


class Outcomes:
    """The outcomes of points sampled so far. A rollout that is available counts only once it was requested, so that
    verdicts do not depend on which ones are stored."""

    def __init__(self, available: Rollouts, measure: RewardOutcome) -> None:
        """`available`: all rollouts there are; `measure`: what a rule compares of them."""
        self._available, self._measure = available, measure
        self._used: dict[str, list[RolloutRecord]] = {}
        self._tallies: dict[str, Tally] = {}

    def tally(self, point: RolloutPoint) -> Tally:
        """The outcomes of a point sampled so far, as the rule measures them."""
        if point.ended:
            return Tally(
                known=compared_value(point.after.trajectory.outcome, point.after.progress, self._measure)
            )
        return self._tallies.get(point.id, Tally())

    def used(self, point: RolloutPoint) -> list[RolloutRecord]:
        """The rollouts of a point that were requested and available."""
        return self._used.get(point.id, [])

    def missing(self, request: SampleRequest) -> list[Draw]:
        """The samples of a request that are not available."""
        point = request.point
        new = range(len(self.used(point)), request.n)
        return [(point, sample) for sample in new if (point.id, sample) not in self._available]

    def use(self, request: SampleRequest) -> None:
        """Count what is available of a request."""
        used = self._used.setdefault(request.point.id, [])
        while len(used) < request.n and (row := self._available.get((request.point.id, len(used)))):
            used.append(row)
        outcomes = [compared_value(row.outcome, row.progress, self._measure) for row in used]
        self._tallies[request.point.id] = Tally.of(outcomes)

    def restart(self) -> None:
        """Start over with no outcome used. The rollouts stay available."""
        self._used, self._tallies = {}, {}


class Sampler(Outcomes):
    """The outcomes of a batch's points: those that are not in the pool are played."""

    def __init__(
        self,
        world: CompleteWorld,
        policy: Policy,
        config: FactoryConfig,
        tasks: Sequence[TaskComparisons],
        pool: RolloutPool | None,
        tracker: BudgetTracker,
    ) -> None:
        super().__init__({}, config.deviation.outcome)
        self._world, self._policy, self._pool, self.tracker = world, policy, pool, tracker
        self._settings = EpisodeSettings.of(config)
        self._sampling = sampling_of(config, config.rewards.temperature, config.rewards.top_p)
        self._tasks = tasks
        self._unsaved: dict[str, list[RolloutRecord]] = {}
        self._saved_at = self._charged_at = time.monotonic()
        self._uncharged: list[RolloutRecord] = []
        self._superseded = False
        self._n_played = self._requested = 0

    def sample(self, requests: Sequence[SampleRequest], progress: Progress | None) -> bool:
        """Sample the outcomes of one round of all tasks. False if the budget ended it early."""
        missing = [draw for request in requests for draw in self.missing(request)]
        self._requested += len(missing)
        while missing and (count := self.tracker.affordable(len(missing))):
            self._play(missing[:count], progress)
            missing = missing[count:]
        for request in requests:
            self.use(request)
        return not missing

    def load(self, tasks: Sequence[TaskComparisons]) -> None:
        """Make what is stored of these tasks available, beside what was played here."""
        for task in tasks:
            if self._pool and task.points:
                self._available = self._pool.load(task.task_id) | self._available

    @contextmanager
    def playing(self, tasks: Sequence[TaskComparisons]) -> Iterator[list[TaskComparisons]]:
        """Those of the tasks that no other batch plays, at least one, with what others have stored of them. What is
        played of them is saved before others may play them."""
        if not self._pool:
            yield list(tasks)
            return
        with self._pool.playing({task.task_id for task in tasks}) as free:
            mine = [task for task in tasks if task.task_id in free]
            self.load(mine)
            try:
                yield mine
            finally:
                self.save()

    def sample_joined(self, by_task: Sequence[Rounds], progress: Progress | None) -> None:
        """Sample the rounds of every task: its next one joins the running episodes as soon as its last one is played,
        whatever other tasks are at."""
        running = JoinedRounds(by_task)
        draws = running.first()
        self._requested += len(draws)

        def then(draw: Draw) -> list[Draw]:
            more = running.after(draw)
            self._requested += len(more)
            return more

        if draws:
            self._play(draws, progress, then)

    def _play(
        self,
        draws: Sequence[Draw],
        progress: Progress | None,
        then: Callable[[Draw], list[Draw]] = lambda _: [],
    ) -> None:
        """Play rollouts, and those that `then` adds to each that is finished."""
        before = self._n_played
        played = [_started(draw) for draw in draws]

        def within(done: int, _: int) -> None:
            if progress:
                progress(before + done, self._requested)

        def on_finished(index: int, run: PlayedEpisode) -> list[Start]:
            draw, start = played[index]
            self._keep(draw, start, run)
            more = [_started(next_draw) for next_draw in then(draw)]
            played.extend(more)
            return [start for _, start in more]

        starts = [start for _, start in played]
        self._charged_at = time.monotonic()
        try:
            play(self._world, self._policy, starts, self._sampling, self._settings, within, on_finished)
        finally:  # rollouts played before the policy failed are kept, and charged
            self._charge()
        self._save_in_time()

    def _keep(self, draw: Draw, start: Start, run: PlayedEpisode) -> None:
        point, sample = draw
        row = _rollout(point, sample, self._policy.digest, self._sampling, start, run)
        self._available[point.id, sample] = row
        self._unsaved.setdefault(start.task.task_id, []).append(row)
        self._uncharged.append(row)
        self._n_played += 1
        self._save_in_time()

    def _charge(self) -> None:
        now, rows = time.monotonic(), self._uncharged
        self.tracker.charge(len(rows), sum(row.tokens for row in rows), now - self._charged_at)
        self._uncharged, self._charged_at = [], now

    def _save_in_time(self) -> None:
        if time.monotonic() - self._saved_at > SAVE_INTERVAL:
            if self._uncharged:
                self._charge()
            self.save()

    def save(self) -> None:
        """Save new rollouts to the pool, and record their cost. Where another run saved the same sample first, its
        rollout replaces ours. Where a connection failed, what was lost is not saved: another run plays it
        again."""
        if self._pool:
            for task_id, rows in self._unsaved.items():
                unfinished = task_id in self._world.failures.unfinished
                kept = [row for row in rows if not unfinished or row.end_reason != "environment_fault"]
                saved = self._pool.add(task_id, kept)
                self._superseded |= any(
                    saved.get((row.step_reward_id, row.sample_index), row) != row for row in rows
                )
                self._available |= saved
        self.tracker.mark_saved()
        self._unsaved, self._saved_at = {}, time.monotonic()

    def reconcile(self) -> bool:
        """Save new rollouts. False if another run had saved other rollouts of the same samples: those replace ours, and
        sampling starts over."""
        self.save()
        superseded, self._superseded = self._superseded, False
        if superseded:
            self.restart()
        return not superseded

    def rows(self) -> list[Record]:
        """Every point with a known value or with rollouts, and the rollouts that were used."""
        rows: list[Record] = []
        for task in self._tasks:
            for point in task.points.values():
                used = self.used(point)
                if used or point.ended:
                    rows += [_scored(point, self._policy.digest), *used]
        return rows


class JoinedRounds:
    """The rounds that several tasks are at, each on its own."""

    def __init__(self, by_task: Sequence[Rounds]) -> None:
        self._by_task = by_task
        self._task_of: dict[tuple[str, int], int] = {}
        self._left = [0] * len(by_task)

    def first(self) -> list[Draw]:
        """What all tasks need first."""
        return [draw for task in range(len(self._by_task)) for draw in self._next(task)]

    def after(self, draw: Draw) -> list[Draw]:
        """What this draw's task needs next, if it was the last one missing for its round."""
        task = self._task_of.pop((draw[0].id, draw[1]))
        self._left[task] -= 1
        return [] if self._left[task] else self._next(task)

    def _next(self, task: int) -> list[Draw]:
        draws = next(self._by_task[task], [])
        self._left[task] = len(draws)
        self._task_of |= {(point.id, sample): task for point, sample in draws}
        return draws


def _scored(point: RolloutPoint, scorer: str) -> ScoredTurnRecord:
    return ScoredTurnRecord(
        step_reward_id=point.id,
        trajectory_id=point.source.id,
        step_index=point.step_index,
        task_id=point.source.record.task_id,
        side=point.side,
        checkpoint=scorer,
        outcome=point.after.trajectory.outcome if point.ended else None,
        progress=point.after.progress if point.ended else None,
    )


def _started(draw: Draw) -> tuple[Draw, Start]:
    point, sample = draw
    return draw, point.start(sample)


def _rollout(
    point: RolloutPoint, sample: int, scorer: str, sampling: Sampling, start: Start, run: PlayedEpisode
) -> RolloutRecord:
    own = run.trajectory.steps[len(start.steps) :]
    thought = sum(step.thinking_tokens for step in own)
    fields: dict[str, Any] = {
        "seed": start.seed,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "outcome": run.trajectory.outcome,
        "progress": run.progress,
        "n_steps": len(own),
        "tokens": sum(step.tokens for step in own),
        "end_reason": run.trajectory.end,
        "actions": [step.action for step in own],
        **({"constrained": True} if run.constrained else {}),
        **({"thinking_tokens": thought} if thought else {}),
        **({"first_turn": own[0].text} if own else {}),
    }
    return RolloutRecord(
        rollout_id=content_id("rollout", point.id, sample, fields),
        step_reward_id=point.id,
        sample_index=sample,
        checkpoint=scorer,
        **fields,
    )
