"""Rows come in the order of their ids, each once, however many are read at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from formats.rows import source
from formats.rows.conversation import ExampleRow
from formats.rows.examples import Examples
from formats.rows.filters import Filters
from formats.rows.reader import RunReader, open_run
from storage.store import Store
from tests.support.exported_run import RUN, exported_run


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[RunReader]:
    exported_run(tmp_path / "data", copies=6)
    with open_run(Store(tmp_path / "data"), RUN, tmp_path) as reader:
        yield reader


class Greedy(Examples):
    """Needs too much memory for more than `most` rows at a time."""

    most = 3

    def between(self, low: str, high: str) -> Iterator[ExampleRow]:
        for number, row in enumerate(super().between(low, high), 1):
            if number > self.most:
                raise duckdb.OutOfMemoryException("could not allocate")
            yield row


def test_ranges_become_smaller_where_memory_does_not_suffice(
    reader: RunReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "LEAST", 1)
    whole = [row.id for row in Examples(reader, Filters()).rows()]
    assert len(whole) > 10
    assert whole == sorted(set(whole))
    assert [row.id for row in Greedy(reader, Filters()).rows()] == whole


def test_what_does_not_suffice_for_the_least_range_is_told(
    reader: RunReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Greedy, "most", 0)
    with pytest.raises(duckdb.OutOfMemoryException, match="could not allocate"):
        list(Greedy(reader, Filters()).rows())
