"""Score batches within the rollout budget of the run."""

from __future__ import annotations

from collections.abc import Sequence

from flows.stage_run import StageRun
from storage.shards import BatchRef
from tasks.batch_task import BatchTask


def score_all(stage: StageRun, task: BatchTask, pairs: Sequence[list[BatchRef]]) -> list[BatchRef]:
    """The scores of every batch of (demonstrations, explorations) by a cached task. Each batch may spend its share of
    what is left. One that was cut short continues with what the others left over. `stage.stopped` says what ended the
    stage early."""
    scores: dict[int, BatchRef] = {}
    todo = list(range(len(pairs)))
    while todo:
        before, cut = stage.tracker.spent.rollouts, []
        for number, index in enumerate(todo):
            stage.tracker.share(1 / (len(todo) - number))
            upstream = {"records": pairs[index]}
            scores[index] = stage.run(
                task, upstream=upstream, checkpoint=stage.checkpoint, instead_of=scores.get(index)
            )
            if stage.tracker.limit_reached:
                cut.append(index)
                stage.stopped = f"{stage.tracker.limit_reached} is spent"
        if not cut:
            stage.stopped = None
        elif stage.tracker.exhausted or stage.tracker.spent.rollouts == before:
            break
        todo = cut
    if stage.stopped:
        stage.log(f"{stage.stopped}: ends with what it has; the same run resumes under a larger budget")
    return [scores[index] for index in range(len(pairs))]
