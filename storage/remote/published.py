"""The published store at a URL: a database of a name that is never used again, and a pointer to it that is replaced.

Whoever publishes reads the pointer, pulls, ingests, uploads, and replaces the pointer under the condition that it is
still the same. Where another machine was faster, all of that is done once more: so what is published holds the rows of
both. A reader that finds the file of an old pointer gone reads the pointer again.
"""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import Any

from configs.json_text import parse_json
from storage.faults import StorageFault
from storage.files import WRITING, writing_in
from storage.ids import digest_file
from storage.remote.index import Known
from storage.remote.layout import signature
from storage.remote.mirror import Mirror
from storage.remote.versions import ABSENT, Changed
from storage.store import IngestReport, Store

POINTER = "published/current.json"
TRIES = 20
"""Before it is said that something is wrong: every try that fails is another machine that has published."""


def publish(mirror: Mirror) -> IngestReport:
    """Push what is here, bring the store up to date with what is at the URL, and publish it there. Raises
    StorageFault."""
    with mirror.alone():
        mirror.push()
        store = Store(mirror.root)
        for _ in range(TRIES):
            before = mirror.objects.read(POINTER)
            mirror.pull()
            report = store.ingest()
            if _replaced(mirror, store.published, before):
                return report
    raise StorageFault(f"{mirror.url}: other machines publish all the time: run the same command again")


def fetch(mirror: Mirror) -> bool:
    """Bring the published file of the mirror up to date. Returns whether anything is published. Raises StorageFault."""
    path = Store(mirror.root).published
    with mirror.alone():
        for _ in range(TRIES):
            found = mirror.objects.read(POINTER)
            if found is None:
                return False
            pointer = _read(mirror, found[0])
            if _is_here(mirror, path, pointer["sha256"]):
                return True
            if _downloaded(mirror, pointer, path):
                _remember(mirror, path, pointer["sha256"])
                return True
    raise StorageFault(
        f"{mirror.url}: the published store cannot be downloaded whole: run the same command again"
    )


def _replaced(mirror: Mirror, file: Path, before: tuple[bytes, str] | None) -> bool:
    """Upload a database and make it the published one. False where the pointer has changed since `before`."""
    old: dict[str, Any] = _read(mirror, before[0]) if before else {}
    digest = digest_file(file)
    name = f"published/{uuid.uuid4().hex}.duckdb"
    mirror.objects.upload(file, name)
    retired = [old["file"]] if old else []
    pointer = {"file": name, "sha256": digest, "bytes": file.stat().st_size, "retired": retired}
    try:
        mirror.objects.write(POINTER, _json(pointer), before[1] if before else ABSENT)
    except Changed:
        mirror.objects.delete(name)
        return False
    _remember(mirror, file, digest)
    for gone in old.get("retired", ()):  # one that was replaced twice: who still reads it tries again
        mirror.objects.delete(gone)
    return True


def _downloaded(mirror: Mirror, pointer: dict[str, Any], path: Path) -> bool:
    """Download a published file into its place. False where it is gone, or not what the pointer says."""
    temporary = path.with_name(f"{WRITING}{uuid.uuid4().hex}")
    with writing_in(path.parent):
        try:
            if (
                not mirror.objects.download(pointer["file"], temporary)
                or digest_file(temporary) != pointer["sha256"]
            ):
                return False
            Path(f"{path}.wal").unlink(missing_ok=True)  # belongs to the old file
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    return True


def _is_here(mirror: Mirror, path: Path, digest: str) -> bool:
    known = mirror.index.load().get(path.name)
    return known is not None and path.exists() and known == Known(digest, signature(path.stat()))


def _remember(mirror: Mirror, path: Path, digest: str) -> None:
    mirror.index.add({path.name: Known(digest, signature(path.stat()))})


def _read(mirror: Mirror, data: bytes) -> dict[str, Any]:
    """What a pointer says. Raises StorageFault where it is damaged."""
    try:
        pointer = parse_json(data)
        if {"file", "sha256", "bytes", "retired"} <= pointer.keys():
            return dict(pointer)
    except (ValueError, AttributeError):
        pass
    raise StorageFault(f"{mirror.url}/{POINTER} is damaged: delete it, then run the same command again")


def _json(pointer: dict[str, Any]) -> bytes:
    return (json.dumps(pointer, indent=1) + "\n").encode()
