"""The tables of a comparison, each narrow enough for 100 columns of a terminal."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from flows.compare.rates import (
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
from flows.compare.results import AFTER, BEFORE, BEGINNING, Measure, Results
from flows.summary.table import Table
from steca.paired import Difference

PARTS = {
    "expert": "expert",
    "calibrated": "D_c",
    "expert_suffix": "D_s",
    "explored_success": "D_e",
    "sampled_success": "sampled",
    "pairs": "pairs",
}
"""Parts of the training set by their names in the store, as the paper calls them. Others go by their own names."""


def tables(results: Results) -> Iterator[Table]:
    """Every table that there are figures for."""
    for split, start in cells(results):
        if start != BEFORE:
            yield success_table(results, split, start)
            if results.graded:
                yield success_table(results, split, start, "reward")
    if length_bins(results):
        yield length_table(results)
    if any(recovery(results, row) for row in results.rows):
        yield recovery_table(results)
    if results.header.sets:
        yield sets_table(results)
    if results.header.costs:
        yield costs_table(results)


def success_table(results: Results, split: str, start: str, measure: Measure = "success") -> Table:
    """Success, or the mean reward, of each row with its Wilson interval, the difference to the reference, and by seed.
    After a forced deviation also from the same point without it."""
    reference = results.header.reference
    what = "from the beginning" if start == BEGINNING else "after a forced deviation (calibration success)"
    control = start == AFTER and (split, BEFORE) in cells(results)
    rows = []
    for row in results.rows:
        found = rate(results, row, split, start, measure)
        if found is None:
            continue
        same_point = [_rate(rate(results, row, split, BEFORE, measure))] if control else []
        paired = "" if row == reference else _difference(difference(results, row, split, start, measure))
        rows.append((row, str(found.n), _share(found), *same_point, paired, _by_seed(found, results)))
    without = ["without it"] if control else []
    name = {"success": "success", "reward": "mean reward"}[measure]
    headings = ("n", f"{name} (95 %)", *without, f"minus {reference} (95 %)", "by seed")
    title = f"{name.capitalize()} on {split} tasks, {what}; {in_words(results.seeds)}"
    return Table(title, ("policy",), headings, tuple(rows))


def in_words(seeds: Sequence[int]) -> str:
    """seed 2, or seeds 2, 3, 4."""
    return f"seed{'' if len(seeds) == 1 else 's'} {', '.join(map(str, seeds))}"


def length_table(results: Results) -> Table:
    """Success by the number of steps that the expert needs."""
    bins = length_bins(results)
    rows = []
    for row in results.rows:
        found = [by_length(results, row, lengths) for lengths in bins]
        counts = " / ".join(str(share.n if share else 0) for share in found)
        rows.append((row, *(_share(share) if share else "" for share in found), counts))
    title = "Success from the beginning by the length of the expert's run, all splits"
    return Table(title, ("policy",), (*map(str, bins), "n"), tuple(rows))


def recovery_table(results: Results) -> Table:
    """Success of episodes that met an action which the environment refused."""
    found = [(row, recovery(results, row)) for row in results.rows]
    rows = tuple((row, str(share.n), _share(share)) for row, share in found if share)
    title = "Success after an invalid action, from the beginning, all splits"
    return Table(title, ("policy",), ("n", "success (95 %)"), rows)


def sets_table(results: Results) -> Table:
    """The size of each part of the training sets."""
    others = sorted({size.dataset for size in results.header.sets} - PARTS.keys())
    names = {**PARTS, **{name: name for name in others}}
    title = "Training set: examples by part, mean over seeds"
    return _numbers(title, results, lambda arm: set_sizes(results, arm), names)


def costs_table(results: Results) -> Table:
    """What the training sets cost."""
    found = ("rollouts", "reflections", "tokens", "language-model tokens", "minutes")
    title = "Cost of the training set and the training, mean over seeds, without what all arms share"
    return _numbers(title, results, lambda arm: costs(results, arm), {name: name for name in found})


def _numbers(
    title: str, results: Results, figures: Callable[[str], Mapping[str, float]], names: Mapping[str, str]
) -> Table:
    """A column for each named figure that some arm has."""
    each = {arm: figures(arm) for arm in results.rows if arm in results.header.arms}
    used = [name for name in names if any(own.get(name) for own in each.values())]
    rows = tuple((arm, *(_number(own.get(name), name) for name in used)) for arm, own in each.items())
    return Table(title, ("arm",), tuple(names[name] for name in used), rows)


def _number(value: float | None, name: str) -> str:
    if value is None:
        return "unknown" if name == "minutes" else "0"
    return f"{value:,.1f}" if name == "minutes" else f"{value:,.0f}"


def _share(found: Share) -> str:
    return f"{_short(found.rate)} ({_short(found.low)}-{_short(found.high)})"


def _rate(found: Share | None) -> str:
    return _short(found.rate) if found else ""


def _difference(found: Difference | None) -> str:
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
