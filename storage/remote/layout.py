"""Which files of a data folder the store has too, and in which order they become visible there.

Whatever refers to a file comes after it. So another machine, or one that starts after this one was killed, never sees a
manifest without its shards, a cached result without its batch, or a stage without its results.

Not there: locks/, logs/, prefect/, store/ (each machine has its own), journal/ and training/ (the work of a batch that
is not done), labels.jsonl and reports/.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from storage.files import DAMAGED

FOLDERS = ("evidence", "replies", "checkpoints", "shards", "results", "comparisons", "runs")
"""What is referred to first."""
READ = ("comparisons", "runs")
"""What commands read that only show something, besides the published store."""
DATA, MANIFESTS, RESULTS, STATES = ORDER = (0, 1, 2, 3)
CHECKPOINT = "checkpoints"
CHECKPOINT_MANIFEST = "manifest.json"
"""Written last into the store: it makes a checkpoint visible."""


def place(name: str) -> int | None:
    """The place of a file in the order; None for one that stays on its machine."""
    folder, *inner = name.split("/")
    if not inner or name.endswith((DAMAGED, ".lock", ".log")) or any(part.startswith(".") for part in inner):
        return None
    if folder == CHECKPOINT:
        return MANIFESTS if inner[1:] == [CHECKPOINT_MANIFEST] else DATA
    if folder == "shards":
        return MANIFESTS if name.endswith(".json") else DATA
    return {"evidence": DATA, "replies": DATA, "results": RESULTS, "comparisons": STATES, "runs": STATES}.get(
        folder
    )


def changes(name: str) -> bool:
    """Whether a file may be replaced by another one of the same name. The others are named by their content, or never
    written again."""
    return place(name) != DATA and not name.startswith(f"{CHECKPOINT}/")


def is_rollouts(name: str) -> bool:
    """Whether it is a file of the pool of rollouts, which are merged: a new file replaces older ones."""
    return name.startswith("evidence/")


def files_below(root: Path, folder: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """The files in a folder of the data folder that the store has too, by their names."""
    try:
        with os.scandir(root / folder) as entries:
            for entry in entries:
                name = f"{folder}/{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    if not entry.name.startswith("."):
                        yield from files_below(root, name)
                elif place(name) is not None:
                    yield name, entry
    except FileNotFoundError:
        return


def signature(status: os.stat_result) -> str:
    """What differs where a file was written or replaced. Not the time of the last change, which a rename sets."""
    return f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"
