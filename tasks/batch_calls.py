"""The language-model calls of a batch, kept in a companion batch of their own.

Calls differ in their times whenever a batch is made again. In the batch itself they would change its content, and
everything that is made from it would count as outdated.
"""

from __future__ import annotations

from storage.faults import StorageFault
from storage.records import LlmCallRecord
from storage.shards import BatchRef, ShardStore
from tasks.call_log import BatchCallLog
from tasks.resources.run_resources import RunResources

CALLS = "calls-"
"""Id prefix of the companion batch that holds a batch's LLM calls."""


def calls_of(shards: ShardStore, batch: BatchRef) -> list[BatchRef]:
    """The companion batches of a batch and of the batches whose rows it reused; [] if no model was called."""
    ids, seen = [batch.batch_id], dict[str, BatchRef | None]()
    while ids:
        batch_id = ids.pop()
        if batch_id not in seen:
            seen[batch_id] = shards.find(batch.stage_key, CALLS + batch_id)
            known = batch if batch_id == batch.batch_id else shards.find(batch.stage_key, batch_id)
            ids += shards.manifest(known).taken_from if known else ()
    return [calls for calls in seen.values() if calls]


def write_calls(resources: RunResources, stage_key: str, batch_id: str, log: BatchCallLog) -> None:
    """Add the calls in the call log to those written before: calls of a batch that is made again were paid for too."""
    known = resources.shards.find(stage_key, CALLS + batch_id)
    try:
        before = resources.shards.read(known, LlmCallRecord) if known else []
    except StorageFault as fault:  # damaged calls must not cost the batch
        before = []
        resources.log(f"earlier calls of {batch_id} are lost: {fault}")
    calls = {call.call_id: call for call in (*before, *log.rows())}
    if calls:
        resources.shards.write_batch(stage_key, CALLS + batch_id, list(calls.values()))
