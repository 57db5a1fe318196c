"""What the end of a stage costs in stores of growing size, beside a former version's way.

    python -m benchmarks.growth_of_store --data-dir DIR [--sizes 10000,100000,1000000] [--former CHECKOUT]

Fills DIR/now, and with --former DIR/former, step by step (a million trajectories take 20 minutes, with --former 40,
and 16 GB), and at each size ingests one more batch of 32 tasks of each stage, three times: the median, by part. A
former checkout has to be of version 0.3.0 or later. What is in DIR already is not written again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.big_store import BATCH_TASKS, KEYS, write
from benchmarks.checkouts import environment_of
from benchmarks.measuring import machine

ONE_INGEST = Path(__file__).with_name("one_ingest.py")
STEP = 100_000
"""Trajectories that are ingested at once."""
BEYOND = 1_000_000_000
"""The number of the first trajectory that is added to be measured."""


def ingest(root: Path, checkout: Path) -> dict[str, float]:
    """One ingest with the code of a checkout: seconds by part."""
    environment = environment_of(checkout)
    done = subprocess.run(
        [sys.executable, ONE_INGEST, root], env=environment, cwd=checkout, stdout=subprocess.PIPE, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def grow(root: Path, size: int, checkout: Path) -> None:
    """Fill a data folder up to `size` trajectories."""
    there = len(
        [
            path
            for path in (root / "shards" / KEYS["rewards"]).glob("*.json")
            if path.stem < f"rewards-{BEYOND}"
        ]
    )
    for first in range(there * BATCH_TASKS // STEP * STEP if there else 0, size, STEP):
        write(root, min(STEP, size - first), first)
        ingest(root, checkout)


def measured(root: Path, checkout: Path, repeats: int, place: int) -> dict[str, float]:
    """The median seconds by part of ingesting one more batch of each stage."""
    ingest(root, checkout)
    found = []
    for repeat in range(repeats):
        write(root, BATCH_TASKS, BEYOND + (place * repeats + repeat) * 10_000)
        found.append(ingest(root, checkout))
    return {part: median(each[part] for each in found) for part in found[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--sizes", default="10000,100000,1000000")
    parser.add_argument("--former", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    ways = {"now": Path(__file__).resolve().parent.parent}
    if options.former:
        ways["former"] = options.former.resolve()
    table = Table(title=machine())
    for place, size in enumerate(map(int, options.sizes.split(","))):
        for way, checkout in ways.items():
            root = options.data_dir / way
            grow(root, size, checkout)
            seconds = measured(root, checkout, options.repeats, place)
            if not table.columns:
                for column in ("trajectories", "way", *seconds):
                    table.add_column(column)
            table.add_row(f"{size:,}", way, *(f"{value:,.2f}" for value in seconds.values()))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
