"""Damaged files in a finished data folder: cached results, evidence, checkpoints; and what a half-done write leaves."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Way:
    """A way to damage files. `most`: batches that are played again for each; a policy takes its stage's batches."""

    pattern: str
    damage: Damage
    most: int = 1


RESULTS: Mapping[str, Way] = {
    "a cached result with a flipped byte": Way("results/*", flip),
    "a truncated cached result": Way("results/*", truncate),
    "an empty cached result": Way("results/*", empty),
    "a cached result that is gone": Way("results/*", remove),
    "evidence with a flipped byte": Way("evidence/*/*/*.parquet", flip),
    "truncated evidence": Way("evidence/*/*/*.parquet", truncate),
    "a checkpoint with a flipped byte": Way("checkpoints/*/model.safetensors", flip, 2),
    "a truncated checkpoint": Way("checkpoints/*/model.safetensors", truncate, 2),
}
HALF_WRITTEN: Mapping[str, Way] = {
    "a truncated shard": Way("shards/*/*.parquet", truncate),
    "an empty shard": Way("shards/*/*.parquet", empty),
    "a shard that is gone": Way("shards/*/*.parquet", remove),
    "a shard with a flipped byte": Way("shards/*/*.parquet", flip),
    "shards without their manifest": Way("shards/*/*.json", remove),
    "a truncated manifest": Way("shards/*/*.json", truncate),
    "a temporary file that is left": Way("shards/*/*.parquet", left_behind),
    "a truncated state of a stage": Way("runs/*/stages/*.json", truncate),
    "a truncated working database": Way("store/working.duckdb", truncate),
}
SHORT = 3
"""Ways of each group in the short form, in one file each and all at once."""
ALL = 3
"""Files that are damaged in the same way at once, in the full form."""


def damaged_results(bench: Bench, outcome: Outcome) -> None:
    _damage(bench, outcome, RESULTS)


def half_written(bench: Bench, outcome: Outcome) -> None:
    _damage(bench, outcome, HALF_WRITTEN)


def _damage(bench: Bench, outcome: Outcome, ways: Mapping[str, Way]) -> None:
    """One way after the other in a copy of a finished folder, and the run after each. Where that ends with a line, what
    a user does is done in between: `steca doctor`, and the command that it names."""
    finished = bench.undisturbed()
    data_dir = bench.new_folder("damage")
    shutil.copytree(finished.data_dir, data_dir)
    names = bench.random.sample(sorted(ways), SHORT) if bench.short else list(ways)
    with bench.trial(outcome, data_dir=data_dir) as trial:
        trial.expected = Played()
        for name in names:
            way = ways[name]
            for file in _some(bench.random, data_dir, way.pattern, 1 if bench.short else ALL):
                way.damage(file)
                trial.hit(f"{name}: {file.relative_to(data_dir)}", way.most)
            if name == names[-1] or not bench.short:
                trial.complete(tries=4)
                trial.compare()


def _some(random: Random, data_dir: Path, pattern: str, most: int) -> list[Path]:
    found = sorted(
        path for path in data_dir.glob(pattern) if path.is_file() and not path.name.startswith(".")
    )
    return random.sample(found, min(most, len(found)))
