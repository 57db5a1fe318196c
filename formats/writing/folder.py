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

from filelock import FileLock, Timeout

from configs.json_text import parse_json
from formats.audit import Audit
from formats.faults import FormatFault
from formats.writing.existing import existing
from formats.writing.part_files import digest
from storage.files import WRITING, flush, write_atomic, writing_in


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
        known = parse_json(data)
        parts = [Part(**part) for part in known["parts"]]
        return cls(known["asked"], parts, Audit.from_json(known["audit"]), known["read"])


class Workplace:
    """The folder beside an export in which it is written. Only for the process that holds it."""

    def __init__(self, out: Path) -> None:
        self.out, self.folder = out, out.parent / f"{WRITING}{out.name}"
        self.export, self.sort = self.folder / "export", self.folder / "sort"
        self._state = self.folder / "state.json"

    def resume(self, asked: str) -> State:
        """The state of an unfinished export of the same; else a new one, in an empty folder. What is of no finished
        part is deleted: files, and folders of sessions."""
        state = self._known()
        if state is None or state.asked != asked or not all(map(self._whole, state.parts)):
            shutil.rmtree(self.export, ignore_errors=True)
            state = State(asked)
        kept = {name for part in state.parts for name in (part.file, part.lineage)}
        folders = [self.export / name for name in ("data", "lineage")]
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        for path in (path for folder in (self.export, *folders) for path in list(folder.iterdir())):
            if path not in folders and path.relative_to(self.export).as_posix() not in kept:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        return state

    def _known(self) -> State | None:
        try:
            return State.from_json(self._state.read_bytes())
        except (OSError, ValueError, KeyError, TypeError):  # none, or damaged
            return None

    def _whole(self, part: Part) -> bool:
        digests = {part.file: part.sha256, part.lineage: part.lineage_sha256}
        return all(
            (self.export / name).exists() and digest(self.export / name) == known
            for name, known in digests.items()
        )

    def save(self, state: State) -> None:
        write_atomic(self._state, state.to_json())

    def discard(self) -> None:
        """Delete what was written: it cannot become an export."""
        shutil.rmtree(self.export, ignore_errors=True)

    def publish(self) -> None:
        """Put the finished export into its place; an export that is there is replaced."""
        with writing_in(self.out.parent):
            for folder in (self.export / "data", self.export / "lineage", self.export):
                flush(folder)
            if self.out.exists():
                shutil.rmtree(self.folder / "replaced", ignore_errors=True)
                os.rename(self.out, self.folder / "replaced")
            os.rename(self.export, self.out)
            flush(self.out.parent)


@contextmanager
def workplace(out: Path) -> Iterator[Workplace]:
    """Raises FormatFault where `out` holds anything but an export, or another process writes it. What is unfinished
    stays for the next time."""
    existing(out)
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
