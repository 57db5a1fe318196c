"""What a data folder holds that no run refers to: replaced and abandoned batches, their files, results of them.

A run refers to the batches in its stage files, by the digest of their manifests. A run that was killed knows its last
batches from the cache only, so nothing that is younger than an unfinished run is garbage, nor anything of the last day.
Rollouts (evidence/), replies and checkpoints are not looked at: they serve every run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from storage.cached_results import batch_in
from storage.compaction import drop
from storage.faults import StorageFault
from storage.ids import digest_bytes
from storage.ingest.read_files import folders_in
from storage.ingest.scan import run_files
from storage.packs import Packs, open_pack
from storage.runs import RunInfo, StageState
from storage.shards import Manifest, read_manifest

KEPT_FOR = 86400.0
"""Seconds without a change before a file can be garbage."""


@dataclass(frozen=True)
class Garbage:
    """A file, or a shard in a pack, that nothing refers to."""

    kind: str
    path: Path
    size: int
    changed_at: int  # nanoseconds
    member: str = ""  # the shard, where `path` is a pack


def find_garbage(root: Path) -> list[Garbage]:
    """The files that no run refers to, in an order in which they can be deleted: whatever refers to a file comes before
    it. Raises StorageFault where a run file cannot be read: then it is not known what that run refers to."""
    runs, states, unusable = run_files(root)
    if unusable:
        raise StorageFault(f"nothing is deleted while run files are damaged: {unusable[0].reason}")
    before = min(_oldest_unfinished(runs, states), time.time() - KEPT_FOR)
    used = {ref.sha256 for _, state in states for ref in (*state.batches, *state.before, *state.calls)}
    manifests, kept = _manifests(root, used, before)
    gone = {digest for digest, _ in manifests}
    shards = [
        found
        for folder in folders_in(root / "shards")
        for found in _old("shard", folder.glob("*.parquet"), before)
        if found.path not in kept
    ]
    packed = [found for folder in folders_in(root / "shards") for found in _packed(folder, kept, before)]
    return [*_results(root, gone, before), *(found for _, found in manifests), *shards, *packed]


def delete(garbage: Sequence[Garbage]) -> int:
    """Delete the files that have not changed since, and the shards in such packs. Returns how many. Raises StorageFault
    where a pack cannot be written again without them."""
    deleted = 0
    for (path, changed_at), group in groupby(garbage, lambda found: (found.path, found.changed_at)):
        members = [found.member for found in group if found.member]
        try:
            if path.stat().st_mtime_ns != changed_at:
                continue
            if members:
                deleted += drop(open_pack(path), members)
            else:
                path.unlink()
                deleted += 1
        except FileNotFoundError:
            continue
    return deleted


def _oldest_unfinished(runs: Sequence[RunInfo], states: Sequence[tuple[str, StageState]]) -> float:
    """When the oldest run began that has a stage which is not done; infinity where there is none."""
    unfinished = {run_id for run_id, state in states if state.status not in ("completed", "outdated")}
    return min((run.created_at.timestamp() for run in runs if run.run_id in unfinished), default=float("inf"))


def _manifests(root: Path, used: set[str], before: float) -> tuple[list[tuple[str, Garbage]], set[Path]]:
    """(manifests that are garbage, each after its digest; the shards that the others refer to)."""
    garbage: list[tuple[str, Garbage]] = []
    kept: set[Path] = set()
    for folder in folders_in(root / "shards"):
        for kind, place in (("batch", folder), ("replaced batch", folder / "superseded")):
            for path in place.glob("*.json"):
                manifest, data = _manifest(path)
                digest = digest_bytes(data)
                old = [] if digest in used else list(_old(kind, [path], before))
                if old:
                    garbage.append((digest, old[0]))
                else:
                    kept |= {folder / shard.file for shard in manifest.shards}
    return garbage, kept


def _manifest(path: Path) -> tuple[Manifest, bytes]:
    try:
        return read_manifest(path)
    except StorageFault as fault:
        raise StorageFault(f"nothing is deleted while manifests are damaged: {fault}") from fault


def _results(root: Path, gone: set[str], before: float) -> Iterator[Garbage]:
    """The cached results of batches that are garbage."""
    for found in _old("result", (root / "results").glob("*"), before):
        try:
            ref = batch_in(found.path.read_bytes())
        except (OSError, ValueError, KeyError, TypeError):  # damaged, which `steca doctor` repairs
            continue
        if ref and ref.sha256 in gone:
            yield found


def _old(kind: str, paths: Iterator[Path] | Sequence[Path], before: float) -> Iterator[Garbage]:
    for path in paths:
        status = path.stat()
        if path.is_file() and status.st_mtime < before:
            yield Garbage(kind, path, status.st_size, status.st_mtime_ns)


def _packed(folder: Path, kept: set[Path], before: float) -> Iterator[Garbage]:
    """The shards in packs. A pack is as old as its newest shard, or younger."""
    for pack in Packs(folder).refresh()[0]:
        for found in _old("packed shard", [pack.path], before):
            for name, (_, size) in pack.members.items():
                if folder / name not in kept:
                    yield replace(found, size=size, member=name)
