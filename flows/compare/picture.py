"""A comparison as a picture: each arm's success with its interval, and several seeds as small dots."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.comparison import WARM_UP
from flows.compare.rates import cells, rate
from flows.compare.results import BEFORE, Results
from flows.figures import rate_axes, rate_with_interval, write_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(results: Results, file: Path) -> None:
    """The picture as a file, whose ending decides the format. Raises StorageFault."""
    write_figure(figure_of(results), file)


def figure_of(results: Results) -> Figure:
    """One panel for each split and start."""
    from matplotlib.figure import Figure

    panels = [cell for cell in cells(results) if cell[1] != BEFORE]
    size = (2.2 + 2.9 * len(panels), 1.4 + 0.36 * len(results.rows))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(1, max(len(panels), 1), sharey=True, squeeze=False)
    for axes, (split, start) in zip(grid.flat, panels, strict=False):
        _panel(axes, results, split, start)
    grid[0, 0].set_yticks(range(len(results.rows)), results.rows)
    grid[0, 0].invert_yaxis()
    seeds = f"seed{'s' if len(results.seeds) > 1 else ''} {', '.join(map(str, results.seeds))}"
    figure.suptitle(f"{results.header.name}: success, 95 % interval, {seeds}")
    return figure


def _panel(axes: Any, results: Results, split: str, start: str) -> None:
    rate_axes(axes, f"{split}, {start.replace('_', ' ')}")
    for place, row in enumerate(results.rows):
        found = rate(results, row, split, start)
        if found is None:
            continue
        colour = {results.header.reference: "C1", WARM_UP: "0.45"}.get(row, "C0")
        rate_with_interval(axes, place, found.rate, found.low, found.high, colour)
        if len(found.by_seed) > 1:
            seeds = list(found.by_seed.values())
            axes.plot(seeds, [place + 0.25] * len(seeds), "o", color="0.5", markersize=2.5)
