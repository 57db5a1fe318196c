"""When a batch may be taken from the cache: equal stage, equal stage version, equal inputs.

A task takes two arguments. `inputs` is plain JSON and holds everything that changes the outcome: the settings that
the stage reads, the checkpoint's digest, the upstream shards' digests. `work` says where and how the work is done
and never enters a key. Results are references by content; what they refer to is verified whenever one is used.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect import Task, task
from prefect.cache_policies import INPUTS, CacheKeyFnPolicy

from tasks.locking import ProcessLocks

Inputs = dict[str, Any]
TRANSIENT = (ConnectionError, TimeoutError)


def cached(
    stage: str, version: str, body: Callable[[Inputs, Any], dict[str, Any]]
) -> Task[..., dict[str, Any]]:
    """A function (inputs, work) -> JSON reference as a cached task. Raise `version` whenever the stage would give
    another result for the same inputs: the source code of helpers is not part of the key."""

    def stage_and_version(*_: object) -> str:
        return f"{stage}:{version}"

    @task(
        name=stage,
        version=version,
        cache_policy=(INPUTS - "work") + CacheKeyFnPolicy(cache_key_fn=stage_and_version),
        persist_result=True,
        result_serializer="json",
        retries=2,
        retry_delay_seconds=[1, 10],
        retry_condition_fn=_transient,
    )
    def batch(inputs: Inputs, work: Any) -> dict[str, Any]:
        return body(inputs, work)

    return batch


def placed(batch: Task[..., dict[str, Any]], data_dir: Path, force: bool) -> Task[..., dict[str, Any]]:
    """The task with its results and locks under a data folder. `force` runs it although a result is there."""
    assert batch.cache_policy is not None, "made by cached()"
    locks = ProcessLocks(data_dir / "locks")
    return batch.with_options(
        cache_policy=batch.cache_policy.configure(isolation_level="SERIALIZABLE", lock_manager=locks),
        result_storage=results_of(data_dir),
        refresh_cache=force,
    )


def results_of(data_dir: Path) -> Path:
    return (data_dir / "results").resolve()


def forget(state: Any, data_dir: Path) -> None:
    """Take the result of a finished task out of the cache, so that equal inputs run again."""
    (results_of(data_dir) / state.data.metadata.storage_key).unlink()


def _transient(_task: Any, _run: Any, state: Any) -> bool:
    """Whether a failure may go away by itself. Bad input never does."""
    return isinstance(state.result(raise_on_failure=False), TRANSIENT)
