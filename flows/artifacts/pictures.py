"""The pictures of a page, as PNGs that go into its text."""

from __future__ import annotations

from collections.abc import Sequence

from flows.artifacts.markdown import joined, picture
from flows.artifacts.page import RunSource
from flows.curves import curves
from flows.figures import rate_axes, rate_with_interval, small_png
from flows.summary.success import Rate
from flows.summary.table import words
from storage.records import CheckpointRecord

WIDTH = 7.2
"""Inches: what fits into the text of the UI."""
CONTROL = "before_deviation"
"""The start that is the control of another one. It is in the tables, not in the picture."""
GAPS = """
SELECT verdict, list(gap), any_value(delta) FROM step_reward_gaps
WHERE run_id = $run AND ($round IS NULL OR round = $round) AND gap IS NOT NULL GROUP BY verdict
"""
COMPARISONS = """
SELECT count(*) FROM step_reward_gaps WHERE run_id = $run AND ($round IS NULL OR round = $round)
"""
COLOURS = {"deviated": "C1", "not_deviated": "C0", "undecided": "0.6", "filtered": "0.85"}
"""By verdict."""


def success_picture(rates: Sequence[Rate]) -> str:
    """Success of each policy with its interval, one panel a split and start; "" where nothing was tested."""
    from matplotlib.figure import Figure

    panels = list(dict.fromkeys((each.split, each.start) for each in rates if each.start != CONTROL))
    policies = list(
        dict.fromkeys(each.policy for each in sorted(rates, key=lambda r: (r.role != "warmup", r.round)))
    )
    if not panels:
        return ""
    columns = min(len(panels), 2)
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(WIDTH, lines * (0.9 + 0.35 * len(policies))), layout="constrained")
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes, (split, start) in zip(grid.flat, panels, strict=False):
        rate_axes(axes, f"{split}, {words(start)}")
        axes.label_outer()
        for each in rates:
            if (each.split, each.start) == (split, start):
                colour = "0.4" if each.role == "warmup" else "C0"
                rate_with_interval(axes, policies.index(each.policy), each.rate, each.low, each.high, colour)
    grid[0, 0].set_xlim(-0.03, 1.03)
    grid[0, 0].set_yticks(range(len(policies)), policies)
    grid[0, 0].set_ylim(len(policies) - 0.5, -0.5)
    return picture(small_png(figure), "Success rates with 95 % intervals")


def gap_picture(source: RunSource, round: int | None = None) -> str:
    """How many comparisons had which gap, by verdict, and the threshold; "" where no gap is known. Raises
    StorageFault."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    found = {verdict: (gaps, delta) for verdict, gaps, delta in source.rows(GAPS, round=round)}
    if not found:
        return ""
    order = [verdict for verdict in COLOURS if verdict in found]
    figure = Figure(figsize=(WIDTH, 2.7), layout="constrained")
    axes = figure.subplots()
    axes.hist(
        [found[verdict][0] for verdict in order],
        bins=[place / 20 - 1.025 for place in range(42)],  # every bin is around a multiple of .05
        stacked=True,
        color=[COLOURS[verdict] for verdict in order],
        label=[f"{words(verdict)} ({len(found[verdict][0]):,})" for verdict in order],
    )
    delta = found[order[0]][1]
    axes.axvline(delta, color="black", linestyle="--", linewidth=1, label=f"threshold (delta = {delta:g})")
    axes.set_xlabel("gap: reward of the explored turn less that of the expert's")
    axes.set_ylabel("comparisons")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=8)
    drawn = picture(small_png(figure), "Gaps of the step rewards by verdict")
    known = sum(len(gaps) for gaps, _ in found.values())
    ((all_of_them,),) = source.rows(COMPARISONS, round=round)
    if known == all_of_them:
        return drawn
    why = "the verdicts of the others were certain before all rollouts were played, or need none"
    return joined(drawn, f"The gap is known for {known:,} of {all_of_them:,} comparisons: {why}.")


def training_picture(trainings: Sequence[CheckpointRecord]) -> str:
    """The curves of trainings; "" where there are none."""
    if not trainings:
        return ""
    figure = curves(trainings)
    figure.set_size_inches(WIDTH * (1 if len(trainings) == 1 else 1.2), figure.get_figheight() * 0.8)
    return picture(small_png(figure), "Training curves")
