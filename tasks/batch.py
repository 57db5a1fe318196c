"""One batch of a stage: what it is asked for, its worker, and the cached task that turns one into a shard."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from configs.schema import FactoryConfig
from environments.base import Task, World
from models.policy import Policy
from rollouts.prompting import briefing_of
from rollouts.rows import by_task, task_of
from steca.vocabulary import Progress
from storage.ids import content_id
from storage.records import CheckpointRecord, Record, TaskRecord
from storage.shards import BatchRef
from tasks.batch_calls import CALLS, write_calls
from tasks.caching import Inputs, Result, cache_key, cached, placed, stored_result
from tasks.resources.run_resources import RunResources
from tasks.task_rows import Taken, take, unit_keys
from tasks.version_030 import alike, former_id, had_no_rate, surely_same

if TYPE_CHECKING:
    from prefect import Task as PrefectTask

Refs = Mapping[str, Sequence[BatchRef]]


@dataclass(frozen=True)
class Request:
    """A batch that is wanted: `inputs` decide what it gives, `refs` say where the upstream rows lie."""

    inputs: Inputs
    refs: Refs


class BatchContext:
    """How a request is worked off. Not a dataclass: Prefect would walk through its fields."""

    def __init__(self, refs: Refs, resources: RunResources, force: bool) -> None:
        self.refs, self.resources, self.force = refs, resources, force


@dataclass(frozen=True)
class Batch:
    """What the body of a stage may use. `config` holds only the fields that the stage declared; `only`: the tasks
    whose rows are not there yet (None: all). `force`: nothing that was made before may be used."""

    inputs: Inputs
    refs: Refs
    resources: RunResources
    config: FactoryConfig
    force: bool = False
    only: Collection[str] | None = None

    @property
    def world(self) -> World:
        return self.resources.world

    @property
    def tasks(self) -> list[Task]:
        tasks = [Task(**values) for values in self.inputs["tasks"]]
        return [task for task in tasks if self.only is None or task.task_id in self.only]

    @property
    def policy(self) -> Policy:
        return self.resources.policy(self.inputs["checkpoint"])

    @property
    def progress(self) -> Progress | None:
        return self.resources.progress

    def records(self, group: str = "records") -> list[Record]:
        """All rows of a group of upstream batches, verified. Raises StorageFault."""
        rows = [record for ref in self.refs[group] for record in self.resources.shards.read_batch(ref)]
        if self.only is None:
            return rows
        return [row for task, own in by_task(rows).items() if task in self.only for row in own]


@dataclass(frozen=True)
class BatchTask:
    """A stage's work on one batch. `reads` names every setting that the body uses; `each_task`: the rows of a task do
    not depend on the other tasks of its batch; `replies_kept`: what models reply is kept for every run."""

    name: str
    version: str
    reads: tuple[str, ...]
    body: Callable[[Batch], Sequence[Record]]
    each_task: bool = False
    replies_kept: bool = False
    _made: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def task(self) -> PrefectTask[..., Result]:
        """Made when a batch is run for the first time."""
        if "task" not in self._made:
            self._made["task"] = cached(self.name, self.version, self._write)
        made: PrefectTask[..., Result] = self._made["task"]
        return made

    @cached_property
    def _worldly(self) -> bool:
        """Whether the body asks the world."""
        return not {"environment", "policy.prompt"}.isdisjoint(self.reads)

    def request(
        self,
        resources: RunResources,
        part: str,
        upstream: Refs | None = None,
        checkpoint: str | None = None,
        tasks: Sequence[Task] = (),
        **more: str,
    ) -> Request:
        """A batch with everything that decides what it gives. Raises StorageFault where upstream rows of 0.3.0 cannot
        be read."""
        refs = dict(upstream or {})
        inputs: Inputs = {
            "settings": resources.settings(self.reads),
            "part": part,
            "upstream": {group: resources.shards.content(these) for group, these in refs.items()},
            "checkpoint": checkpoint,
            "tasks": [asdict(task) for task in tasks],
            **({"world": resources.world.version} if self._worldly else {}),
            **more,
        }
        texts = sorted(set(self._briefings(inputs, refs, resources).values()))
        return Request(inputs | ({"briefings": content_id(texts)} if texts else {}), refs)

    def find(self, request: Request, resources: RunResources) -> BatchRef | None:
        """The batch from the cache, verified; None where it is not there whole. Needs no Prefect. Raises StorageFault
        where what the cache refers to is missing or damaged."""
        result = stored_result(resources.root, cache_key(self.name, self.version, request.inputs))
        if result is None:
            return self._former(request, resources)
        ref = BatchRef.model_validate(result["ref"])
        resources.shards.verify(ref)
        return self._former(request, resources, ref) or ref

    def run(self, request: Request, resources: RunResources, force: bool) -> tuple[BatchRef, bool]:
        """Run the batch, or take it from the cache; the verified reference, and whether it was cached. `tracker.cut`
        says afterwards whether a budget ended it early. Raises what the body raises, and StorageFault where a cached
        batch is missing or damaged."""
        resources.tracker.cut = None
        key = cache_key(self.name, self.version, request.inputs)
        former = None if force or stored_result(resources.root, key) else self._former(request, resources)
        if former:
            return former, True
        context = BatchContext(request.refs, resources, force)
        state: Any = placed(self.task, resources.root, force)(request.inputs, context, return_state=True)
        result: Result = state.result()
        if state.name == "Cached" and result["cut"]:  # another run's budget ended it, not ours
            state = placed(self.task, resources.root, True)(request.inputs, context, return_state=True)
            result = state.result()
        ref, from_cache = BatchRef.model_validate(result["ref"]), state.name == "Cached"
        if from_cache:
            resources.shards.verify(ref)
        if not force and not result["cut"]:
            ref = self._former(request, resources, ref) or ref
        return ref, from_cache

    def _former(
        self, request: Request, resources: RunResources, made: BatchRef | None = None
    ) -> BatchRef | None:
        """The batch that 0.3.0 made of the same, verified: surely the same, or with the same rows as `made` now."""
        name = former_id(self.name, request.inputs, request.refs) if resources.former else ""
        ref = resources.former.get(name)
        if ref is None:
            return None
        if made is None and not surely_same(self.name, self.version, request.inputs):
            return None
        resources.shards.verify(ref)
        if made is None and had_no_rate(resources.shards.read(ref, CheckpointRecord)):
            return None
        if made is None or resources.shards.content([ref]) == resources.shards.content([made]):
            return ref
        rows = (resources.shards.read_batch(each) for each in (ref, made))
        return ref if request.inputs["tasks"] and alike(*rows) else None

    def _write(self, inputs: Inputs, context: BatchContext) -> Result:
        resources = context.resources
        stage_key = content_id(
            self.name, self.version, inputs["settings"], inputs["checkpoint"], inputs.get("world")
        )
        batch_id = f"{self.name}-{inputs['part']}-{content_id(inputs)}"
        resources.call_log.begin(batch_id)
        batch = Batch(inputs, context.refs, resources, resources.part(self.reads), context.force)
        keys = self._unit_keys(batch) if self.each_task else {}
        taken = (
            Taken() if context.force else take(resources.shards, stage_key, keys, self._may_take(resources))
        )
        rows = self._rows(batch, keys, taken)
        write_calls(resources, stage_key, batch_id)
        cut = resources.tracker.cut
        sources = [source for source in taken.batches if source != batch_id]
        ref = resources.shards.write_batch(stage_key, batch_id, rows, {} if cut else keys, sources)
        resources.call_log.end()
        return {"ref": ref.model_dump(mode="json"), "cut": cut}

    def _may_take(self, resources: RunResources) -> Callable[[BatchRef], bool]:
        """From which batches rows are taken over. Where replies are kept for every run, not from those that a model was
        asked for: made again they cost nothing, and each batch has its own calls."""
        if not self.replies_kept:
            return lambda ref: True
        return lambda ref: resources.shards.find(ref.stage_key, CALLS + ref.batch_id) is None

    def _rows(self, batch: Batch, keys: Mapping[str, str], taken: Taken) -> Sequence[Record]:
        """The rows of a batch, task by task where they are made so: in this order however the tasks are cut."""
        if not self.each_task:
            return self.body(batch)
        missing = [task for task in keys if task not in taken.rows]
        only = None if len(missing) == len(keys) else frozenset(missing)
        made = by_task(self.body(replace(batch, only=only))) if missing else {}
        return [row for task in keys for row in taken.rows.get(task, made.get(task, ()))]

    def _unit_keys(self, batch: Batch) -> dict[str, str]:
        rows = [row for group in batch.refs for row in batch.records(group)]
        briefings = self._briefings(batch.inputs, batch.refs, batch.resources)
        return unit_keys(self.name, self.version, batch.inputs, by_task(rows), briefings)

    def _briefings(self, inputs: Inputs, refs: Refs, resources: RunResources) -> dict[str, str]:
        """By task id what a policy is told before the batch's tasks. A stage that reads the setting `policy.prompt`
        depends on the text that it stands for; plain stands for none."""
        prompt = inputs["settings"].get("policy", {}).get("prompt", "plain")
        if prompt == "plain":
            return {}
        rows = [
            row for these in refs.values() for ref in these for row in resources.shards.read(ref, TaskRecord)
        ]
        return {row.task_id: briefing_of(resources.world, task_of(row), prompt) for row in rows}


def batch_task(
    name: str, version: str, reads: Sequence[str], each_task: bool = False, replies_kept: bool = False
) -> Callable[[Callable[[Batch], Sequence[Record]]], BatchTask]:
    """Make a function of a batch a cached task that writes one shard batch."""
    return lambda body: BatchTask(name, version, tuple(reads), body, each_task, replies_kept)
