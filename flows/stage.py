"""What every stage flow does around its own work: find the run, count batches, file the result, publish."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime

from prefect.runtime import flow_run

from configs.schema import FactoryConfig
from flows.curves import curve_file, draw
from flows.liveness import working_on
from flows.progress import Reporter, current
from flows.runs import batches_of, completed, config_of_run, folder_of, outdate, round_of, run_id
from models.reference import verify_checkpoint
from rollouts.budget import Meter, in_words
from storage.faults import StorageFault
from storage.ids import content_id
from storage.records import CheckpointRecord
from storage.runs import RunFolder, Spent, StageState, StageStatus
from storage.shards import BatchRef
from storage.store import Store
from tasks.batch import BatchTask, Workplace, calls_of
from tasks.caching import Inputs


class StageRun:
    """One stage at work: runs its batches, and keeps their references."""

    def __init__(self, stage: str, config: FactoryConfig, round: int, force: bool) -> None:
        self.stage, self.config, self.round, self.force = stage, config, round, force
        self.folder: RunFolder = folder_of(config)
        self.reporter: Reporter = current()
        self.meter = Meter(config.budget, self.folder.spent(), self._paid, self.folder.save_spent)
        self.work = Workplace(config, self.reporter.within, self.meter, self.reporter.says)
        self.stopped: str | None = None
        self.checkpoint: str | None = None
        self.batches: list[BatchRef] = []
        self.calls: dict[str, BatchRef] = {}
        self.cached = 0
        self.started = datetime.now(UTC)

    def expects(self, batches: int) -> None:
        """Say how many batches there will be."""
        self.reporter.begins(self.stage, round_of(self.stage, self.round), batches)

    def upstream(
        self, stage: str, task: str, parts: Sequence[str] | None = None, round: int | None = None
    ) -> list[BatchRef]:
        """The batches of an earlier stage. Raises StageFault where it is not complete."""
        return batches_of(completed(self.folder, stage, round or self.round), task, parts)

    def checkpoint_of(self, stage: str, round: int) -> str:
        """The digest of the policy that a training stage made. Raises StageFault where it is not complete."""
        digest = completed(self.folder, stage, round).checkpoint
        assert digest is not None, f"{stage} files its checkpoint"
        return digest

    def run(self, task: BatchTask, inputs: Inputs) -> BatchRef:
        """Run one batch, or take it from the cache."""
        ref, cached = task.run(inputs, self.work, self.force)
        self.batches.append(ref)
        if calls := calls_of(self.work.shards, ref):
            self.calls[calls.batch_id] = calls
        self.cached += cached
        self.reporter.batch_done(cached)
        return ref

    def replace(self, old: BatchRef, new: BatchRef) -> None:
        """Put a batch in the place of one that was cut short."""
        assert self.batches.pop() == new, "the last one that was run"
        self.batches[self.batches.index(old)] = new

    def _paid(self, spent: Spent) -> None:
        self.reporter.burns(in_words(spent, self.config.budget))

    def trained(self, ref: BatchRef) -> None:
        """File the checkpoint of a training batch, after verifying its files, and draw how it was trained. Raises
        PolicyFault."""
        training = self.work.shards.read(ref, CheckpointRecord)
        self.checkpoint = training[0].digest
        verify_checkpoint(self.work.checkpoint(self.checkpoint))
        file = curve_file(self.folder, self.stage, round_of(self.stage, self.round))
        if self.cached < len(self.batches) or not file.exists():
            draw(training, file)
            self.reporter.says(f"curves: {file}")

    def save(self, status: StageStatus, error: str | None = None) -> None:
        """Write the stage's file."""
        ended = None if status == "running" else datetime.now(UTC)
        state = StageState(
            stage=self.stage,
            round=round_of(self.stage, self.round),
            stage_key=content_id(self.stage, sorted({ref.stage_key for ref in self.batches})),
            status=status,
            started_at=self.started,
            ended_at=ended,
            seconds=(ended - self.started).total_seconds() if ended else None,
            batches=tuple(self.batches),
            calls=tuple(self.calls.values()),
            cached_batches=self.cached,
            checkpoint=self.checkpoint,
            error=error,
            flow_run_id=flow_run.id,
            stopped=self.stopped,
            spent=self.meter.spent if self.stage == "rewards" else None,
        )
        self.folder.save_stage(state)


@contextmanager
def stage_run(stage: str, config: FactoryConfig, run: str, round: int, force: bool) -> Iterator[StageRun]:
    """The stage's frame: running -> completed, failed or crashed; then everything finished is published."""
    if run and run != run_id(config):
        config = config_of_run(config.data_dir, run, config)
    here = StageRun(stage, config, round, force)
    with working_on(here.work.root, here.folder.run_id):
        before = here.folder.stage(round_of(stage, round), stage)
        here.save("running")
        try:
            with closing(here.work):
                yield here
        except BaseException as error:
            here.reporter.ends(failed=True)
            _save_failure(here, error)
            raise
        if before is not None and before.batches != tuple(here.batches):
            outdate(here.folder, stage, round)
        here.save("completed")
        Store(here.work.root).ingest()
        here.reporter.ends(failed=False)


def _save_failure(here: StageRun, error: BaseException) -> None:
    """File and publish what was finished; the error itself is what the caller must hear of."""
    status: StageStatus = "failed" if isinstance(error, Exception) else "crashed"
    try:
        here.save(status, str(error) or type(error).__name__)
        Store(here.work.root).ingest()
    except StorageFault:
        return
