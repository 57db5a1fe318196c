"""The language-model calls behind a batch. They are a batch beside it: their times differ whenever it is done, and what
is made of it must not be done again for that."""

from __future__ import annotations

from storage.faults import StorageFault
from storage.records import LlmCallRecord
from storage.shards import BatchRef, ShardStore
from tasks.resources.run_resources import RunResources

CALLS = "calls-"
"""Starts the id of the batch that holds the calls behind another batch."""


def calls_of(shards: ShardStore, batch: BatchRef) -> list[BatchRef]:
    """The calls behind a batch, and behind those that it took rows over from; none where no model was asked."""
    ids, seen = [batch.batch_id], dict[str, BatchRef | None]()
    while ids:
        batch_id = ids.pop()
        if batch_id not in seen:
            seen[batch_id] = shards.find(batch.stage_key, CALLS + batch_id)
            known = batch if batch_id == batch.batch_id else shards.find(batch.stage_key, batch_id)
            ids += shards.manifest(known).taken_from if known else ()
    return [calls for calls in seen.values() if calls]


def write_calls(resources: RunResources, stage_key: str, batch_id: str) -> None:
    """Add the call log's calls to those that are there: what a redo replaces was paid for as well."""
    known = resources.shards.find(stage_key, CALLS + batch_id)
    try:
        before = resources.shards.read(known, LlmCallRecord) if known else []
    except StorageFault as fault:  # a damaged call log must not cost the batch
        before = []
        resources.says(f"earlier calls of {batch_id} are lost: {fault}")
    calls = {call.call_id: call for call in (*before, *resources.call_log.rows())}
    if calls:
        resources.shards.write_batch(stage_key, CALLS + batch_id, list(calls.values()))
