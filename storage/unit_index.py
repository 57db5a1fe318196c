"""Which batches of a stage key hold the rows of which units: manifests are read once, and again where they changed.

Without it, each batch of a stage would read the manifests of all batches before it. A unit takes about 150 bytes.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from threading import Lock

from storage.faults import StorageFault
from storage.ingest.read_files import signature
from storage.json_files import read_model
from storage.shards import REDO, Manifest


class UnitIndex:
    """The units of the current batches in a folder of shards. Used by several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[str, str] = {}
        self._files: dict[str, set[str]] = {}  # by unit
        self._lock = Lock()

    def holding(self, units: Collection[str]) -> list[Path]:
        """The manifests that have any of these units, newest first."""
        with self._lock:
            changed_at = self._refresh()
            files = {file for unit in units for file in self._files.get(unit, ()) if file in changed_at}
        return [self._folder / file for file in sorted(files, key=lambda file: (-changed_at[file], file))]

    def _refresh(self) -> dict[str, int]:
        """Read what changed. Returns when each file changed last. A file may keep units that it no longer has: whoever
        reads it sees that."""
        changed_at = {}
        try:
            with os.scandir(self._folder) as entries:
                found = {entry.name: entry.stat() for entry in entries if entry.name.endswith(".json")}
        except FileNotFoundError:
            return {}
        for file, status in found.items():
            changed_at[file] = status.st_mtime_ns
            sign = signature(status)
            if self._seen.get(file) != sign:
                self._seen[file] = sign
                for unit in self._units(file):
                    self._files.setdefault(unit, set()).add(file)
        return changed_at

    def _units(self, file: str) -> Collection[str]:
        try:
            return read_model(self._folder / file, Manifest, "manifest", REDO)[0].units.values()
        except StorageFault:
            return ()
