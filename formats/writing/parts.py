"""Rows into parts of bounded size, each checked against the factory's own targets and led back to the store."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pyarrow as pa

from formats.audit import Audit
from formats.faults import FormatFault
from formats.rows.source import Source
from formats.targets.target import Target
from formats.writing.folder import Part, State, Workplace
from formats.writing.part_files import SUFFIX_OF_FORM, digest, files_of, flush_all, part_file, size_of
from steca.vocabulary import Progress
from storage.faults import StorageFault

PART = 128 << 20
"""Bytes of text after which a part ends: with the row that reaches them."""
SHOWN = 200
"""Rows after which progress is shown."""
LINK = 200
"""Characters that a row of the lineage counts as: its ids and names, about."""


class Parts:
    """Writes the parts of one export. Parts hold whole rows of the source and follow from the rows alone, so an export
    that was killed has the same files in the end."""

    def __init__(
        self, place: Workplace, target: Target[Any], source: Source[Any], part_bytes: int = PART
    ) -> None:
        self._place, self._target, self._source, self._part_bytes = place, target, source, part_bytes
        self._suffix = SUFFIX_OF_FORM[target.form]

    def write(self, state: State, progress: Progress) -> None:
        """Add the parts that the state lacks. Raises FormatFault for a row that would train on other turns."""
        last = state.parts[-1].last if state.parts else ""
        rows = self._source.rows(after=last)
        total = self._source.counts.wanted
        while state.read < total:
            read = state.read
            part = self._part(len(state.parts), rows, state, lambda done: progress(done, total))
            if state.read == read:
                raise StorageFault(
                    f"the store gave {read} of {total} {self._source.name}: `steca doctor` says what is missing"
                )
            if part:
                state.parts.append(part)
            self._place.save(state)

    def _part(self, number: int, rows: Iterator[Any], state: State, progress: Any) -> Part | None:
        file, lineage = f"data/train-{number:05d}{self._suffix}", f"lineage/train-{number:05d}.parquet"
        data = part_file(self._place.export / file, self._target.form, self._target.schema)
        links = part_file(self._place.export / lineage, "parquet", self._links)
        audit, written, read, last = deepcopy(state.audit), 0, state.read, ""
        for row in rows:
            for prepared in self._target.prepared(row, audit):
                links.add(self._link(row, written), LINK)
                data.add(*self._checked(prepared, audit))
                written += 1
            read, last = read + 1, row.id
            if read % SHOWN == 0:
                progress(read)
            if data.size >= self._part_bytes:
                break
        data.close()
        links.close()
        state.audit, state.read = audit, read
        return self._finished(file, lineage, written, last)

    def _checked(self, row: Any, audit: Audit) -> tuple[dict[str, Any], int]:
        """(the written row, its characters), if the reader trains on what the factory trains on."""
        written = self._target.row(row)
        if not self._target.masks:
            audit.add(row.about[self._source.of_set], (), (), row.characters)
            return written, row.characters
        trained = self._target.trained(written)
        roles = [message.role for message in row.messages]
        if fault := mask_fault(
            roles, row.mask, trained, self._target.trains_observations, self._source.trains
        ):
            raise FormatFault(f"{self._target.name}, row {row.id}: {fault}; this is a defect of the export")
        counted = trained if self._source.trains else [False] * len(trained)  # traces are no training set
        audit.add(row.about[self._source.of_set], roles, counted, row.characters)
        return written, row.characters

    def _link(self, row: Any, place: int) -> dict[str, Any]:
        return {"row": place, **{name: row.about[name] for name in self._source.lineage}}

    @property
    def _links(self) -> pa.Schema:
        return pa.schema([pa.field("row", pa.int64()), *self._source.lineage_schema])

    def _finished(self, file: str, lineage: str, rows: int, last: str) -> Part | None:
        path, links = self._place.export / file, self._place.export / lineage
        if not rows:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            links.unlink()
            return None
        flush_all([*files_of(path), path, links])
        return Part(file, rows, size_of(path), digest(path), lineage, digest(links), last)


def mask_fault(
    roles: list[str], wanted: list[bool], trained: list[bool], observations: bool, some: bool = True
) -> str | None:
    """Where a reader trains on other messages than the factory; None where it does not. `observations`: it may train on
    what the world answers. `some`: it must train on something."""
    if len(wanted) != len(trained):
        return f"{len(wanted)} messages, but the format has {len(trained)}"
    for place, (role, want, get) in enumerate(zip(roles, wanted, trained, strict=True)):
        if want and not get:
            return f"message {place} ({role}) is a target, and the format does not train on it"
        if get and not want and not (observations and role == "user"):
            return f"message {place} ({role}) is context only, and the format trains on it"
    if some and not any(trained):
        return "no message is trained on"
    return None
