"""The published store of a data folder, as commands need it."""

from __future__ import annotations

from pathlib import Path

from flows.faults import StageFault
from flows.wording import no_runs
from storage.runs import any_runs
from storage.store import Store


def published_store(root: Path) -> Store:
    """The store of a data folder. Raises StageFault where nothing is published because there are no runs."""
    store = Store(root)
    if not store.published.exists() and not any_runs(root):
        raise StageFault(no_runs(root))
    return store
