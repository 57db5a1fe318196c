"""Score batches within the rollout budget of the run."""

from __future__ import annotations

from collections.abc import Sequence

from flows.stage_run import Job, StageRun
from storage.shards import BatchRef
from tasks.batch_task import BatchTask


def score_all(stage: StageRun, task: BatchTask, pairs: Sequence[list[BatchRef]]) -> list[BatchRef]:
    """The scores of every batch of (demonstrations, explorations) by a cached task. Each batch may spend its part of
    what is left. Those that were cut short continue with what the others left over. `stage.stopped` says what ended
    the stage early."""
    scores: dict[int, BatchRef] = {}
    todo = list(range(len(pairs)))
    while todo:
        before, parts = stage.tracker.spent.rollouts, stage.tracker.parts(len(todo))
        jobs = [
            Job(
                task,
                upstream={"records": pairs[index]},
                checkpoint=stage.checkpoint,
                budget=part,
                instead_of=scores.get(index),
            )
            for index, part in zip(todo, parts, strict=True)
        ]
        scores |= dict(zip(todo, stage.run_all(jobs), strict=True))
        limits = [part.limit_reached for part in parts if part.limit_reached]
        stage.stopped = f"{limits[-1]} is spent" if limits else None
        if limits and (stage.tracker.exhausted or stage.tracker.spent.rollouts == before):
            break
        todo = [index for index, part in zip(todo, parts, strict=True) if part.limit_reached]
    if stage.stopped:
        stage.log(f"{stage.stopped}: ends with what it has; the same run resumes under a larger budget")
    return [scores[index] for index in range(len(pairs))]
