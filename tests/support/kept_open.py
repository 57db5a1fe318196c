"""The finished run for test files that open its published file again and again, always with the usual settings.

DuckDB takes as long to start as ten short queries, and all connections of a process to a file share what is started.
While a file is open, DuckDB refuses to open it with other settings, as exports do.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from configs.schema import FactoryConfig
from storage.store import Store


@pytest.fixture(scope="module")
def finished(finished: FactoryConfig) -> Iterator[FactoryConfig]:
    """That of all tests, whose published file stays open during this test file."""
    with Store(finished.data_dir).reading():
        yield finished
