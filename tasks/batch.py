"""One batch of a stage: its inputs by reference, its worker, and the cached task that turns one into a shard."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from prefect import Task as PrefectTask

from configs.schema import CalibrationConfig, FactoryConfig
from environments.base import Task, World
from environments.registry import make_world
from models.desk import Desk, desk_of
from models.policy import Generation, History, Policy, Sampling
from models.reference import CheckpointRef
from models.reflector import Reflector
from rollouts.budget import Meter
from rollouts.prompting import briefing_of
from rollouts.rows import task_of
from storage.ids import content_id
from storage.records import LlmCallRecord, Record, TaskRecord
from storage.shards import BatchRef, ShardStore
from tasks.caching import Inputs, cached, forget, placed
from tasks.ledger import Lasting, Ledger
from tasks.views import settings, view

CALLS = "calls-"
"""Before the id of a batch: the batch of the calls behind it."""
Progress = Callable[[int, int], None]
Refs = Mapping[str, Sequence[BatchRef]]


class Workplace:
    """Where and how the work of one run is done. Not a dataclass: Prefect would walk through its fields."""

    def __init__(
        self,
        config: FactoryConfig,
        progress: Progress | None = None,
        meter: Meter | None = None,
        says: Callable[[str], None] | None = None,
    ) -> None:
        """`says` hears what is worth a line, such as a server that is being started."""
        self.config = config
        self.meter = meter or Meter(config.budget)
        self.root = config.data_dir.expanduser().resolve()
        self.shards = ShardStore(self.root)
        self.ledger = Ledger(self.root, config.budget.prices)
        self.progress, self.says = progress, says or (lambda line: None)
        self._policy: Policy | None = None
        self._reflector: Reflector | None = None
        self._policy_open, self._reflector_open = ExitStack(), ExitStack()

    @cached_property
    def world(self) -> World:
        return make_world(self.config.environment.name, self.config.environment.options)

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    def checkpoint(self, digest: str) -> CheckpointRef:
        return CheckpointRef(self.checkpoints / digest[:16], digest)

    def policy(self, digest: str) -> Policy:
        """The checkpoint as a policy that is loaded when it first acts. PolicyFault is raised then."""
        return LazyPolicy(digest, self._load)

    def _load(self, digest: str) -> Policy:
        """The last one is kept loaded."""
        if self._policy is None or self._policy.digest != digest:
            self._policy = None  # two models at once may not fit
            self._policy_open.close()
            self._policy = self._opened(self.checkpoint(digest))
        return self._policy

    def _opened(self, ref: CheckpointRef) -> Policy:
        if self.config.policy.engine == "openai":
            from tasks.serving import served_policy

            server = self.config.execution.server
            arguments = (*self.config.policy.arguments, *server.arguments)
            server = server.model_copy(update={"arguments": arguments})
            served = served_policy(
                ref, server, self.ledger, self.root / "logs", self.says, self.config.execution.key_variables
            )
            self._policy_open.callback(served.close)
            return served
        from models.transformers_policy import TransformersPolicy

        self.use_threads()
        return TransformersPolicy.from_checkpoint(ref, self.config.execution.device)

    def reflector(self, config: CalibrationConfig, world: World) -> Reflector:
        """Who writes the reflections."""
        from tasks import reflecting

        if config.reflector == "template":
            return reflecting.template_reflector(world)
        if self._reflector is None:
            book, where = Lasting(self.ledger, self.root), self.config.execution.reflector
            model = reflecting.llm_reflector(config, where, world, book, self.says)
            self._reflector_open.callback(model.close)
            self._reflector = model
        return self._reflector

    def close(self) -> None:
        """Let go of models, connections and servers."""
        self._policy = self._reflector = None
        self._policy_open.close()
        self._reflector_open.close()

    def use_threads(self) -> None:
        """Give torch the configured number of threads."""
        if self.config.execution.threads:
            import torch

            torch.set_num_threads(self.config.execution.threads)


@dataclass(frozen=True)
class LazyPolicy:
    """A policy known by its digest, loaded when it first acts: a batch whose rollouts are all there never needs it."""

    digest: str
    load: Callable[[str], Policy]

    def act(self, histories: Sequence[History], seeds: Sequence[int], sampling: Sampling) -> list[Generation]:
        return self.load(self.digest).act(histories, seeds, sampling)

    def desk(self, sampling: Sampling) -> Desk:
        return desk_of(self.load(self.digest), sampling)


@dataclass(frozen=True)
class Batch:
    """What the body of a stage may use. `config` holds only the fields that the stage declared."""

    inputs: Inputs
    work: Workplace
    config: FactoryConfig

    @property
    def world(self) -> World:
        return self.work.world

    @property
    def tasks(self) -> list[Task]:
        return [Task(**values) for values in self.inputs["tasks"]]

    @property
    def policy(self) -> Policy:
        return self.work.policy(self.inputs["checkpoint"])

    @property
    def progress(self) -> Progress | None:
        return self.work.progress

    def records(self, group: str = "records") -> list[Record]:
        """All rows of a group of upstream batches, verified. Raises StorageFault."""
        refs = [BatchRef.model_validate(ref) for ref in self.inputs["upstream"][group]]
        return [record for ref in refs for record in self.work.shards.read_batch(ref)]


@dataclass(frozen=True)
class BatchTask:
    """A stage's work on one batch. `reads` names every setting that the body uses."""

    name: str
    version: str
    reads: tuple[str, ...]
    body: Callable[[Batch], Sequence[Record]]
    task: PrefectTask[..., dict[str, Any]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "task", cached(self.name, self.version, self._write))

    def inputs(
        self,
        config: FactoryConfig,
        part: str,
        upstream: Refs | None = None,
        checkpoint: str | None = None,
        tasks: Sequence[Task] = (),
        **more: str,
    ) -> Inputs:
        """Everything that decides what the batch gives, as JSON."""
        return {
            "settings": settings(config, self.reads),
            "part": part,
            "upstream": {
                group: [ref.model_dump(mode="json") for ref in refs]
                for group, refs in (upstream or {}).items()
            },
            "checkpoint": checkpoint,
            "tasks": [asdict(task) for task in tasks],
            **more,
        }

    def run(self, inputs: Inputs, work: Workplace, force: bool) -> tuple[BatchRef, bool]:
        """Run the batch, or take it from the cache; the verified reference, and whether it was cached. Raises what
        the body raises, and StorageFault where a cached batch is missing or damaged."""
        work.meter.cut = None
        told = with_briefings(inputs, work)
        state: Any = placed(self.task, work.root, force)(told, work, return_state=True)
        ref = BatchRef.model_validate(state.result())
        from_cache = state.name == "Cached"
        if from_cache:
            work.shards.verify(ref)
        if work.meter.cut:  # a batch that a budget ended early is no result to take again
            forget(state, work.root)
        return ref, from_cache

    def _write(self, inputs: Inputs, work: Workplace) -> dict[str, Any]:
        said = [inputs["briefings"]] if "briefings" in inputs else []
        stage_key = content_id(self.name, self.version, inputs["settings"], inputs["checkpoint"], *said)
        batch_id = f"{self.name}-{inputs['part']}-{content_id(inputs)}"
        work.ledger.begin(batch_id)
        records = self.body(Batch(inputs, work, view(work.config, self.reads)))
        write_calls(work, stage_key, batch_id)
        ref = work.shards.write_batch(stage_key, batch_id, records)
        work.ledger.end()
        return ref.model_dump(mode="json")


def calls_of(shards: ShardStore, batch: BatchRef) -> BatchRef | None:
    """The calls behind a batch; None where no model was asked. They are a batch beside it: their times differ whenever
    it is done, and what is made of it must not be done again for that."""
    return shards.find(batch.stage_key, CALLS + batch.batch_id)


def write_calls(work: Workplace, stage_key: str, batch_id: str) -> None:
    """Add the ledger's calls to those that are there: what a redo replaces was paid for as well."""
    known = work.shards.find(stage_key, CALLS + batch_id)
    before = work.shards.read(known, LlmCallRecord) if known else []
    calls = {call.call_id: call for call in (*before, *work.ledger.rows())}
    if calls:
        work.shards.write_batch(stage_key, CALLS + batch_id, list(calls.values()))


def with_briefings(inputs: Inputs, work: Workplace) -> Inputs:
    """The inputs, and by content what a policy is told before the episodes of the batch's tasks. A stage that reads the
    setting `policy.prompt` depends on the text that it stands for; plain stands for none."""
    prompt = inputs["settings"].get("policy", {}).get("prompt", "plain")
    if prompt == "plain":
        return inputs
    refs = [BatchRef.model_validate(ref) for group in inputs["upstream"].values() for ref in group]
    rows = [row for ref in refs for row in work.shards.read(ref, TaskRecord)]
    texts = {briefing_of(work.world, task_of(row), prompt) for row in rows}
    return inputs | {"briefings": content_id(sorted(texts))}


def batch_task(
    name: str, version: str, reads: Sequence[str]
) -> Callable[[Callable[[Batch], Sequence[Record]]], BatchTask]:
    """Make a function of a batch a cached task that writes one shard batch."""
    return lambda body: BatchTask(name, version, tuple(reads), body)
