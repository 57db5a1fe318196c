"""What every stage shares: finding the run, counting batches, recording the result and publishing it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, NoReturn

from configs.rules import refuse_conflicts
from configs.schema import FactoryConfig
from configs.stages import round_of
from environments.base import Task
from flows.faults import StageFault
from flows.overlapping import overlapped
from flows.reporting.events import BudgetEvents, emit
from flows.reporting.flow_run import current_flow_run_id
from flows.reporting.progress import Reporter, current
from flows.runs.lock import lock_run
from flows.runs.run import batches_of, check_round, completed, folder_of, open_run, outdate, root_of
from flows.server.flow_run_process import is_from_outside, last_words, told_to_end
from models.checkpoint_ref import verify_checkpoint
from rollouts.budget import BudgetTracker, describe_spending
from storage.faults import StorageFault
from storage.ids import content_id
from storage.records import CheckpointRecord
from storage.remote import mirrors
from storage.runs import RunFolder, Spent, StageState, StageStatus, last_complete_batches
from storage.shards import BatchRef
from tasks.batch import BatchContext, Refs, Request, Runner
from tasks.batch_calls import calls_of
from tasks.batch_task import BatchTask
from tasks.preflight import preflight
from tasks.resources.run_resources import RunResources

if TYPE_CHECKING:
    from tasks.ray.runner import RayRunner

ROWS_OF = {"explore": "trajectories", "rewards": "deviations", "calibrate": "calibrations"}
"""By stage that not every run needs, the table that says most of its work."""

CONCURRENCY = 4
"""Batches at once where `execution.concurrency` does not say: the others fill the places that the last episodes of one
leave free."""

ENDED = "ended from outside: Retry or Resume in the Prefect UI, or the same command, goes on where it stopped"
"""The error of a stage that did not fail."""


@dataclass(frozen=True)
class Job:
    """A batch to run. `more`: further inputs of the cache key. `budget`: its part of the run's budget. `instead_of`:
    the batch that it continues, which a budget cut short."""

    task: BatchTask
    part: str = "all"
    upstream: Refs | None = None
    checkpoint: str | None = None
    tasks: Sequence[Task] = ()
    more: Mapping[str, str] = field(default_factory=dict)
    budget: BudgetTracker | None = None
    instead_of: BatchRef | None = None


class StageRun:
    """One stage of a run: runs its batches and keeps their references."""

    def __init__(
        self,
        name: str,
        config: FactoryConfig,
        folder: RunFolder,
        round: int,
        force: bool,
        reporter: Reporter,
    ) -> None:
        self.name, self.config, self.folder = name, config, folder
        self.round, self.force, self.reporter = round, force, reporter
        self.tracker = BudgetTracker(config.budget, folder.spent(), self._paid, folder.save_spent)
        self._budget_events = BudgetEvents(folder, self.tracker.used)
        self.resources = RunResources(config, reporter.log)
        self._elsewhere: RayRunner | None = None
        self._starting = Lock()
        self.stopped: str | None = None
        self.checkpoint: str | None = None
        self._made: dict[int, BatchRef] = {}
        self._new: set[str] = set()
        self._of_later_stage = False
        self._begun = 0
        self._running: dict[int, tuple[int, int]] = {}  # by place of a batch, its parts: done, and all
        self._reporting = Lock()
        self.calls: dict[str, BatchRef] = {}
        self.cached = self._announced = 0
        self.started = datetime.now(UTC)
        known = folder.stage(round_of(name, round), name)
        self.before = last_complete_batches(known)
        self.previous = known.batches if known and known.status in ("completed", "outdated") else self.before
        self._took = known.seconds if known and known.status == "completed" else None

    def announce_batches(self, batches: int) -> None:
        """Report how many batches there will be."""
        self._announced = batches
        self.reporter.stage_started(self.name, round_of(self.name, self.round), batches)

    def log(self, line: str) -> None:
        """Report a line about the stage."""
        self.reporter.log(line)

    def estimates(self, forecast: Callable[[], str]) -> None:
        """Report what the work will cost before it begins."""
        self.log(forecast())

    def log_change(self, line: str) -> None:
        """Report a line about what the stage changes in the run."""
        self.log(line)

    def leaves_behind(self, task: str = "") -> None:
        """Say it where the stage had batches (of one task, else of all) which the run does without now. Its settings
        are the same, so a version made them that did more than a run needs."""
        left = [ref for ref in self.previous if ref.batch_id.startswith(f"{task}-" if task else "")]
        if left:
            table = ROWS_OF[self.name]
            rows = sum(ref.rows.get(table, 0) for ref in left)
            self.log_change(
                "an earlier version of steca did more here than this run needs for what it trains on. Those rows "
                f"({rows:,} of {table}) stay in the store, but no longer belong to the run: its views, such as "
                f"run_{table}, leave them out, and so does stage train"
            )

    def refuse(self, why: str) -> NoReturn:
        """Raises StageFault: the stage cannot go on."""
        raise StageFault(why)

    def upstream(
        self, stage: str, task: str, parts: Sequence[str] | None = None, round: int | None = None
    ) -> list[BatchRef]:
        """The batches of an earlier stage. Raises StageFault if it is not complete."""
        return batches_of(completed(self.folder, stage, round or self.round), task, parts)

    def checkpoint_of(self, stage: str, round: int) -> str:
        """The digest of the policy that a training stage made. Raises StageFault if it is not complete."""
        digest = completed(self.folder, stage, round).checkpoint
        assert digest is not None, f"{stage} records its checkpoint"
        return digest

    @property
    def batches(self) -> list[BatchRef]:
        """The finished batches, in the order in which they were begun."""
        return [self._made[place] for place in sorted(self._made)]

    def run(
        self,
        task: BatchTask,
        part: str = "all",
        upstream: Refs | None = None,
        checkpoint: str | None = None,
        tasks: Sequence[Task] = (),
        more: Mapping[str, str] | None = None,
    ) -> BatchRef:
        """Run one batch, or take it from the cache, as `run_all` does."""
        return self.run_all([Job(task, part, upstream, checkpoint, tasks, more or {})])[0]

    def run_all(self, jobs: Sequence[Job]) -> list[BatchRef]:
        """Run batches, or take them from the cache. Those that wait for models overlap (execution.concurrency). Where
        one fails, those that run are ended too."""
        places = [self._place(job) for job in jobs]
        work = [partial(self._run, job, place) for job, place in zip(jobs, places, strict=True)]
        refs: dict[int, BatchRef] = {}
        for index, (ref, cached) in overlapped(work, self._at_once(jobs), self._stop):
            refs[index] = ref
            if not self._of_later_stage:
                self._add(places[index], ref, cached)
            with self._reporting:
                self._running.pop(places[index], None)
                self.reporter.batch_done(cached)
        return [refs[index] for index in range(len(jobs))]

    def _add(self, place: int, ref: BatchRef, cached: bool) -> None:
        self._made[place] = ref
        self.calls |= {calls.batch_id: calls for calls in calls_of(self.resources.shards, ref)}
        self.cached += cached
        if not cached:
            self._new.add(ref.sha256)

    @contextmanager
    def ahead(self) -> Iterator[None]:
        """The batches that are run meanwhile are those of a later stage, which finds them in the cache."""
        self._of_later_stage = True
        try:
            yield
        finally:
            self._of_later_stage = False

    def _place(self, job: Job) -> int:
        if job.instead_of is not None:
            return next(place for place, ref in self._made.items() if ref == job.instead_of)
        self._begun += 1
        return self._begun - 1

    def _at_once(self, jobs: Sequence[Job]) -> int:
        """How many of the jobs may run at once. Those for which this process does the work gain nothing by it."""
        config = self.config
        if config.execution.runner == "ray" and all(job.task.anywhere for job in jobs):
            return config.execution.ray.actors
        served = {
            "policy": config.policy.engine == "openai",
            "reflector": config.calibration.reflector == "llm",
            "judge": True,
        }
        waiting = all(served.get(job.task.waits_for, False) for job in jobs)
        return (config.execution.concurrency or CONCURRENCY) if waiting else 1

    def _run(self, job: Job, place: int) -> tuple[BatchRef, bool]:
        task, part = job.task, job.part
        label = f"{task.name} {place + 1}/{self._announced}{'' if part == 'all' else f' · {part}'}"
        request = task.request(self.resources, part, job.upstream, job.checkpoint, job.tasks, **job.more)
        progress = partial(self._progressed, place, task.parts)
        runner = self._runner() if task.anywhere else None
        context = BatchContext(request.refs, self.resources, self.force, job.budget, progress, runner)
        return self._run_or_look_up(task, request, context, label)

    def _runner(self) -> Runner | None:
        """What makes batches elsewhere, if the configuration says so."""
        if self.config.execution.runner == "local":
            return None
        from tasks.ray.runner import RayRunner

        with self._starting:
            self._elsewhere = self._elsewhere or RayRunner(self.config, self.resources)
            return self._elsewhere

    def _stop(self) -> None:
        self.resources.stop()
        if self._elsewhere:
            self._elsewhere.stop()

    def world_failures(self) -> list[str]:
        """What to say of the world's failures, here and elsewhere, once everything is closed."""
        return self.resources.world_failures() + (self._elsewhere.world_failures if self._elsewhere else [])

    def close(self) -> None:
        """Release models, connections, servers and actors."""
        if self._elsewhere:
            self._elsewhere.close()
        self.resources.close()

    def trained(self, ref: BatchRef, acts_next: bool) -> None:
        """Verify and record the checkpoint of a training batch, and draw its training curves. `acts_next`: it is the
        next policy that acts in the run, so its server starts while this stage ends. Raises PolicyFault."""
        training = self.resources.shards.read(ref, CheckpointRecord)
        self.checkpoint = training[0].digest
        verify_checkpoint(self.resources.checkpoint(self.checkpoint))
        if acts_next and ref.sha256 in self._new:
            self.resources.servers.start_ahead(self.resources.checkpoint(self.checkpoint))
        self._draw(training)

    def _draw(self, training: Sequence[CheckpointRecord]) -> None:
        from flows.curves import curve_file, draw

        file = curve_file(self.folder, self.name, round_of(self.name, self.round))
        if self.before != tuple(self.batches) or not file.exists():
            draw(training, file)
            self.log(f"curves: {file}")

    def save(self, status: StageStatus, error: str | None = None) -> None:
        """Write the state of the stage to its file."""
        ended = None if status == "running" else datetime.now(UTC)
        state = StageState(
            stage=self.name,
            round=round_of(self.name, self.round),
            stage_key=content_id(self.name, sorted({ref.stage_key for ref in self.batches})),
            status=status,
            started_at=self.started,
            ended_at=ended,
            seconds=self._seconds(ended, status),
            batches=tuple(self.batches),
            before=() if status == "completed" else self.before,
            calls=tuple(self.calls.values()),
            cached_batches=self.cached,
            checkpoint=self.checkpoint,
            error=error,
            flow_run_id=current_flow_run_id(),
            stopped=self.stopped,
            spent=self.tracker.spent if self.name == "rewards" else None,
        )
        self.folder.save_stage(state)

    def complete(self) -> None:
        """Record the stage as completed. Where its rows differ from those that it had before, later stages are
        outdated. How rows are cut into batches does not matter."""
        if not self._holds_the_same():
            outdate(self.folder, self.name, self.round)
        self.save("completed")

    def publish(self) -> None:
        """Ingest into the store, and report what of this stage could not be ingested. Raises StorageFault."""
        own = {ref.manifest for ref in (*self.batches, *self.calls.values())}
        for left in mirrors.publish(self.resources.root).set_aside:
            if left.file in own:
                self.log(f"{left.file} was set aside and is not in the store: {left.reason}")

    def _seconds(self, ended: datetime | None, status: StageStatus) -> float | None:
        """How long the stage took. Where it only found again what it had, how long it took to make that."""
        if ended is None:
            return None
        nothing_new = self.cached == len(self.batches) and self.previous == tuple(self.batches)
        if status == "completed" and nothing_new and self._took is not None:
            return self._took
        return (ended - self.started).total_seconds()

    def _holds_the_same(self) -> bool:
        if self.previous == tuple(self.batches):
            return True
        digest = self.resources.shards.rows_digest
        try:
            return digest(self.previous) == digest(self.batches)
        except StorageFault:  # the earlier batches cannot be read any more
            return False

    def _run_or_look_up(
        self, task: BatchTask, request: Request, context: BatchContext, label: str
    ) -> tuple[BatchRef, bool]:
        """`label`: what the batch is called in Prefect's UI."""
        return task.run(request, context, label)

    def _progressed(self, place: int, parts: str, done: int, total: int) -> None:
        """Called by the threads of the batches."""
        with self._reporting:
            self._running[place] = done, total
            done, total = map(sum, zip(*self._running.values(), strict=True))
            self.reporter.progressed(done, total, parts, len(self._running))

    def _paid(self, spent: Spent) -> None:
        """Called by the threads of the batches, one at a time."""
        said = describe_spending(spent, self.config.budget)
        self.reporter.spent_so_far(said)
        self._budget_events.at(self.tracker.used, said)


@contextmanager
def stage_run(name: str, config: FactoryConfig, run: str, round: int, force: bool) -> Iterator[StageRun]:
    """Run a stage of the run `run`, which has this configuration: its state goes from running to completed, failed or
    crashed; then everything finished is published. Whatever can be refused is refused before anything is written."""
    if not RunFolder(root_of(config), run).exists():
        refuse_conflicts(config, "configuration")
    folder = folder_of(config, run)
    check_round(config, folder.run_id, round)
    reporter = current()
    preflight(config, [name])
    with lock_run(folder, reporter.log):
        mirrors.pull(folder.root)
        open_run(folder, config)
        stage = StageRun(name, config, folder, round, force, reporter)
        stage.save("running")
        mirrors.push(folder.root)
        try:
            with closing(stage), last_words(lambda: stage.save("crashed", ENDED)):
                yield stage
        except BaseException as error:
            stopped = is_from_outside(error) or told_to_end()
            reporter.stage_ended("stopped" if stopped else "failed")
            _save_failure(stage, error, stopped)
            if not stopped:
                _tell(stage, "failed", str(error) or type(error).__name__)
            raise
        for line in stage.world_failures():
            stage.log(line)
        stage.complete()
        stage.publish()
        reporter.stage_ended("done")
        _tell(stage, "completed")


def _tell(stage: StageRun, how: str, error: str | None = None) -> None:
    """Publish the page of the stage, and emit the event that it has ended."""
    from flows.artifacts.stage_page import publish_stage

    publish_stage(stage.folder.root, stage.folder.run_id, stage.name, stage.round)
    seconds = (datetime.now(UTC) - stage.started).total_seconds()
    emit(f"steca.stage.{how}", stage.folder, stage.name, round=stage.round, seconds=seconds, error=error)


def _save_failure(stage: StageRun, error: BaseException, stopped: bool) -> None:
    """Record and publish what was finished. A fault on the way must not hide the error that ended the stage."""
    try:
        if stopped:
            stage.save("crashed", ENDED)
        else:
            stage.save("failed", str(error) or type(error).__name__)
        stage.publish()
    except StorageFault:
        return
