"""The outcomes of a batch's points: played from snapshots, or taken from the evidence that the data folder has."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from configs.schema import FactoryConfig
from environments.base import World
from models.policy import Policy, Sampling
from rollouts.budget import BudgetTracker
from rollouts.comparisons import Point, TaskComparisons
from rollouts.play import Played, Start, Wrapping, play, sampling_of
from rollouts.rows import counted
from steca.rewards import Tally
from steca.vocabulary import Progress
from storage.ids import content_id
from storage.records import Record, RolloutRecord, ScoredTurnRecord
from storage.rollout_pool import RolloutPool

FILED_EVERY = 10.0
"""Seconds after which new rollouts are kept, whatever happens next."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """`n` outcomes of a point, and how urgent they are: what they promise, then the candidate's place in its task."""

    point: Point
    n: int
    worth: float
    rank: int


class Sampler:
    """The outcomes of a batch's points so far: played, or taken from the evidence that is there."""

    def __init__(
        self,
        world: World,
        policy: Policy,
        config: FactoryConfig,
        tasks: Sequence[TaskComparisons],
        pool: RolloutPool | None,
        tracker: BudgetTracker,
    ) -> None:
        self._world, self._policy, self._pool, self.tracker = world, policy, pool, tracker
        self._wrapping = Wrapping.of(config)
        self._sampling = sampling_of(config, config.rewards.temperature, config.rewards.top_p)
        self._which = config.deviation.outcome
        self._tasks = tasks
        self._kept = {
            key: row for task in tasks if pool and task.points for key, row in pool.load(task.task_id).items()
        }
        self._taken: dict[str, list[RolloutRecord]] = {}
        self._tallies: dict[str, Tally] = {}
        self._unfiled: dict[str, list[RolloutRecord]] = {}
        self._filed_at = time.monotonic()
        self._overruled = False
        self._played = self._asked = 0

    def tally(self, point: Point) -> Tally:
        """The outcomes of a point that were taken so far, as the rule looks at them."""
        if point.ended:
            return Tally(known=counted(point.after.trajectory.outcome, point.after.progress, self._which))
        return self._tallies.get(point.id, Tally())

    def take(self, wanted: Sequence[Wanted], progress: Progress | None) -> bool:
        """Take the outcomes of a round. False where the budget ended it."""
        missing = [
            (wish.point, sample)
            for wish in wanted
            for sample in range(len(self._taken.get(wish.point.id, [])), wish.n)
            if (wish.point.id, sample) not in self._kept
        ]
        self._asked += len(missing)
        while missing and (room := self.tracker.room(len(missing))):
            self._play(missing[:room], progress)
            missing = missing[room:]
        for wish in wanted:
            self._advance(wish)
        return not missing

    def restart(self) -> None:
        """Begin anew with no outcome taken; all that were played are kept."""
        self._taken, self._tallies = {}, {}

    def _advance(self, wish: Wanted) -> None:
        taken = self._taken.setdefault(wish.point.id, [])
        while len(taken) < wish.n and (row := self._kept.get((wish.point.id, len(taken)))):
            taken.append(row)
        outcomes = [counted(row.outcome, row.progress, self._which) for row in taken]
        self._tallies[wish.point.id] = Tally.of(outcomes)

    def _play(self, draws: Sequence[tuple[Point, int]], progress: Progress | None) -> None:
        began, before = time.monotonic(), self._played
        starts = [point.start(sample) for point, sample in draws]

        def within(done: int, _: int) -> None:
            if progress:
                progress(before + done, self._asked)

        made: list[RolloutRecord] = []

        def finished(index: int, run: Played) -> None:
            (point, sample), start = draws[index], starts[index]
            row = _rollout(point, sample, self._policy.digest, self._sampling, start, run)
            self._kept[point.id, sample] = row
            self._unfiled.setdefault(start.task.task_id, []).append(row)
            made.append(row)

        try:
            play(self._world, self._policy, starts, self._sampling, self._wrapping, within, finished)
        finally:  # what was played before the policy failed is there, and paid for
            self._played += len(made)
            now = time.monotonic()
            self.tracker.pay(len(made), sum(row.tokens for row in made), now - began)
        if now - self._filed_at > FILED_EVERY:
            self.file()

    def file(self) -> None:
        """Keep the new rollouts in the pool, and with them what they cost. Where another run filed one of the same
        place first, that one counts here too."""
        if self._pool:
            for task_id, rows in self._unfiled.items():
                filed = self._pool.add(task_id, rows)
                self._overruled |= any(filed[row.step_reward_id, row.sample_index] != row for row in rows)
                self._kept |= filed
        self.tracker.keep()
        self._unfiled, self._filed_at = {}, time.monotonic()

    def settled(self) -> bool:
        """File what is new. False where another run had filed other rollouts of the same points: then nothing is taken
        any more, and theirs are taken in their place."""
        self.file()
        overruled, self._overruled = self._overruled, False
        if overruled:
            self.restart()
        return not overruled

    def rows(self) -> list[Record]:
        """Every point of which something is known, and the rollouts that were taken of it."""
        rows: list[Record] = []
        for task in self._tasks:
            for point in task.points.values():
                taken = self._taken.get(point.id, [])
                if taken or point.ended:
                    rows += [_scored(point, self._policy.digest), *taken]
        return rows


def _scored(point: Point, scorer: str) -> ScoredTurnRecord:
    return ScoredTurnRecord(
        step_reward_id=point.id,
        trajectory_id=point.holder.id,
        step_index=point.step_index,
        task_id=point.holder.record.task_id,
        side=point.side,
        checkpoint=scorer,
        outcome=point.after.trajectory.outcome if point.ended else None,
        progress=point.after.progress if point.ended else None,
    )


def _rollout(
    point: Point, sample: int, scorer: str, sampling: Sampling, start: Start, run: Played
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
    }
    return RolloutRecord(
        rollout_id=content_id("rollout", point.id, sample, fields),
        step_reward_id=point.id,
        sample_index=sample,
        checkpoint=scorer,
        **fields,
    )
