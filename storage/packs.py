"""Packs: many shards of one folder in one file. A pack is an uncompressed ZIP file, which any tool can open.

shards/<stage_key>/packed-<digest>.zip     its members are named as the shards were, their bytes are the same

The digest is that of the members' names, which have the digests of their contents: a pack is never changed.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from storage.faults import StorageFault
from storage.files import writing_atomic
from storage.ids import ID_LENGTH, content_id, digest_bytes

PATTERN = "packed-*.zip"
SHARD = re.compile(rf".+-([0-9a-f]{{{ID_LENGTH}}})\.parquet")
"""The name of a shard, with the start of its digest."""
HEADER = 30
"""Bytes before the name of a member in a ZIP file. The last four: the lengths of the name and of what follows it."""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every member: the same shards give the same file."""

UNREADABLE = (OSError, ValueError, NotImplementedError, zipfile.BadZipFile)
"""What opening a damaged ZIP file may raise."""


@dataclass(frozen=True)
class Pack:
    """A pack whose directory was read."""

    path: Path
    members: Mapping[str, tuple[int, int]]  # (offset, bytes) of each shard, by its name

    @property
    def size(self) -> int:
        """Bytes of all members."""
        return sum(size for _, size in self.members.values())

    def read(self, file: str) -> bytes:
        """The bytes of a member, which nobody has checked. Raises OSError."""
        offset, size = self.members[file]
        with self.path.open("rb") as stream:
            stream.seek(offset)
            header = stream.read(HEADER)
            stream.seek(sum(int.from_bytes(header[at : at + 2], "little") for at in (26, 28)), 1)
            return stream.read(size)

    def has(self, file: str) -> bool:
        """Whether it has this shard, undamaged."""
        try:
            return file in self.members and is_named_by(file, self.read(file))
        except OSError:
            return False

    def damaged(self) -> list[str]:
        """The members whose bytes do not match the digests in their names."""
        return [file for file in self.members if not self.has(file)]


class Packs:
    """The packs in one folder of shards, by their names. Used by several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._packs: dict[Path, Pack] = {}
        self._unreadable: dict[Path, str] = {}
        self._lock = Lock()

    def read(self, file: str, sha256: str) -> bytes | None:
        """The bytes of a shard; None where no pack has it.

        Raises StorageFault where its copies are damaged, or where it may be in a pack that cannot be read.
        """
        found = self._intact(file, sha256)
        if found is None:  # packs may have come, and others gone
            self.refresh()
            found = self._intact(file, sha256)
        if found is not None:
            return found
        for pack in self._packs.values():
            if file in pack.members:
                raise StorageFault(f"shard {file} in pack {pack.path} is corrupt or cannot be read")
        for path, why in self._unreadable.items():
            raise StorageFault(f"pack {path}, which has shards of several batches, cannot be read ({why})")
        return None

    def refresh(self) -> tuple[list[Pack], dict[Path, str]]:
        """(the packs that are there now, those that cannot be read and why)."""
        with self._lock:
            packs, unreadable = dict[Path, Pack](), dict[Path, str]()
            for path in sorted(self._folder.glob(PATTERN)):
                try:
                    packs[path] = self._packs.get(path) or open_pack(path)
                except FileNotFoundError:  # merged with others just now
                    continue
                except UNREADABLE as error:
                    unreadable[path] = str(error)
            self._packs, self._unreadable = packs, unreadable  # at once: other threads read them
            return list(packs.values()), unreadable

    def _intact(self, file: str, sha256: str) -> bytes | None:
        for pack in self._packs.values():
            if file in pack.members:
                try:
                    data = pack.read(file)
                except OSError:
                    continue
                if digest_bytes(data) == sha256:
                    return data
        return None


def open_pack(path: Path) -> Pack:
    """Read the directory of a pack. Raises one of UNREADABLE."""
    with zipfile.ZipFile(path) as file:
        members = {info.filename: (info.header_offset, info.file_size) for info in file.infolist()}
    end = path.stat().st_size
    if any(offset < 0 or offset + size > end for offset, size in members.values()):
        raise zipfile.BadZipFile("Its directory names places outside of it")
    return Pack(path, members)


def pack_path(folder: Path, shards: Iterable[str]) -> Path:
    """Where the pack with these shards is."""
    return folder / f"packed-{content_id(*sorted(shards))}.zip"


def write_pack(folder: Path, shards: Mapping[str, Callable[[], bytes]]) -> Pack:
    """Write a pack with these shards, each read by its function, and read it back.

    Raises StorageFault if it cannot be written, or is not what was written; then no pack is there.
    """
    path = pack_path(folder, shards)
    with writing_atomic(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as file:
        for name in sorted(shards):
            info = zipfile.ZipInfo(name, EPOCH)
            info.create_system, info.external_attr = 3, 0o644 << 16  # else they depend on the machine
            file.writestr(info, shards[name]())
    try:
        pack = open_pack(path)
        if pack.members.keys() == shards.keys() and not pack.damaged():
            return pack
    except UNREADABLE:
        pass
    path.unlink()
    raise StorageFault(f"pack {path} does not hold what was written: nothing was deleted; check the disk")


def is_named_by(file: str, data: bytes) -> bool:
    """Whether the name of a shard has the digest of these bytes."""
    named = SHARD.fullmatch(file)
    return named is not None and digest_bytes(data).startswith(named[1])


def loose_shards(folder: Path) -> Iterator[Path]:
    """The shards of a folder that are files of their own."""
    return (path for path in sorted(folder.glob("*.parquet")) if SHARD.fullmatch(path.name))
