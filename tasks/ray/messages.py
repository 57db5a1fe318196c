"""What the driver and an actor tell each other, as JSON. No rows: those are in the data folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from configs.schema import FactoryConfig
from rollouts.budget import Allowance
from storage.runs import Spent
from storage.shards import BatchRef


class Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Place(Message):
    """Where an actor works: the folder that relative paths are in, the data folder, and a file in it with its
    content."""

    folder: str
    data: str
    token: str
    content: str


class SentOrder(Message):
    """A batch to be made (`tasks.batch.Order`). `scorers`: folders of models outside of the data folder, by digest."""

    task: str
    version: str
    inputs: dict[str, Any]
    refs: dict[str, tuple[BatchRef, ...]]
    config: FactoryConfig
    scorers: dict[str, Path]
    force: bool
    allowance: Allowance


class Told(Message):
    """How far an actor is with its batch: parts done and to do, what it has spent and saved, new lines to report."""

    done: int = 0
    total: int = 0
    spent: Spent = Spent()
    lines: tuple[str, ...] = ()


class Failure(Message):
    """An error: its class as module:name, its text, and where it was raised."""

    kind: str
    text: str
    traceback: str


class Answer(Message):
    """The end of a batch: a result (`tasks.caching.Result`), or an error. `limit`: what ended it early."""

    result: dict[str, Any] | None = None
    failure: Failure | None = None
    limit: str | None = None
    told: Told
