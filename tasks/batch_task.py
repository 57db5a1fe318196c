"""The cached task of a stage: from a request for a batch to the reference of the shard batch that holds its rows.

What a cache key holds is in `BatchTask.request`; how the key becomes a file name is in `tasks.caching.cache_key`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from environments.base import Task
from rollouts.rows import briefings_of, by_task
from storage.ids import content_id
from storage.records import Record, TaskRecord
from storage.remote.mirrors import shared_batch
from storage.shards import BatchRef
from tasks.batch import Batch, BatchContext, Order, Refs, Request
from tasks.batch_calls import CALLS, write_calls
from tasks.caching import Inputs, Result, cache_key, make_prefect_task, stored_result, with_storage
from tasks.call_log import BatchCallLog, logged_in
from tasks.resources.run_resources import RunResources
from tasks.task_rows import ReusedRows, reuse_rows, task_keys
from tasks.version_030 import batch_from_030

if TYPE_CHECKING:
    from prefect import Task as PrefectTask

WaitsFor = Literal["", "policy", "reflector", "judge"]


@dataclass(frozen=True)
class BatchTask:
    """A stage's work on one batch. `reads` names every setting that the body uses. `each_task`: the rows of a task do
    not depend on the other tasks of the batch. `replies_kept`: replies of models are kept for every run. `parts`: what
    its progress counts, such as episodes; "" where it reports none. `waits_for`: what answers its requests, so that
    other batches have room meanwhile; "" where it keeps this process busy. `anywhere`: other machines may run it."""

    name: str
    version: str
    reads: tuple[str, ...]
    body: Callable[[Batch], Sequence[Record]]
    each_task: bool = False
    replies_kept: bool = False
    parts: str = ""
    waits_for: WaitsFor = ""
    anywhere: bool = False
    _made: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def task(self) -> PrefectTask[..., Result]:
        """Prefect's task, made when a batch is run for the first time."""
        if "task" not in self._made:
            self._made["task"] = make_prefect_task(self.name, self.version, self._write)
        made: PrefectTask[..., Result] = self._made["task"]
        return made

    @cached_property
    def _uses_world(self) -> bool:
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
        """A request with everything that decides the batch's rows. Its `inputs` are what the cache key holds: the
        settings that the stage reads, the part of the run's tasks, the content of the upstream rows, the digest of the
        checkpoint, the tasks, the world's version, the texts of prompts, and `more`. The name and version of this
        cached task join them in `cache_key`. Raises StorageFault if upstream rows of 0.3.0 cannot be read."""
        refs = dict(upstream or {})
        inputs: Inputs = {
            "settings": resources.settings(self.reads),
            "part": part,
            "upstream": {group: resources.shards.rows_digest(these) for group, these in refs.items()},
            "checkpoint": checkpoint,
            "tasks": [asdict(task) for task in tasks],
            **({"world": resources.world.version} if self._uses_world else {}),
            **more,
        }
        texts = sorted(set(self._briefings(inputs, refs, resources).values()))
        return Request(inputs | ({"briefings": content_id(texts)} if texts else {}), refs)

    def find(self, request: Request, resources: RunResources) -> BatchRef | None:
        """The batch from the cache, verified; None if no complete one is there. Needs no Prefect. Raises
        StorageFault where the batch is missing or damaged."""
        result = stored_result(resources.root, cache_key(self.name, self.version, request.inputs))
        if result is None:
            return batch_from_030(self.name, self.version, request, resources)
        ref = BatchRef.model_validate(result["ref"])
        resources.shards.verify(ref)
        return batch_from_030(self.name, self.version, request, resources, ref) or ref

    def run(self, request: Request, context: BatchContext, label: str) -> tuple[BatchRef, bool]:
        """Run the batch, or take it from the cache: its verified reference, and whether it was cached. `label`: the
        name of its task run. Afterwards `context.budget.limit_reached` says whether a budget ended it early. Raises
        what the body raises, and StorageFault where a cached batch is missing or damaged."""
        resources, force = context.resources, context.force
        key = cache_key(self.name, self.version, request.inputs)
        if not force and not stored_result(resources.root, key):
            old = batch_from_030(self.name, self.version, request, resources)
            if old:
                return old, True
        with self._shared(key, context):
            result, from_cache = self._run_with_prefect(request, context, label)
        ref = BatchRef.model_validate(result["ref"])
        if from_cache:
            resources.shards.verify(ref)
        if not force and not result["cut"]:
            ref = batch_from_030(self.name, self.version, request, resources, ref) or ref
        return ref, from_cache

    def _shared(self, key: str, context: BatchContext) -> AbstractContextManager[None]:
        """Around a batch that may have to be made: no other machine makes it meanwhile."""
        resources = context.resources
        if not context.force and stored_result(resources.root, key):
            return nullcontext()
        return shared_batch(
            resources.root, key, f"on a batch of {self.name}", resources.log, resources.check_stopped
        )

    def _run_with_prefect(self, request: Request, context: BatchContext, label: str) -> tuple[Result, bool]:
        def made(refresh: bool) -> Any:
            stored = with_storage(self.task, context.resources.root, refresh, label)
            return stored(request.inputs, context, return_state=True)

        state = made(context.force)
        result: Result = state.result()
        if state.name == "Cached" and result["cut"]:  # what ended another run's work need not end ours
            state = made(True)
            result = state.result()
        return result, state.name == "Cached"

    def _write(self, inputs: Inputs, context: BatchContext) -> Result:
        """The body of Prefect's task."""
        if context.runner and self.anywhere:
            return context.runner.run(Order(self.name, self.version, self.waits_for, inputs, context))
        return self.write(inputs, context)

    def write(self, inputs: Inputs, context: BatchContext) -> Result:
        """Make the rows, and write them as a shard batch. Needs no Prefect."""
        resources = context.resources
        stage_key = content_id(
            self.name, self.version, inputs["settings"], inputs["checkpoint"], inputs.get("world")
        )
        batch_id = f"{self.name}-{inputs['part']}-{content_id(inputs)}"
        config = resources.restricted_config(self.reads)
        batch = Batch(
            inputs, context.refs, resources, config, context.force, context.budget, context.progress
        )
        keys = self._task_keys(batch) if self.each_task else {}
        resources.begin_tasks(keys)
        reused = ReusedRows()
        if not context.force:
            reused = reuse_rows(resources.shards, stage_key, keys, self._may_reuse(resources))
        calls = BatchCallLog(resources.root, resources.prices, batch_id)
        with logged_in(calls), context.budget.playing():
            rows = self._rows(batch, keys, reused)
        write_calls(resources, stage_key, batch_id, calls)
        limit, unfinished = context.budget.limit_reached, resources.unfinished_of(keys)
        whole = {} if limit else {task: key for task, key in keys.items() if task not in unfinished}
        lost = f"{len(unfinished)} task{'s' * (len(unfinished) > 1)} lost episodes"
        cut = limit or (lost if unfinished else None)
        sources = [source for source in reused.batches if source != batch_id]
        ref = resources.shards.write_batch(stage_key, batch_id, rows, whole, sources)
        calls.end()
        return {"ref": ref.model_dump(mode="json"), "cut": cut}

    def _may_reuse(self, resources: RunResources) -> Callable[[BatchRef], bool]:
        """Which batches rows may be reused from. Where replies are kept, not those with model calls: making their rows
        again costs nothing, and then each batch has its own calls."""
        if not self.replies_kept:
            return lambda ref: True
        return lambda ref: resources.shards.find(ref.stage_key, CALLS + ref.batch_id) is None

    def _rows(self, batch: Batch, keys: Mapping[str, str], reused: ReusedRows) -> Sequence[Record]:
        """The rows of a batch. Those made task by task keep the order of the tasks, however these are cut."""
        if not self.each_task:
            return self.body(batch)
        missing = [task for task in keys if task not in reused.rows]
        only = None if len(missing) == len(keys) else frozenset(missing)
        made = by_task(self.body(replace(batch, only=only))) if missing else {}
        return [row for task in keys for row in reused.rows.get(task, made.get(task, ()))]

    def _task_keys(self, batch: Batch) -> dict[str, str]:
        """The batch's tasks are those of the group `records`. Another group may hold rows of further tasks."""
        groups = {name: batch.records(name) for name in batch.refs}
        upstream = by_task(row for rows in groups.values() for row in rows)
        if len(groups) > 1:
            own = by_task(groups["records"])
            upstream = {task: rows for task, rows in upstream.items() if task in own}
        briefings = self._briefings(batch.inputs, batch.refs, batch.resources)
        return task_keys(self.name, self.version, batch.inputs, upstream, briefings)

    def _briefings(self, inputs: Inputs, refs: Refs, resources: RunResources) -> dict[str, str]:
        """By task id, the prompt in front of each task. A stage that reads the setting `policy.prompt` depends on the
        text of the prompt; a plain prompt has none."""
        prompt = inputs["settings"].get("policy", {}).get("prompt", "plain")
        if prompt == "plain":
            return {}
        read = resources.shards.read
        rows = [row for these in refs.values() for ref in these for row in read(ref, TaskRecord)]
        return briefings_of(resources.world, rows, prompt)


def batch_task(
    name: str,
    version: str,
    reads: Sequence[str],
    each_task: bool = False,
    replies_kept: bool = False,
    parts: str = "",
    waits_for: WaitsFor = "",
    anywhere: bool = False,
) -> Callable[[Callable[[Batch], Sequence[Record]]], BatchTask]:
    """Decorator: make a function of a batch a cached task that writes one shard batch."""
    return lambda body: BatchTask(
        name, version, tuple(reads), body, each_task, replies_kept, parts, waits_for, anywhere
    )
