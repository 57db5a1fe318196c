"""What a format is: the rows that it writes, and what its reader would train on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeVar

import pyarrow as pa

from formats.audit import Audit
from formats.rows.source import Source
from formats.targets.context import Context
from formats.writing.part_files import Form

R = TypeVar("R")


@dataclass(frozen=True)
class Weight:
    """What becomes of the examples' weights: how the reader uses them, or why it cannot."""

    kind: Literal["carried", "divided", "lost", "none"]
    why: str


class Target(ABC, Generic[R]):
    """One format. `context` is what --context says; formats that can mask turns ignore it."""

    name: ClassVar[str]
    title: ClassVar[str]
    reader: ClassVar[str]
    """The library, and the version whose rules `trained` follows."""
    source: ClassVar[type[Source[Any]]]
    weight: ClassVar[Weight]
    form: ClassVar[Form] = "jsonl"
    schema: ClassVar[pa.Schema | None] = None
    """The columns of Parquet files."""
    masks: ClassVar[bool] = True
    """Whether `trained` says what is trained on. False: a format to look at, or without conversations."""
    contexts: ClassVar[tuple[Context, ...]] = ()
    """For a format that cannot leave turns out of the loss: the ways that --context offers."""
    trains_observations: ClassVar[bool] = False
    """Whether what the world answers within a target is trained on too."""
    usage: ClassVar[str] = ""
    """How to load it: a few lines for the card."""
    limits: ClassVar[tuple[str, ...]] = ()
    """What the format does not carry, one sentence each."""

    def __init__(self, context: Context = "refuse") -> None:
        self.context = context

    def prepared(self, row: R, audit: Audit) -> Iterator[R]:
        """The rows that are written for one of the source. What is left out or changed is counted in the audit."""
        yield row

    @abstractmethod
    def row(self, row: R) -> dict[str, Any]:
        """A row as the format has it."""

    def trained(self, written: dict[str, Any]) -> list[bool]:
        """For each message of a written row, whether the reader trains on it, by its own rules. Where `masks` is False:
        nothing."""
        return []

    def files(self, dataset: str) -> dict[str, bytes]:
        """Further files by their names. `dataset` is the name of the folder."""
        return {}
