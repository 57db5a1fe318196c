"""The yield curve: what repairs teach, by their number and by how they are chosen.

    steca compare configs/compare/repairs.yaml --save benchmarks/results/learning       measure
    python -m benchmarks.yield_curve                                                    print and draw what is kept

A line is one `calibration.choose` with growing `calibration.repairs`, from no repairs to those of every differing turn
of a failed run. `random` is the control. A point is a rule that repairs as many turns as it finds. Differences to the
control are taken where the control has as many repairs, between its measured numbers by a straight line. Arms that lack
a seed are left out, because seeds differ more than arms.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cli.errors import readable_errors
from flows.compare.rates import Share, rate, recovery, set_sizes
from flows.compare.results import AFTER, BEGINNING, Results, kept
from flows.figures import write_figure

KEPT = Path(__file__).parent / "results" / "learning" / "repairs.parquet"
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "yield-curve.svg"
SPLIT, NONE, ALL, CONTROL, PAPER = "unseen", "none", "every failure", "random", "paper"
FROM_BEGINNING = "from the beginning"
MEASURES: dict[str, Callable[[Results, str], Share | None]] = {
    FROM_BEGINNING: lambda results, arm: rate(results, arm, SPLIT, BEGINNING),
    "after a deviation": lambda results, arm: rate(results, arm, SPLIT, AFTER),
    "after an invalid action": recovery,
}
"""Success on unseen tasks; after an invalid action, on all tasks."""


@dataclass(frozen=True)
class Point:
    """One arm: how many turns were repaired, and its success by MEASURES."""

    arm: str
    line: str  # calibration.choose where the number was set; else empty
    repairs: float
    success: dict[str, Share]


def points(results: Results) -> list[Point]:
    """All arms that have every seed, by the number of repairs."""
    found = [
        Point(
            arm,
            str(changes.get("calibration.choose", "")) if "calibration.repairs" in changes else "",
            set_sizes(results, arm).get("calibrated", 0.0),
            {name: share for name, measured in MEASURES.items() if (share := measured(results, arm))},
        )
        for arm, changes in results.header.arms.items()
    ]
    whole = [point for point in found if _seeds(point) == results.seeds]
    return sorted(whole, key=lambda point: point.repairs)


def _seeds(point: Point) -> list[int]:
    return list(point.success[FROM_BEGINNING].by_seed) if FROM_BEGINNING in point.success else []


def lines(found: list[Point]) -> dict[str, list[Point]]:
    """The points of each line, by the number of repairs. Every line begins without repairs and ends with all."""
    names = list(dict.fromkeys(point.line for point in found if point.line))
    ends = (NONE, ALL)
    return {name: [point for point in found if point.line == name or point.arm in ends] for name in names}


def above_control(point: Point, control: list[Point]) -> float:
    """Success of an arm from the beginning, minus that of as many random repairs."""
    at = [one.repairs for one in control]
    rates = [one.success[FROM_BEGINNING].rate for one in control]
    return point.success[FROM_BEGINNING].rate - float(np.interp(point.repairs, at, rates))


def table(found: list[Point]) -> Table:
    """Every arm, by the number of repairs."""
    control = lines(found).get(CONTROL, [])
    drawn = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    drawn.add_column("arm")
    for heading in ("repairs", *MEASURES, "above random"):
        drawn.add_column(heading, justify="right")
    for point in found:
        inside = point.line == CONTROL or point.arm in (NONE, ALL) or not control
        above = "" if inside else f"{above_control(point, control):+.3f}"
        drawn.add_row(point.arm, f"{point.repairs:.0f}", *_shares(point), above)
    return drawn


def _shares(point: Point) -> Iterator[str]:
    for name in MEASURES:
        share = point.success.get(name)
        yield f"{share.rate:.3f} ({share.low:.3f}-{share.high:.3f})" if share else ""


def draw(found: list[Point], heading: str, file: Path) -> None:
    """One panel for each of MEASURES. Raises StorageFault."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(16, 4.6), layout="constrained")
    panels = list(figure.subplots(1, len(MEASURES)))
    for axes, name in zip(panels, MEASURES, strict=True):
        _panel(axes, [point for point in found if name in point.success], name)
    handles, labels = panels[0].get_legend_handles_labels()
    title = "turns chosen by (lines),\nor by a rule (points)"
    figure.legend(handles, labels, loc="outside right upper", fontsize=8, title=title, title_fontsize=8)
    figure.suptitle(heading, fontsize=11)
    write_figure(figure, file)


def _panel(axes: Any, found: list[Point], measure: str) -> None:
    from matplotlib import colormaps

    for name, line in lines(found).items():
        control = name == CONTROL
        at = [point.repairs for point in line]
        style = "o--" if control else "o-"
        look = {"color": "0.4", "linewidth": 2.5} if control else {}
        rates = [point.success[measure].rate for point in line]
        axes.plot(at, rates, style, markersize=4, label=name, **look)
        if control:
            low = [point.success[measure].low for point in line]
            axes.fill_between(
                at, low, [point.success[measure].high for point in line], color="0.4", alpha=0.15
            )
    rules = [point for point in found if not point.line and point.arm not in (NONE, ALL)]
    colours = colormaps["Dark2"].colors
    for point, marker, colour in zip(rules, itertools.cycle("sDv^<>PXphd"), itertools.cycle(colours)):
        style = {"color": "black", "markersize": 12, "zorder": 3} if point.arm == PAPER else {"color": colour}
        at, rate = [point.repairs], [point.success[measure].rate]
        axes.plot(at, rate, "*" if point.arm == PAPER else marker, label=point.arm, **style)
    axes.set_title(f"success {measure}", fontsize=10)
    axes.set_xlabel("repairs, mean over seeds")
    axes.set_ylabel("success rate")
    axes.grid(alpha=0.3)


def main(
    file: Annotated[Path, typer.Option("--from", help="Kept results of repairs.yaml.")] = KEPT,
    out: Annotated[Path, typer.Option(help="Picture to write, SVG or PNG.")] = PICTURE,
) -> None:
    with readable_errors():
        results = kept(file)
        found = points(results)
        seeds = ", ".join(map(str, results.seeds))
        console = Console(width=110)
        console.print(f"Success with 95 % intervals by the number of repairs, seeds {seeds}")
        console.print(table(found))
        draw(
            found,
            f"What repairs teach, by their number and choice (seeds {seeds}; band: 95 % interval of random)",
            out,
        )
        console.print(f"picture  {out}")


if __name__ == "__main__":
    typer.run(main)
