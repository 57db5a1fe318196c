"""What `steca compact` changes: files, room on the disk, and seconds of what reads them.

    python -m benchmarks.compaction [--tasks 4000] [--repeats 3]

Makes a store of the real shape (benchmarks/big_store.py) in a temporary folder, and measures it before and after.
Seconds are medians of CPU time, the kernel's included: on a shared machine they are more reliable than wall time.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.big_store import write
from benchmarks.measuring import machine
from storage.compaction import compact
from storage.ingest.scan import StoredBatch, present_batches
from storage.shards import ShardStore
from storage.store import Store

READ = 200
"""Batches that are read at random."""


def seconds(work: Callable[[], object], repeats: int) -> float:
    """The median CPU time of some work."""
    taken = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return median(taken)


def read(root: Path, batches: Sequence[StoredBatch]) -> None:
    """Read batches as a stage that starts does: nothing is known yet of what is there."""
    shards = ShardStore(root)
    for batch in batches:
        shards.read_batch(batch.ref)


def copy(root: Path) -> None:
    """Copy the shards to another folder of the same disk."""
    with tempfile.TemporaryDirectory(dir=root) as folder:
        shutil.copytree(root / "shards", Path(folder) / "shards")


def figures(root: Path, repeats: int) -> dict[str, str]:
    """What there is in a data folder and how long it takes to read it."""
    store = Store(root)
    files = [path.stat() for path in (root / "shards").rglob("*") if path.is_file()]
    batches = present_batches(ShardStore(root))[0]
    some = random.Random(0).sample(batches, min(READ, len(batches)))
    return {
        "files in shards/": f"{len(files):,}",
        "MB in shards/": f"{sum(file.st_size for file in files) / 1e6:,.1f}",
        "MB on the disk": f"{sum(file.st_blocks for file in files) * 512 / 1e6:,.1f}",
        "CPU s, an ingest with nothing new": f"{seconds(store.ingest, repeats):.2f}",
        "CPU s, a rebuild of the store": f"{seconds(store.rebuild, repeats):.2f}",
        f"CPU s, {len(some)} random batches read": f"{seconds(lambda: read(root, some), repeats):.2f}",
        "CPU s, a copy of shards/": f"{seconds(lambda: copy(root), repeats):.2f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=4000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root, options.tasks)
        Store(root).ingest()
        before = figures(root, options.repeats)
        taken = seconds(lambda: list(compact(root)), 1)
        after = figures(root, options.repeats)
    table = Table("what", "before", "after", title=f"{options.tasks:,} trajectories; {machine()}")
    for what in before:
        table.add_row(what, before[what], after[what])
    Console(width=120).print(table)
    print(f"{taken:.1f} CPU s to compact")


if __name__ == "__main__":
    main()
