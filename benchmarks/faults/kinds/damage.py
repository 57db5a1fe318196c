"""Damaged files in a finished data folder: cached results, evidence, checkpoints; and what a half-done write leaves."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

from benchmarks.faults.bench import Bench
from benchmarks.faults.outcome import Outcome
from benchmarks.faults.played import Played

Damage = Callable[[Path], None]


def flip(file: Path) -> None:
    """Invert a byte in the middle."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def remove(file: Path) -> None:
    file.unlink()


def left_behind(file: Path) -> None:
    """What a process that was killed while it wrote this file leaves beside it."""
    file.with_name(".writing-k1ll3d").write_bytes(file.read_bytes()[: file.stat().st_size // 2])


RESULTS: Mapping[str, tuple[str, Damage]] = {
    "a cached result with a flipped byte": ("results/*", flip),
    "a truncated cached result": ("results/*", truncate),
    "an empty cached result": ("results/*", empty),
    "a cached result that is gone": ("results/*", remove),
    "evidence with a flipped byte": ("evidence/*/*/*.parquet", flip),
    "truncated evidence": ("evidence/*/*/*.parquet", truncate),
    "a checkpoint with a flipped byte": ("checkpoints/*/model.safetensors", flip),
    "a truncated checkpoint": ("checkpoints/*/model.safetensors", truncate),
}
HALF_WRITTEN: Mapping[str, tuple[str, Damage]] = {
    "a truncated shard": ("shards/*/*.parquet", truncate),
    "an empty shard": ("shards/*/*.parquet", empty),
    "a shard that is gone": ("shards/*/*.parquet", remove),
    "a shard with a flipped byte": ("shards/*/*.parquet", flip),
    "shards without their manifest": ("shards/*/*.json", remove),
    "a truncated manifest": ("shards/*/*.json", truncate),
    "a temporary file that is left": ("shards/*/*.parquet", left_behind),
    "a truncated state of a stage": ("runs/*/stages/*.json", truncate),
    "a truncated working database": ("store/working.duckdb", truncate),
}
SHORT = 3
"""Ways of each group in the short form, in one file each and all at once."""
ALL = 3
"""Files that are damaged in the same way at once, in the full form."""


def damaged_results(bench: Bench, outcome: Outcome) -> None:
    _damage(bench, outcome, RESULTS)


def half_written(bench: Bench, outcome: Outcome) -> None:
    _damage(bench, outcome, HALF_WRITTEN)


def _damage(bench: Bench, outcome: Outcome, ways: Mapping[str, tuple[str, Damage]]) -> None:
    """One way after the other in a copy of a finished folder, and the run after each. Where its line tells to, `steca
    doctor` is called in between."""
    finished = bench.undisturbed()
    data_dir = bench.new_folder("damage")
    shutil.copytree(finished.data_dir, data_dir)
    names = bench.random.sample(sorted(ways), SHORT) if bench.short else list(ways)
    with bench.trial(outcome, data_dir=data_dir) as trial:
        trial.expected = Played()
        for name in names:
            pattern, damage = ways[name]
            for file in _some(bench.random, data_dir, pattern, 1 if bench.short else ALL):
                damage(file)
                trial.hit(f"{name}: {file.relative_to(data_dir)}")
            if name == names[-1] or not bench.short:
                trial.complete(tries=4)
                trial.compare()


def _some(random: Random, data_dir: Path, pattern: str, most: int) -> list[Path]:
    found = sorted(
        path for path in data_dir.glob(pattern) if path.is_file() and not path.name.startswith(".")
    )
    return random.sample(found, min(most, len(found)))
