"""Where rows come from: candidates, which of them are wanted, and the rows in the order of their ids."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import duckdb
import pyarrow as pa

from formats.faults import FormatFault
from formats.rows.filters import Filters, check_filters, conditions
from formats.rows.reader import RunReader
from formats.rows.where import check_condition
from steca.vocabulary import TRAIN
from storage.sql.run_views import IN_FRONT
from storage.sql.schema import one_line


class Row(Protocol):
    """A row has the id by which rows are ordered."""

    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=Row)
HELD_OUT = f"""k.split <> '{TRAIN}' OR k.task_id IN (SELECT v.task_id FROM run_evaluations v WHERE v.run_id = $run)"""
"""Test tasks: those of other splits than the training tasks, and those that a policy of the run was tested on."""
RANGE, LEAST = 20_000, 100
"""Rows that are read and sorted at a time, at most and at least."""
LAST = "\uffff"
"""Greater than any id."""
TASK = "k.world, k.split, k.task_type, k.instruction"


@dataclass(frozen=True)
class Counts:
    """Candidates of a run, and what becomes of them before any row is made."""

    candidates: int
    held_out: int
    wanted: int

    @property
    def filtered(self) -> int:
        """Those that the filters leave out."""
        return self.candidates - self.held_out - self.wanted


class Source(ABC, Generic[R]):
    """The rows of one kind of a run. Raises FormatFault for filters that cannot be, before anything is read."""

    name: ClassVar[str]
    key: ClassVar[str]
    of_set: ClassVar[str]
    sets: ClassVar[tuple[str, ...]]
    trains: ClassVar[bool] = True
    lineage: ClassVar[tuple[str, ...]]
    """Columns that lead a row back to the store."""

    def __init__(self, run: RunReader, filters: Filters) -> None:
        self.run, self.filters = run, filters
        if filters.where is not None:
            check_condition(run.connection, filters.where, self.key)
        check_filters(filters, self.sets, self.columns, self.trains)
        self._condition, self._values = conditions(filters, self.of_set)

    @property
    @abstractmethod
    def candidates(self) -> str:
        """SQL: one row a candidate, with its key and `held_out`. $run is the run's id."""

    @abstractmethod
    def between(self, low: str, high: str) -> Iterator[R]:
        """The wanted rows after the id `low` up to `high`, in the order of ids."""

    def rows(self, after: str = "") -> Iterator[R]:
        """The wanted rows after an id, in the order of ids. They are read and sorted a range of ids at a time, which
        is what keeps the memory flat: DuckDB cannot sort everything in little memory. Ranges become smaller where long
        texts need more."""
        size = RANGE
        while True:
            try:
                for low, high in self._ranges(after, size):
                    for row in self.between(low, high):
                        after = row.id
                        yield row
                return
            except duckdb.OutOfMemoryException:
                if size <= LEAST:
                    raise
                size = max(LEAST, size // 4)

    def _ranges(self, after: str, size: int) -> Iterator[tuple[str, str]]:
        wanted, params = self.wanted(after)
        ids = self.run.stream(f"{wanted} SELECT {self.key} AS id FROM wanted ORDER BY id", params)
        ends = [row["id"] for number, row in enumerate(ids, 1) if number % size == 0]
        return pairwise([after, *ends, LAST])

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """What --where can speak of."""
        answer = self.run.connection.cursor().execute(
            f"DESCRIBE {self.candidates.replace('$run', quoted(self.run.run_id))}"
        )
        return tuple(name for name, *_ in answer.fetchall() if name not in (*IN_FRONT[:1], "held_out"))

    @cached_property
    def lineage_schema(self) -> pa.Schema:
        """The columns of `lineage`, as Arrow has them."""
        answer = self.run.connection.cursor().sql(
            f"SELECT {', '.join(self.lineage)} FROM ({self.candidates}) LIMIT 0",
            params={"run": self.run.run_id},
        )
        return answer.to_arrow_table().schema

    @cached_property
    def counts(self) -> Counts:
        """How many candidates there are. Raises FormatFault if none is wanted."""
        sql = f"""WITH candidates AS ({self.candidates})
            SELECT count(*), count_if(held_out), count_if({self._condition}) FROM candidates"""
        try:
            ((all_, held_out, wanted),) = self.run.rows(sql, run=self.run.run_id, **self._values)
        except duckdb.BinderException as error:
            what = one_line(error).removeprefix("Binder Error: ").split(" Candidate bindings")[0].rstrip(".!")
            raise FormatFault(
                f"--where {self.filters.where!r}: {what}; the columns of {self.name} are {', '.join(self.columns)}"
            ) from error
        if not all_:
            raise FormatFault(f"run {self.run.run_id} has no {self.name} to export: {self.how_to_get}")
        if not wanted:
            raise FormatFault(
                f"none of the {all_} {self.name} of run {self.run.run_id} passes the filters "
                f"({held_out} are of test tasks): widen them"
            )
        return Counts(all_, held_out, wanted)

    how_to_get: ClassVar[str]
    """What to do where a run has no candidates."""

    def wanted(self, low: str = "", high: str = LAST) -> tuple[str, dict[str, Any]]:
        """(SQL of the wanted candidates after the id `low` up to `high`, as the table `wanted`; its parameters)."""
        sql = f"""WITH candidates AS ({self.candidates}),
            wanted AS (SELECT * FROM candidates
                WHERE {self._condition} AND {self.key} > $low AND {self.key} <= $high)"""
        return sql, {"run": self.run.run_id, "low": low, "high": high, **self._values}


def quoted(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
