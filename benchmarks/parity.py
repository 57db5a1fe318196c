"""Replays every expert run under $ALFWORLD_DATA and compares every observation with the recorded one.

    python -m benchmarks.parity [--every 1]

Exit code 1 if an observation differs or a run is not won.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import track

from benchmarks.worlds.found import Found
from environments.alfworld.official.reader import LAYOUT, data_folder
from environments.alfworld.official.replay import replay_folder
from environments.base import EnvironmentFault


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="replay every n-th run only")
    options = parser.parse_args()
    console = Console()
    try:
        (found,) = compared(options.every, console)
    except EnvironmentFault as fault:
        console.print(f"error: {fault}", style="red", markup=False)
        return 1
    return int(bool(found.wrong or not found.runs))


def compared(every: int, console: Console) -> list[Found]:
    """Replay every n-th run. Raises EnvironmentFault where the games are not there."""
    folders = sorted(file.parent for file in (data_folder() / LAYOUT).glob("*/*/*/gt_traj.json"))
    return [_compare(folders[::every], console)]


def _compare(folders: list[Path], console: Console) -> Found:
    start, answers, lost, differences = time.perf_counter(), 0, 0, 0
    for folder in track(folders, "replaying", console=console):
        result = replay_folder(folder)
        answers += result.answers
        lost += not result.won
        differences += len(result.differences)
        for recorded, ours in result.differences[:1]:
            console.print(f"{folder}: recorded {recorded!r}, got {ours!r}", markup=False)
    seconds = time.perf_counter() - start
    console.print(f"{len(folders)} runs, {answers} observations: {differences} differ, {lost} runs not won")
    console.print(f"{seconds:.1f} s, {len(folders) / seconds:.0f} runs/s")
    return Found("alfworld", len(folders), len(folders) - lost, answers, differences, unexpected=lost)


if __name__ == "__main__":
    sys.exit(main())
