"""A full disk: the data folder is a small tmpfs, which gets larger each time the run has ended for lack of space."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.faults.bench import Bench
from benchmarks.faults.outcome import Outcome, Skipped

SIZES = (1, 2, 4, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 24)
"""Megabytes. A whole run needs about 20."""
SHORT = (8,)
ENOUGH = 256


def full_disk(bench: Bench, outcome: Outcome) -> None:
    """The run ends with one line that says so; with more space it goes on."""
    data_dir = bench.new_folder("full")
    data_dir.mkdir()
    bench.undisturbed()
    sizes = SHORT if bench.short else SIZES
    with _small_disk(data_dir, sizes[0]), bench.trial(outcome, data_dir=data_dir) as trial:
        for size in sizes:
            _mount(data_dir, "remount", size)
            done = trial.start().ended()
            if done.code == 0:
                break
            trial.hit(f"{size} MB: {done.errors.strip()[:160]}")
            if not (done.one_line and "No space left" in done.errors):
                trial.problem(f"{size} MB: not one line that says so: {done.errors[-800:]}")
        _mount(data_dir, "remount", ENOUGH)
        trial.complete()


@contextmanager
def _small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    if os.geteuid() != 0:
        raise Skipped("only root may mount a small disk")
    _mount(folder, "", megabytes)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


def _mount(folder: Path, how: str, megabytes: int) -> None:
    """Raises Skipped where it is not allowed."""
    options = ",".join(filter(None, (how, f"size={megabytes}m")))
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "steca-faults", str(folder)], capture_output=True, text=True
    )
    if done.returncode:
        raise Skipped(f"a small disk cannot be mounted here: {done.stderr.strip()}")
