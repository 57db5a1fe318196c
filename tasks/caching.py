"""When a batch may be taken from the cache: equal stage, equal stage version, equal inputs.

A task takes two arguments. `inputs` is plain JSON and holds everything that changes the outcome: the settings that
the stage reads, the checkpoint's digest, the content of the upstream rows, the world's version. `context` holds what
does not: where and how the work is done. It never enters a key. A result is a reference by content, which is verified
whenever it is used. A result that a budget or a failed connection of the world cut short says so (`cut`), and is never
taken for a complete one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage.cached_results import result_in
from storage.files import check_name
from storage.ids import content_id
from storage.shards import BatchRef

if TYPE_CHECKING:  # a run that finds everything in the cache never loads Prefect
    from prefect import Task

Inputs = dict[str, Any]
Result = dict[str, Any]
"""`ref`: the batch's reference as JSON; `cut`: what is missing in it and why, None if it is whole."""
TRANSIENT = (ConnectionError, TimeoutError)


def cache_key(stage: str, version: str, inputs: Inputs) -> str:
    """The name of the file that holds the result."""
    return check_name("cache key", f"{stage}-{version}-{content_id(stage, version, inputs)}")


def make_prefect_task(stage: str, version: str, body: Callable[[Inputs, Any], Result]) -> Task[..., Result]:
    """A function (inputs, context) -> result as a cached task. Raise `version` whenever the stage would give another
    result for the same inputs: the source code of helpers is not part of the key."""
    from prefect import task
    from prefect.cache_policies import CacheKeyFnPolicy

    def key(_context: object, parameters: dict[str, Any]) -> str:
        return cache_key(stage, version, parameters["inputs"])

    @task(
        name=stage,
        version=version,
        cache_policy=CacheKeyFnPolicy(cache_key_fn=key),
        persist_result=True,
        result_serializer="json",
        retries=2,
        retry_delay_seconds=[1, 10],
        retry_condition_fn=_transient,
    )
    def batch(inputs: Inputs, context: Any) -> Result:
        return body(inputs, context)

    return batch


def with_storage(batch: Task[..., Result], data_dir: Path, refresh: bool, label: str) -> Task[..., Result]:
    """The task with its results and locks under a data folder. `refresh` runs it although a result is there. `label`
    names its run."""
    from tasks.prefect_locks import ProcessLocks

    assert batch.cache_policy is not None, "made by cached()"
    locks = ProcessLocks(data_dir / "locks")
    return batch.with_options(
        cache_policy=batch.cache_policy.configure(isolation_level="SERIALIZABLE", lock_manager=locks),
        result_storage=results_of(data_dir),
        refresh_cache=refresh,
        task_run_name=label.replace("{", "{{").replace("}", "}}"),
    )


def results_of(data_dir: Path) -> Path:
    return (data_dir / "results").resolve()


def stored_result(data_dir: Path, key: str) -> Result | None:
    """The whole result that Prefect has stored under a key, read without loading Prefect. None if there is none, it
    cannot be read, or it was cut short."""
    try:
        result: Result = result_in((results_of(data_dir) / key).read_bytes())
        BatchRef.model_validate(result["ref"])
        return None if result["cut"] else result
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _transient(_task: Any, _run: Any, state: Any) -> bool:
    """Whether a failure may go away by itself. Bad input never does."""
    return isinstance(state.result(raise_on_failure=False), TRANSIENT)
