"""Stage rewards, in place of rollouts or beside them: a language model says GOOD or BAD of explored turns.

The turns are those that rollouts would score: the run failed, the action differs from the expert's, step 1 and later,
at most `rewards.candidates` of a task. All of them are judged, also those after a task's first bad one, so that labels
and rollouts can be compared turn by turn.
"""

from __future__ import annotations

from collections.abc import Sequence

from models.judges.judge import Judge, Judgement, JudgementRequest
from rollouts.comparisons import candidates
from rollouts.rows import StoredTrajectory, demonstrations, explorations
from steca.vocabulary import Progress
from storage.ids import content_id
from storage.judgement import JudgementRecord
from storage.records import Record


def judge_turns(
    judge: Judge, records: Sequence[Record], limit: int | None, progress: Progress | None = None
) -> list[JudgementRecord]:
    """One row per judged turn, by task and step. `limit`: at most so many turns of a task, the earliest."""
    runs = explorations(records)
    turns = [
        (run, candidate.step)
        for demo in demonstrations(records)
        for run, candidate in candidates(demo, runs.get(demo.task.task_id, {}), limit)
    ]
    judgements = judge.judge([_request(run, step) for run, step in turns], progress)
    return [
        _row(run, step, judgement, judge.model)
        for (run, step), judgement in zip(turns, judgements, strict=True)
    ]


def _request(run: StoredTrajectory, step: int) -> JudgementRequest:
    return JudgementRequest(run.trajectory.first_observation, run.trajectory.steps[: step + 1])


def _row(run: StoredTrajectory, step: int, judgement: Judgement, model: str) -> JudgementRecord:
    fields = {
        "task_id": run.record.task_id,
        "trajectory_id": run.id,
        "step_index": step,
        "label": judgement.label,
        "reason": judgement.reason,
        "model": model,
        "attempts": judgement.attempts,
    }
    return JudgementRecord(judgement_id=content_id("judgement", fields), **fields)
