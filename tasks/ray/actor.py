"""What runs in a process of the cluster: one batch after the other, by the code that runs batches without Ray."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from threading import Lock

from configs.child_environment import environment_without_secrets
from rollouts.budget import BudgetTracker
from storage.runs import Spent
from tasks.batch import BatchContext
from tasks.batch_task import BatchTask
from tasks.caching import Result
from tasks.ray.errors import failure_of
from tasks.ray.faults import RunnerFault
from tasks.ray.messages import Answer, Place, SentOrder, Told
from tasks.resources.run_resources import RunResources


def look_around(place: str) -> str:
    """What is wrong with this node, in one line; "" if it sees the same data folder."""
    given = Place.model_validate_json(place)
    try:
        same = Path(given.token).read_text() == given.content
    except OSError:
        same = False
    if same:
        return ""
    return (
        f"node {socket.gethostname()} does not see the data folder {given.data}: put data_dir on a file "
        "system that all nodes mount at the same path"
    )


class BatchActor:
    """`run` makes one batch at a time. The other methods answer meanwhile, in other threads. World, models and
    connections are kept for the next batch with the same configuration."""

    def __init__(self) -> None:
        self._watch, self._lock = Told(), Lock()
        self._resources: RunResources | None = None
        self._config = ""
        _forget_secrets()

    def open(self, place: str) -> tuple[str, str]:
        """Go to the driver's folder, where relative paths of settings begin. What is wrong here, "" if nothing is; and
        a name of this process."""
        folder = Path(Place.model_validate_json(place).folder)
        if folder.is_dir():
            os.chdir(folder)
            sys.path.append(str(folder))  # own worlds are modules of the driver's folder
        return look_around(place), f"{socket.gethostname()}, process {os.getpid()}"

    def run(self, order: str, keys: Mapping[str, str]) -> str:
        """The answer to an order. `keys`: environment variables with the API keys that it needs."""
        os.environ.update(keys)
        given = SentOrder.model_validate_json(order)
        self._watch = Told()
        budget = BudgetTracker.allowed(given.allowance, self._saved)
        try:
            result = self._made(given, budget)
        except Exception as error:
            return Answer(failure=failure_of(error), told=self._told()).model_dump_json()
        return Answer(result=result, limit=budget.limit_reached, told=self._told()).model_dump_json()

    def told(self) -> str:
        """How far the batch is. Lines are told once."""
        return self._told().model_dump_json()

    def stop(self) -> None:
        """End a batch that waits for a served model: it raises Stopped."""
        if self._resources:
            self._resources.stop()

    def close(self) -> list[str]:
        """Release models, connections and servers. Returns what to say of the world's failures."""
        resources, self._resources = self._resources, None
        if resources is None:
            return []
        resources.close()
        return resources.world_failures()

    def _made(self, order: SentOrder, budget: BudgetTracker) -> Result:
        task = _task(order.task)
        if task.version != order.version:
            raise RunnerFault(
                f"node {socket.gethostname()} has version {task.version} of the cached task {order.task}, and the run "
                f"has {order.version}: use the same checkout on all nodes"
            )
        context = BatchContext(order.refs, self._opened(order), order.force, budget, self._progressed)
        return task.write(order.inputs, context)

    def _opened(self, order: SentOrder) -> RunResources:
        config = order.config.model_dump_json()
        if self._resources is None or config != self._config:
            self.close()
            self._resources, self._config = RunResources(order.config, self._log), config
        self._resources.add_scorers(order.scorers)
        return self._resources

    def _progressed(self, done: int, total: int) -> None:
        with self._lock:
            self._watch = self._watch.model_copy(update={"done": done, "total": total})

    def _saved(self, spent: Spent) -> None:
        with self._lock:
            self._watch = self._watch.model_copy(update={"spent": spent})

    def _log(self, line: str) -> None:
        with self._lock:
            self._watch = self._watch.model_copy(update={"lines": (*self._watch.lines, line)})

    def _told(self) -> Told:
        with self._lock:
            told, self._watch = self._watch, self._watch.model_copy(update={"lines": ()})
            return told


def _task(name: str) -> BatchTask:
    from tasks import stage_tasks

    return next(
        task for task in vars(stage_tasks).values() if isinstance(task, BatchTask) and task.name == name
    )


def _forget_secrets() -> None:
    """A cluster started here has our whole environment."""
    for name in os.environ.keys() - environment_without_secrets().keys():
        del os.environ[name]
