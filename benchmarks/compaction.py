"""What `steca compact` changes: files, room on the disk, and seconds of what reads them.

    python -m benchmarks.compaction [--tasks 4000] [--repeats 3]

Makes a store of the real shape (benchmarks/big_store.py) in a temporary folder, and measures it before and after.
Seconds are medians.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.big_store import write
from benchmarks.measuring import machine
from storage.compaction import compact
from storage.ingest.scan import present_batches
from storage.shards import ShardStore
from storage.store import Store

READ = 200
"""Batches that are read at random."""


def seconds(work: Callable[[], object], repeats: int) -> float:
    """The median wall time of some work."""
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return median(taken)


def read_batches(root: Path, number: int) -> None:
    """Read random batches, as a stage that starts does: with a new index of what is there."""
    shards = ShardStore(root)
    for batch in random.Random(0).sample(present_batches(shards)[0], number):
        shards.verify(batch.ref)


def figures(root: Path, repeats: int) -> dict[str, str]:
    """What there is in a data folder and how long it takes to read it."""
    store = Store(root)
    files = [path.stat() for path in (root / "shards").rglob("*") if path.is_file()]
    batches = min(READ, len(present_batches(ShardStore(root))[0]))
    return {
        "files in shards/": f"{len(files):,}",
        "MB in shards/": f"{sum(file.st_size for file in files) / 1e6:,.1f}",
        "MB on the disk": f"{sum(file.st_blocks for file in files) * 512 / 1e6:,.1f}",
        "s, an ingest with nothing new": f"{seconds(store.ingest, repeats):.2f}",
        "s, a rebuild of the store": f"{seconds(store.rebuild, repeats):.2f}",
        f"s, {batches} batches verified": f"{seconds(lambda: read_batches(root, batches), repeats):.2f}",
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
    print(f"{taken:.1f} s to compact")


if __name__ == "__main__":
    main()
