"""Exports of this program among the files of an import: most formats do not say whose run a row is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from environments.base import EnvironmentFault
from formats.writing.manifest import manifest_of

SAY_WHOSE = ("atif", "hf-traces", "parquet")
"""Formats whose rows say whether they are the expert's: by `kind`, parquet by `dataset`."""
DEPTH = 3
"""Folders above a file that are looked at: a session of hf-traces is OUT/data/train-00000/ID.jsonl."""


def data_of(path: Path) -> Path:
    """The folder of rows in an export, as its lineage, manifest and audit are no runs; any other path as it is."""
    return path / "data" if manifest_of(path) else path


def refuse_exports_without_kinds(files: Iterable[Path]) -> None:
    """Raises EnvironmentFault for a file of an export whose format does not say whose run a row is, unless all its rows
    are demonstrations of the expert. A policy's run, or a repair with its deviated turn, would pass as the expert's."""
    known: dict[Path, dict[str, Any] | None] = {}
    for file in files:
        for folder in file.resolve().parents[:DEPTH]:
            if folder not in known:
                known[folder] = manifest_of(folder)
            if manifest := known[folder]:
                _refuse_without_kinds(file, manifest)


def _refuse_without_kinds(file: Path, manifest: dict[str, Any]) -> None:
    kind, audit = manifest.get("format"), manifest.get("audit")
    sets = audit.get("rows_by_set") if isinstance(audit, dict) else None
    if kind in SAY_WHOSE or (isinstance(sets, dict) and set(sets) == {"expert"}):
        return
    raise EnvironmentFault(
        f"{file}: was made by `{manifest['made_by']} {kind}`, a format that does not say which runs are the expert's; "
        "atif, hf-traces and parquet do: import an export of these, or one with --sets expert"
    )
