"""Error rates, power and cost of the verdicts in each mode: `python -m benchmarks.verdicts`.

Every rate is exact for given values (`benchmarks.closings`), without simulation. Three sets of values:

    fixed pairs   equal values on a grid, and drops from .8
    oracle        all other turns of 60 corridors of `benchmarks.oracle`, with their exact values
    mix           the quick start's 613 comparisons (results/quickstart_mix.csv)

The mix comes from the stages demonstrate to rewards of configs/quickstart.yaml (seed 0) with rewards.rollouts=24 and
rewards.candidates=null: 885 explored turns differ from the expert's, 272 of them filtered at no cost. Each row is one
comparison that passed the filters: successes of 24 after the previous expert turn (reference) and after the explored
turn.

Counts of 24 are not the true values. So costs are averaged over all orders of these outcomes ("replayed"), and error
rates over the nonparametric maximum-likelihood mixture of pairs of values (Kiefer and Wolfowitz, 1956), fitted by
EM; the 95 % intervals refit it to resampled tasks. A drop is any q < p, down to half a percent.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import stats

from benchmarks.closings import Closings, Floats, Ints, closings
from benchmarks.oracle import exact_comparisons, make
from steca.deviation import preset
from steca.stopping import Curtailed, Fixed, Sequential, StoppingRule

MIX = Path(__file__).parent / "results" / "quickstart_mix.csv"
OUTCOMES, RESAMPLES, EM_STEPS = 24, 100, 150
GRID = np.r_[
    0, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.065, 0.08, 0.1, 0.125, 0.15, np.arange(4, 21) / 20
]
EQUAL = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True, slots=True)
class Design:
    """A row of the tables: a preset in a mode."""

    name: str
    preset: str
    stopping: StoppingRule


def sequential(most: int, worth: int, name: str = "") -> Design:
    label = f"sequential {name or f'{most}, worth {worth}'}"
    return Design(label, "sequential", Sequential(preset("sequential"), most, worth))


DESIGNS = [
    Design("fixed 5, paper", "paper", Fixed(5)),
    Design("fixed 5, release", "release", Fixed(5)),
    Design("curtailed 5, paper", "paper", Curtailed(5, preset("paper"))),
    Design("curtailed 5, release", "release", Curtailed(5, preset("release"))),
    Design("fixed 5, evidence", "sequential", Fixed(5)),
    Design("fixed 24, evidence", "sequential", Fixed(24)),
    sequential(24, 70),
    sequential(24, 150),
    sequential(250, 10_000),
]


@cache
def compiled(design: Design) -> Closings:
    return closings(design.stopping, preset(design.preset))


@dataclass(frozen=True, slots=True)
class Values:
    """Pairs of true values and how often each occurs; [resamples, pairs] weights if these are estimates."""

    reference: Floats
    explored: Floats
    weight: Floats
    resampled: Floats | None = None

    def share(self, rates: Floats, where: Floats) -> str:
        """Mean rate over the pairs selected by `where`, in percent, with its 95 % interval if there is one."""

        def mean(weights: Floats) -> Floats:
            return (weights * where) @ rates / (weights @ where)

        if self.resampled is None:
            return f"{100 * float(mean(self.weight)):.1f}"
        low, high = np.quantile(mean(self.resampled), [0.025, 0.975])
        return f"{100 * float(mean(self.weight)):.1f} ({100 * low:.1f}-{100 * high:.1f})"


@dataclass(frozen=True, slots=True)
class Mix:
    """The stored comparisons: their task, and both sides' successes of 24."""

    task: Ints
    reference: Ints
    explored: Ints


@cache
def mix() -> Mix:
    with MIX.open() as file:
        rows = [[int(row[key]) for key in ("task", "reference", "explored")] for row in csv.DictReader(file)]
    return Mix(*np.array(rows).T)


@cache
def mix_values() -> Values:
    """The mixture fitted to the counts, on pairs of GRID, without pairs of negligible weight."""
    counts, kind = np.unique(np.stack([mix().reference, mix().explored], 1), axis=0, return_inverse=True)
    chance = stats.binom.pmf(np.arange(OUTCOMES + 1)[:, None], OUTCOMES, GRID)
    likelihood = (chance[counts[:, 0]][:, :, None] * chance[counts[:, 1]][:, None]).reshape(len(counts), -1)
    occurs = np.zeros((mix().task.max() + 1, len(counts)))
    np.add.at(occurs, (mix().task, kind), 1.0)
    draw = np.random.default_rng(0)
    again = draw.multinomial(len(occurs), np.full(len(occurs), 1 / len(occurs)), size=RESAMPLES) @ occurs
    weights = np.stack([fitted(likelihood, seen) for seen in (occurs.sum(0), *again)])
    kept = np.flatnonzero(weights.max(0) > 1e-5)
    return Values(GRID[kept // len(GRID)], GRID[kept % len(GRID)], weights[0, kept], weights[1:, kept])


def fitted(likelihood: Floats, seen: Floats) -> Floats:
    """EM for the mixture weights [pairs]: [rows, pairs] likelihoods, and how often each row was seen."""
    weights = np.full(likelihood.shape[1], 1 / likelihood.shape[1])
    for _ in range(EM_STEPS):
        joint = likelihood * weights
        weights = (seen / joint.sum(1)) @ joint / seen.sum()
    return weights


@cache
def oracle_values() -> Values:
    turns = list(exact_comparisons(make().tasks("train", 60, 0), 20, 5))
    pairs = np.array([(turn.reference, turn.explored) for turn in turns])
    return Values(pairs[:, 0], pairs[:, 1], np.full(len(pairs), 1 / len(pairs)))


def pairs_table(designs: Sequence[Design]) -> Table:
    table = Table(
        title="Fixed pairs (exact; %): false flags at equal values; misses, undecided, rollouts by pair"
    )
    heads = ("worst p=q", "mean p=q", "miss .8>.6", "miss .8>.4", "miss .8>.2", "undecided .8>.6")
    rolls = ("0>0", ".5>.5", ".8>.6", ".8>.2")
    for head in ("rule", *heads, *(f"rollouts {pair}" for pair in rolls)):
        table.add_column(head, justify="left" if head == "rule" else "right")
    for design in designs:
        rates = compiled(design).at(EQUAL, EQUAL)
        drops = compiled(design).at(np.full(3, 0.8), np.array([0.6, 0.4, 0.2]))
        worst = int(rates.deviated.argmax())
        table.add_row(
            design.name,
            f"{100 * rates.deviated[worst]:.1f} at {EQUAL[worst]:.2f}",
            f"{100 * rates.deviated.mean():.1f}",
            *(f"{100 * (1 - found):.1f}" for found in drops.deviated),
            f"{100 * drops.undecided[0]:.1f}",
            *(
                f"{n:.1f}"
                for n in (rates.rollouts[0], rates.rollouts[50], drops.rollouts[0], drops.rollouts[2])
            ),
        )
    return table


def values_table(title: str, values: Values, designs: Sequence[Design], replay: bool) -> Table:
    """Error rates, power and cost over a set of values."""
    p, q = values.reference, values.explored
    drop = (p - q > 1e-9).astype(float)
    large = {size: (p - q >= size - 1e-9).astype(float) for size in (0.1, 0.2, 0.4)}
    parts = [f"no drop {values.weight @ (1 - drop):.0%}"]
    parts += [f"drop >= {size} {values.weight @ of:.1%}" for size, of in large.items()]
    table = Table(title=f"{title}: {', '.join(parts)}")
    heads = ("false flags", "false of flags", *(f"found >= {size}" for size in large), "undecided")
    for head in ("rule", *heads, "rollouts", *(["replayed"] if replay else []), "per found drop"):
        table.add_column(head, justify="left" if head == "rule" else "right")
    for design in designs:
        rates = compiled(design).at(p, q)
        flagged, cost = values.weight @ rates.deviated, values.weight @ rates.rollouts
        right = (values.weight * drop) @ rates.deviated
        table.add_row(
            design.name,
            values.share(rates.deviated, 1 - drop),
            f"{100 * (1 - right / flagged):.0f}",
            *(values.share(rates.deviated, of) for of in large.values()),
            f"{100 * (values.weight @ rates.undecided):.0f}",
            f"{cost:.2f}",
            *([replayed(design)] if replay else []),
            f"{cost / right:.0f}",
        )
    return table


def replayed(design: Design) -> str:
    """Rollouts per verdict over all orders of the mix's outcomes, with the 95 % interval over resampled tasks."""
    stopping, here = compiled(design), mix()
    if stopping.states[:, [0, 2]].max() > OUTCOMES:
        return "-"
    costs = stopping.replayed(here.reference, here.explored, OUTCOMES).rollouts
    sums, sizes = np.bincount(here.task, costs), np.bincount(here.task)
    picks = np.random.default_rng(0).integers(len(sums), size=(2000, len(sums)))
    low, high = np.quantile(sums[picks].sum(1) / sizes[picks].sum(1), [0.025, 0.975])
    return f"{costs.mean():.2f} ({low:.2f}-{high:.2f})"


def main() -> None:
    console = Console(width=190)
    console.print(pairs_table(DESIGNS))
    console.print(values_table("The quick start's mix (%)", mix_values(), DESIGNS, replay=True))
    console.print(values_table("The oracle's turns (exact; %)", oracle_values(), DESIGNS, replay=False))
    curve = [sequential(most, worth) for most in (12, 24, 48) for worth in (40, 50, 60, 70, 80, 120, 150)]
    console.print(values_table("What `worth` buys, on the mix (%)", mix_values(), curve, replay=True))


if __name__ == "__main__":
    main()
