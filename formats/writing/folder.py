"""A folder that appears whole, or not at all; a killed export goes on where it was.

OUT                    the export, renamed into place at the end
.writing-OUT/          while it is written, beside it
    lock               held by the process that writes
    export/            what becomes OUT
    state.json         the finished parts, and the audit so far
    sort/              what DuckDB does not keep in memory
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from formats.audit import Audit
from formats.faults import FormatFault
from formats.writing.part_files import size_of
from storage.files import WRITING, write_atomic, writing_in

MANIFEST = "manifest.json"
MADE_BY = "steca export"


@dataclass(frozen=True)
class Part:
    """A finished file of rows and its lineage. `last`: the id of the last row of the source in it."""

    file: str
    rows: int
    bytes: int
    sha256: str
    lineage: str
    lineage_sha256: str
    last: str


@dataclass
class State:
    """How far an export is. `read`: rows of the source in finished parts."""

    asked: str
    parts: list[Part] = field(default_factory=list)
    audit: Audit = field(default_factory=Audit)
    read: int = 0

    def to_json(self) -> bytes:
        parts = [asdict(part) for part in self.parts]
        return json.dumps(
            {"asked": self.asked, "read": self.read, "audit": self.audit.to_json(), "parts": parts}
        ).encode()

    @classmethod
    def from_json(cls, data: bytes) -> State:
        known = json.loads(data)
        parts = [Part(**part) for part in known["parts"]]
        return cls(known["asked"], parts, Audit.from_json(known["audit"]), known["read"])


class Workplace:
    """The folder beside an export in which it is written. Only for the process that holds it."""

    def __init__(self, out: Path) -> None:
        self.out, self.folder = out, out.parent / f"{WRITING}{out.name}"
        self.export, self.sort = self.folder / "export", self.folder / "sort"
        self._state = self.folder / "state.json"

    def resume(self, asked: str) -> State:
        """The state of an unfinished export of the same; else a new one, in an empty folder. Files of parts that were
        not finished are deleted."""
        state = self._known()
        if state is None or state.asked != asked or not all(map(self._whole, state.parts)):
            shutil.rmtree(self.export, ignore_errors=True)
            state = State(asked)
        kept = {name for part in state.parts for name in (part.file, part.lineage)}
        for path in sorted(self.export.rglob("*")):
            inside = path.relative_to(self.export)
            if path.is_file() and not kept & {inside.as_posix(), inside.parent.as_posix()}:
                path.unlink()
        for name in ("data", "lineage"):
            (self.export / name).mkdir(parents=True, exist_ok=True)
        return state

    def _known(self) -> State | None:
        try:
            return State.from_json(self._state.read_bytes())
        except (OSError, ValueError, KeyError, TypeError):  # none, or damaged
            return None

    def _whole(self, part: Part) -> bool:
        path = self.export / part.file
        return path.exists() and size_of(path) == part.bytes and (self.export / part.lineage).is_file()

    def save(self, state: State) -> None:
        write_atomic(self._state, state.to_json())

    def publish(self) -> None:
        """Put the finished export into its place; an export that is there is replaced."""
        with writing_in(self.out.parent):
            if self.out.exists():
                shutil.rmtree(self.folder / "replaced", ignore_errors=True)
                os.rename(self.out, self.folder / "replaced")
            os.rename(self.export, self.out)


@contextmanager
def workplace(out: Path) -> Iterator[Workplace]:
    """Raises FormatFault where `out` holds anything but an export, or another process writes it. What is unfinished
    stays for the next time."""
    refuse_others(out)
    place = Workplace(out)
    with writing_in(out.parent):
        place.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(place.folder / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise FormatFault(
                f"another process exports to {out}: wait for it, or choose another folder"
            ) from None
    try:
        shutil.rmtree(place.sort, ignore_errors=True)
        yield place
    finally:
        shutil.rmtree(place.sort, ignore_errors=True)
        unfinished = place.export.exists()
        if not unfinished:
            shutil.rmtree(place.folder, ignore_errors=True)
        lock.release()


def refuse_others(out: Path) -> None:
    """Raises FormatFault unless the folder is missing, empty, or an export of ours with nothing else in it: it would be
    replaced."""
    manifest = manifest_of(out) if out.is_dir() else None
    if manifest:
        own = {*manifest.get("files", ()), MANIFEST}
        inside = (path.relative_to(out) for path in sorted(out.rglob("*")) if not path.is_dir())
        others = [path for path in inside if not own & {path.as_posix(), path.parent.as_posix()}]
        if others:
            more = f" and {len(others) - 1} more files" if others[1:] else ""
            raise FormatFault(
                f"{out} holds {others[0]}{more}, which the export there did not write and a new one would delete: "
                "move that away, or choose another folder"
            )
        return
    if out.is_dir() and not any(out.iterdir()):
        return
    if out.exists() or out.is_symlink():
        raise FormatFault(f"{out} is there already, and no export of this command: choose another folder")


def manifest_of(out: Path) -> dict[str, Any] | None:
    """The manifest of an export; None where there is none."""
    try:
        manifest = json.loads((out / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and manifest.get("made_by") == MADE_BY else None
