"""Fewer files: the shards of a stage key's folder are moved into packs (storage.packs). Manifests stay as they are.

A pack is written and read back before anything that it replaces is deleted, so a process that is killed loses nothing:
what is there twice is cleaned up by the next compaction. Nobody may ingest meanwhile (`Store.alone`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from storage.ingest.read_files import folders_in
from storage.packs import PATTERN, Pack, Packs, is_named_by, loose_shards, pack_path, write_pack

SMALL = 64 << 20
"""Bytes of shards below which a pack is merged with the others."""
LARGEST = 1 << 30
"""Bytes of shards in one pack, unless one shard has more."""


@dataclass(frozen=True)
class Compacted:
    """What became of one folder of shards."""

    stage_key: str
    before: int  # files with shards
    after: int
    size: int  # bytes of the packs
    damaged: dict[Path, str]  # files that were left as they are, and why


@dataclass(frozen=True)
class _Shard:
    """A shard that is to be packed."""

    read: Callable[[], bytes]
    size: int


def compact(root: Path) -> Iterator[Compacted]:
    """Pack the shards of a data folder, folder by folder. Raises StorageFault where a pack cannot be written."""
    for folder in folders_in(root / "shards"):
        yield compact_folder(folder)


def compact_folder(folder: Path) -> Compacted:
    """Pack the loose shards of a folder, together with the shards of small packs. What is damaged stays as it is.

    Nothing is written unless there are fewer files then. Raises StorageFault as `compact` does.
    """
    before = len(_files(folder))
    packs, damaged = Packs(folder).refresh()
    small = [pack for pack in packs if pack.size < SMALL]
    damaged |= {
        pack.path: f"{len(wrong)} of its shards are corrupt" for pack in small if (wrong := pack.damaged())
    }
    merged = [pack for pack in small if pack.path not in damaged]
    loose = {path.name: path for path in loose_shards(folder)}
    twice = {name for name in loose if any(pack.has(name) for pack in packs if pack not in small)}
    shards = dict(_members(merged))
    for name in loose.keys() - twice:
        if shard := _intact(loose[name]):
            shards[name] = shard
        elif name not in shards:
            damaged[loose[name]] = "it is corrupt or cannot be read"
    parts = {pack_path(folder, part): part for part in _parts(shards)}
    replaced = {path for name, path in loose.items() if name in twice or name in shards}
    if len(replaced) + len(merged) > len(parts):
        there = {pack.path for pack in merged}
        for path in (
            parts.keys() - there
        ):  # one that is there: a process was killed before it deleted the others
            write_pack(folder, {name: shards[name].read for name in parts[path]})
        for path in (replaced | there) - parts.keys():
            path.unlink(missing_ok=True)
    files = _files(folder)
    size = sum(path.stat().st_size for path in files if path.match(PATTERN))
    left = {path: why for path, why in damaged.items() if path not in parts}
    return Compacted(folder.name, before, len(files), size, left)


def drop(pack: Pack, names: Collection[str]) -> int:
    """Delete shards in a pack: another pack without them takes its place. Returns how many; 0 where any of the others
    is damaged, as the pack is left as it is then. Raises StorageFault where the new pack cannot be written."""
    rest = pack.members.keys() - set(names)
    if not all(pack.has(name) for name in rest):
        return 0
    if rest and len(rest) < len(pack.members):
        write_pack(pack.path.parent, {name: partial(pack.read, name) for name in rest})
    if len(rest) < len(pack.members):
        pack.path.unlink(missing_ok=True)
    return len(pack.members) - len(rest)


def _files(folder: Path) -> list[Path]:
    return [*loose_shards(folder), *folder.glob(PATTERN)]


def _members(packs: Collection[Pack]) -> Iterator[tuple[str, _Shard]]:
    for pack in packs:
        for name, (_, size) in pack.members.items():
            yield name, _Shard(partial(pack.read, name), size)


def _intact(path: Path) -> _Shard | None:
    """A loose shard, unless it is damaged."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return _Shard(path.read_bytes, len(data)) if is_named_by(path.name, data) else None


def _parts(shards: dict[str, _Shard]) -> Iterator[list[str]]:
    """The names of the shards of each pack, in order."""
    part, size = list[str](), 0
    for name in sorted(shards):
        if part and size + shards[name].size > LARGEST:
            yield part
            part, size = [], 0
        part.append(name)
        size += shards[name].size
    if part:
        yield part
