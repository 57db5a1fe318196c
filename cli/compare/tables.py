"""The tables of a comparison, each narrow enough for 100 columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from flows.compare.results import AFTER, BEFORE, BEGINNING, Results
from flows.compare.statistics import (
    Share,
    by_length,
    cells,
    costs,
    difference,
    length_bins,
    rate,
    recovery,
    set_sizes,
)

PARTS = {
    "expert": "expert",
    "calibrated": "D_c",
    "expert_suffix": "D_s",
    "explored_success": "D_e",
    "sampled_success": "sampled",
    "pairs": "pairs",
}
"""Parts of the training set by their names in the store, as the paper calls them. Others go by their own names."""


Titled = tuple[str, Table]


def tables(results: Results) -> Iterator[Titled]:
    """Every table that there are figures for, after its title."""
    for split, start in cells(results):
        if start != BEFORE:
            yield success_table(results, split, start)
    if length_bins(results):
        yield length_table(results)
    if any(recovery(results, row) for row in results.rows):
        yield recovery_table(results)
    if results.header.sets:
        yield sets_table(results)
    if results.header.costs:
        yield costs_table(results)


def success_table(results: Results, split: str, start: str) -> Titled:
    """Success of each row with its Wilson interval, the difference to the reference, and success by seed. After a
    forced deviation also success from the same point without it."""
    reference = results.header.reference
    what = "from the beginning" if start == BEGINNING else "after a forced deviation (calibration success)"
    table = _table("policy")
    control = start == AFTER and (split, BEFORE) in cells(results)
    headings = ("n", "success (95 %)", *(["without it"] if control else ()), f"minus {reference} (95 %)")
    for heading in headings:
        table.add_column(heading, justify="right")
    table.add_column("by seed")
    for row in results.rows:
        found = rate(results, row, split, start)
        if found is None:
            continue
        same_point = [_rate(rate(results, row, split, BEFORE))] if control else []
        paired = "" if row == reference else _difference(results, row, split, start)
        table.add_row(row, str(found.n), _share(found), *same_point, paired, _by_seed(found, results))
    return f"Success on {split} tasks, {what}; {in_words(results.seeds)}", table


def in_words(seeds: Sequence[int]) -> str:
    """seed 2, or seeds 2, 3, 4."""
    return f"seed{'' if len(seeds) == 1 else 's'} {', '.join(map(str, seeds))}"


def length_table(results: Results) -> Titled:
    """Success by the number of steps that the expert needs."""
    table = _table("policy")
    bins = length_bins(results)
    for lengths in bins:
        table.add_column(str(lengths), justify="right")
    table.add_column("n", justify="right")
    for row in results.rows:
        found = [by_length(results, row, lengths) for lengths in bins]
        counts = " / ".join(str(share.n if share else 0) for share in found)
        table.add_row(row, *(_share(share) if share else "" for share in found), counts)
    return "Success from the beginning by the length of the expert's run, all splits", table


def recovery_table(results: Results) -> Titled:
    """Success of episodes that met an action which the environment refused."""
    table = _table("policy")
    for heading in ("n", "success (95 %)"):
        table.add_column(heading, justify="right")
    for row in results.rows:
        if found := recovery(results, row):
            table.add_row(row, str(found.n), _share(found))
    return "Success after an invalid action, from the beginning, all splits", table


def sets_table(results: Results) -> Titled:
    """The size of each part of the training sets."""
    table = _table("arm")
    others = sorted({size.dataset for size in results.header.sets} - PARTS.keys())
    names = {**PARTS, **{name: name for name in others}}
    _numbers(table, results, lambda arm: set_sizes(results, arm), names)
    return "Training set: examples by part, mean over seeds", table


def costs_table(results: Results) -> Titled:
    """What the training sets cost."""
    table = _table("arm")
    found = ("rollouts", "reflections", "tokens", "language-model tokens", "minutes")
    _numbers(table, results, lambda arm: costs(results, arm), {name: name for name in found})
    return "Cost of the training set and the training, mean over seeds, without what all arms share", table


def _numbers(
    table: Table, results: Results, figures: Callable[[str], Mapping[str, float]], names: Mapping[str, str]
) -> None:
    """A column for each named figure that some arm has."""
    rows = {arm: figures(arm) for arm in results.rows if arm in results.header.arms}
    used = [name for name in names if any(own.get(name) for own in rows.values())]
    for name in used:
        table.add_column(names[name], justify="right")
    for arm, own in rows.items():
        table.add_row(arm, *(_number(own.get(name), name) for name in used))


def _number(value: float | None, name: str) -> str:
    if value is None:
        return "unknown" if name == "minutes" else "0"
    return f"{value:,.1f}" if name == "minutes" else f"{value:,.0f}"


def _table(first: str) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first, overflow="fold")
    return table


def _share(found: Share) -> str:
    return f"{_short(found.rate)} ({_short(found.low)}-{_short(found.high)})"


def _rate(found: Share | None) -> str:
    return _short(found.rate) if found else ""


def _difference(results: Results, row: str, split: str, start: str) -> str:
    found = difference(results, row, split, start)
    if found is None:
        return ""
    mean, low, high = (_short(value, "+.3f") for value in (found.mean, found.low, found.high))
    return f"{mean} ({low} to {high})"


def _by_seed(found: Share, results: Results) -> str:
    each = (found.by_seed.get(seed) for seed in results.seeds)
    return " ".join("-" if value is None else _short(value, ".2f") for value in each)


def _short(value: float, how: str = ".3f") -> str:
    """A share without the zero in front of the point."""
    return re.sub(r"^([+-]?)0\.", r"\1.", format(value, how))
