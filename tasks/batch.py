"""One batch of a stage: the request for it, and what the stage's body sees of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from configs.schema import FactoryConfig
from environments.base import Task
from environments.complete import CompleteWorld
from models.policy import Policy
from rollouts.budget import BudgetTracker
from rollouts.rows import by_task
from steca.vocabulary import Progress
from storage.records import Record
from storage.shards import BatchRef
from tasks.caching import Inputs, Result
from tasks.resources.run_resources import RunResources

Refs = Mapping[str, Sequence[BatchRef]]
"""References to upstream batches, by group."""


@dataclass(frozen=True)
class Request:
    """A batch to be made. `inputs` decide its rows and its cache key; `refs` say where the upstream rows are."""

    inputs: Inputs
    refs: Refs


@dataclass(frozen=True)
class Order:
    """A batch that another process is to make: the cached task by its name, and what that needs."""

    task: str
    version: str
    waits_for: str
    inputs: Inputs
    context: BatchContext


class Runner(Protocol):
    """Has batches made by other processes."""

    def run(self, order: Order) -> Result:
        """The result of the batch, whose rows are in the data folder. Raises what its body raises."""
        ...


class BatchContext:
    """What a batch needs besides its inputs. `budget`: its part of the run's budget, with what it has spent. `runner`:
    what makes the batches that are not made in this process. Not a dataclass: Prefect would walk through the fields
    of one."""

    def __init__(
        self,
        refs: Refs,
        resources: RunResources,
        force: bool = False,
        budget: BudgetTracker | None = None,
        progress: Progress | None = None,
        runner: Runner | None = None,
    ) -> None:
        self.refs, self.resources, self.force = refs, resources, force
        self.budget, self.progress = budget or BudgetTracker(), progress
        self.runner = runner


@dataclass(frozen=True)
class Batch:
    """What the body of a stage may use. `config` holds only the settings that the stage declared. `only`: the tasks
    whose rows are still missing (None: all). `force`: use nothing that was made before."""

    inputs: Inputs
    refs: Refs
    resources: RunResources
    config: FactoryConfig
    force: bool = False
    budget: BudgetTracker = field(default_factory=BudgetTracker)
    progress: Progress | None = None
    only: Collection[str] | None = None

    @property
    def world(self) -> CompleteWorld:
        return self.resources.world

    @property
    def tasks(self) -> list[Task]:
        tasks = [Task(**values) for values in self.inputs["tasks"]]
        return [task for task in tasks if self.only is None or task.task_id in self.only]

    @property
    def policy(self) -> Policy:
        return self.resources.policy(self.inputs["checkpoint"])

    def records(self, group: str = "records") -> list[Record]:
        """All rows of a group of upstream batches, verified. Raises StorageFault."""
        rows = [record for ref in self.refs[group] for record in self.resources.shards.read_batch(ref)]
        if self.only is None:
            return rows
        return [row for task, own in by_task(rows).items() if task in self.only for row in own]
