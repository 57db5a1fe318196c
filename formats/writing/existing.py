"""What lies already where an export is to go: nothing, an export, or files of somebody, which are never deleted.

A file is the export's own if the manifest lists it with the digest that it has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from formats.faults import FormatFault
from formats.writing.manifest import MANIFEST, manifest_of
from formats.writing.part_files import digest, files_of

OF_ROWS = ("data/", "lineage/")
"""Folders of the files that only this command writes. The others are texts, which people edit."""


@dataclass(frozen=True)
class Existing:
    """An export that is there."""

    out: Path
    manifest: dict[str, Any]

    @property
    def asked(self) -> str | None:
        """What it was asked for, as a content id; None in a manifest that does not say."""
        return self.manifest.get("asked")

    @cached_property
    def missing(self) -> tuple[str, ...]:
        """Files of the manifest that are not there."""
        return tuple(name for name in self._digests if not (self.out / name).exists())

    @cached_property
    def changed(self) -> tuple[str, ...]:
        """Files of the manifest that have other bytes than it says."""
        there = (name for name in self._digests if name not in self.missing)
        return tuple(name for name in there if _digest(self.out / name) != self._digests[name])

    @property
    def damaged(self) -> tuple[str, ...]:
        """Files that are not as the export wrote them."""
        return (*self.missing, *self.changed)

    @cached_property
    def others(self) -> tuple[str, ...]:
        """Files that the manifest does not list, those in folders of sessions among them."""
        own = {*self._digests, MANIFEST}
        files = (path for path in sorted(self.out.rglob("*")) if path.is_symlink() or not path.is_dir())
        inside = (path.relative_to(self.out) for path in files)
        listed = (path for path in inside if not own & {path.as_posix(), path.parent.as_posix()})
        return (*(path.as_posix() for path in listed), *self._among_sessions())

    def _among_sessions(self) -> Iterator[str]:
        folders = (name for name in self.changed if (self.out / name).is_dir())
        for name in folders:  # a row is a file there, named by its id
            own = _sessions(self.out / "lineage" / f"{Path(name).name}.parquet")
            files = (file for file in files_of(self.out / name) if file.is_file() or file.is_symlink())
            yield from (f"{name}/{file.name}" for file in files if file.name not in own)

    @cached_property
    def _digests(self) -> dict[str, str]:
        files = self.manifest.get("files")
        return files if isinstance(files, dict) else {}

    def refuse_to_lose(self, asked: str) -> None:
        """Raises FormatFault where another export here would delete what is not its own. One of the same request
        (`asked`) gives the same rows, so that damaged files of rows may be replaced; a card that was edited may not."""
        if self.others:
            raise FormatFault(self._refusal(self.others, "which the export there did not write"))
        again = OF_ROWS if self.asked == asked else ()
        if lost := [name for name in self.changed if not name.startswith(again)]:
            raise FormatFault(self._refusal(lost, "which is not as the export there wrote it"))

    def _refusal(self, names: Sequence[str], what: str) -> str:
        return (
            f"{self.out} holds {first_of(names)}, {what}, and a new one would delete it: move that away, or choose "
            "another folder"
        )


def first_of(names: Sequence[str]) -> str:
    """The first of some files, and how many more there are."""
    return names[0] + (f" and {len(names) - 1} more files" if names[1:] else "")


def existing(out: Path) -> Existing | None:
    """The export that is there; None where nothing is, or an empty folder. Raises FormatFault for anything else."""
    manifest = manifest_of(out)
    if manifest is not None:
        return Existing(out, manifest)
    if out.is_dir() and not any(out.iterdir()):
        return None
    if out.exists() or out.is_symlink():
        raise FormatFault(f"{out} is there already, and no export of this command: choose another folder")
    return None


def _digest(path: Path) -> str | None:
    """None for what cannot be read, such as a link in a folder that leads nowhere."""
    try:
        return digest(path)
    except OSError:
        return None


def _sessions(lineage: Path) -> set[str]:
    """The names of the files in a folder of sessions; none where the lineage is damaged."""
    try:
        return {f"{name}.jsonl" for name in pq.read_table(lineage).column("trajectory_id").to_pylist()}
    except (OSError, KeyError, pa.ArrowException):
        return set()
