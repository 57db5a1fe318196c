"""Step rewards and verdicts per minute: the paper's released code against the modes of the stage rewards.

    python -m benchmarks.rollouts [--checkpoint FOLDER] [--tasks 50] [--repeats 3] [--data data/benchmark]

Same model, tasks, process and thread for all. Each repeat runs every method once, so that other load on the machine
affects all of them; seconds are CPU seconds. A verdict is one comparison of eq. 5 that passes the filters of the
method's rule, whatever the result. The released code is slow: each repeat plays a random sample of `--draws` of its
rollouts and extrapolates to all. "A proven drop" is the same for all: the rollouts reject "no drop" at an error rate of
5 % (`steca.evidence`); for the released code it is counted in the N rollouts of `fixed`, which have the same
distribution.

Then: how the stages scale with the tasks (`benchmarks.growth`). For the store see `benchmarks.store`. Without
--checkpoint, a policy is trained once as in the quick start's warm-up, and saved under --data.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.growth import QUICKSTART, SEQUENTIAL, in_own_process
from benchmarks.measuring import CpuClock, TimedWorld, machine, warmed_up
from benchmarks.release import Release, draws
from configs.load import load_config
from configs.schema import FactoryConfig
from environments.complete import CompleteWorld
from environments.registry import open_world
from models.checkpoint import CheckpointRef, load, reference
from models.local.transformers_policy import TransformersPolicy
from rollouts.rows import of_type
from rollouts.stages.decide import decide
from rollouts.stages.demonstrate import demonstrate
from rollouts.stages.explore import explore
from rollouts.stages.score import score
from steca.rewards import TIE
from storage.records import DeviationRecord, Record, RolloutRecord

RELEASE = "release"
MEANS = ("rewards.candidates=null", "deviation.preset=paper")
WITHOUT = "datasets.expert_suffixes=false"
METHODS: dict[str, tuple[str, ...]] = {
    "fixed": (*MEANS, "rewards.mode=fixed"),
    "curtailed": (*MEANS, "rewards.mode=curtailed"),
    "curtailed, no D_s": (*MEANS, "rewards.mode=curtailed", WITHOUT),
    "sequential": SEQUENTIAL,
    "sequential, no D_s": (*SEQUENTIAL, WITHOUT),
}
"""The settings of each method, on top of the quick start's. `fixed` always scores what D_s needs."""


@dataclass(frozen=True, slots=True)
class Found:
    """The results of one method."""

    rollouts: int
    verdicts: Counter[str]
    suffixes: Counter[str]
    proven: int


@dataclass(slots=True)
class Measured:
    """One method over the repeats: results, and seconds, in total and by part."""

    found: list[Found] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    parts: list[dict[str, float]] = field(default_factory=list)

    def share(self, part: str) -> float:
        """The median share of a part in the time."""
        return median(p.get(part, 0.0) / s for p, s in zip(self.parts, self.seconds, strict=True))


class Bench:
    """Runs the methods on the same tasks, with the same model."""

    def __init__(self, ref: CheckpointRef, count: int) -> None:
        self.clock, self.count = CpuClock(), count
        config = self._config(METHODS["fixed"])
        world: CompleteWorld = open_world(config.environment)
        first = config.tasks.demonstrations
        tasks = world.tasks("train", first + count, config.seed)[first:]
        self._model, self._tokenizer = load(ref)
        self._digest = ref.digest
        self.records: list[Record] = demonstrate(world, tasks, config)
        self.records += explore(world, self._policy(), self.records, config)
        self.clock.watch(
            self._model
        )  # the released code calls it; a policy may have a forward pass of its own
        self._world: Any = TimedWorld(world, self.clock)
        self._release = Release(self._world, self._model, self._tokenizer, config)
        self._draws = draws(self.records, config.rewards.rollouts)

    def release(self, number: int, rng: random.Random) -> tuple[float, dict[str, float]]:
        """Seconds of all rollouts of the released code, in total and by part, extrapolated from `number` of them."""
        drawn = rng.sample(self._draws, min(number, len(self._draws)))
        self.clock.seconds.clear()
        began = time.process_time()
        for draw in drawn:
            self._release.rollout(draw)
        scale = len(self._draws) / len(drawn)
        seconds = time.process_time() - began
        return seconds * scale, {part: s * scale for part, s in self.clock.seconds.items()}

    def method(self, name: str) -> tuple[float, dict[str, float], Found]:
        """Seconds of one method, in total and by part, and its results. The policy starts with an empty cache."""
        config = self._config(METHODS[name])
        policy = self._policy()
        if policy.model is not self._model:
            self.clock.watch(policy.model)
        self.clock.seconds.clear()
        began = time.process_time()
        scored = score(self._world, policy, self.records, config)
        seconds = time.process_time() - began
        rows = decide([*self.records, *scored], config.deviation, config.rewards)
        suffixes = config.datasets.expert_suffixes
        return seconds, dict(self.clock.seconds), _found(scored, rows, suffixes)

    def found_by_release(self, fixed: Found) -> Found:
        """The released code plays more rollouts than `fixed`, for the same comparisons."""
        return Found(len(self._draws), fixed.verdicts, fixed.suffixes, fixed.proven)

    def _policy(self) -> TransformersPolicy:
        return TransformersPolicy(self._model, self._tokenizer, self._digest)

    def _config(self, settings: Sequence[str]) -> FactoryConfig:
        return load_config(QUICKSTART, list(settings))


def _found(scored: Sequence[Record], rows: Sequence[DeviationRecord], suffixes: bool) -> Found:
    judged = [row for row in rows if row.verdict != "filtered"]
    return Found(
        rollouts=len(of_type(scored, RolloutRecord)),
        verdicts=Counter(row.verdict for row in judged),
        suffixes=Counter(row.expert_is_better for row in rows if suffixes and row.expert_is_better),
        proven=sum(row.gap_high is not None and row.gap_high <= row.delta + TIE for row in judged),
    )


def measure(bench: Bench, repeats: int, number: int) -> dict[str, Measured]:
    """Every method once per repeat, including the released code."""
    rng, measured = random.Random(0), dict[str, Measured]()
    for _ in track(range(repeats), "measuring", transient=True):
        for name in METHODS:
            seconds, parts, found = bench.method(name)
            _add(measured, name, found, seconds, parts)
        found = bench.found_by_release(measured["fixed"].found[-1])
        _add(measured, RELEASE, found, *bench.release(number, rng))
    return {name: measured[name] for name in (RELEASE, *METHODS)}


def _add(
    measured: dict[str, Measured], name: str, found: Found, seconds: float, parts: dict[str, float]
) -> None:
    entry = measured.setdefault(name, Measured())
    entry.found.append(found)
    entry.seconds.append(seconds)
    entry.parts.append(parts)


def faster(measured: dict[str, Measured], name: str, count: Callable[[Found], int]) -> str:
    """Speed-up over the released code per counted item: median (least-most)."""
    ratios = [
        (slow / count(many)) / (fast / count(few))
        for slow, many, fast, few in zip(
            measured[RELEASE].seconds,
            measured[RELEASE].found,
            measured[name].seconds,
            measured[name].found,
            strict=True,
        )
        if count(many) and count(few)
    ]
    return f"{median(ratios):.1f} ({min(ratios):.1f}-{max(ratios):.1f})" if ratios else "-"


def verdicts_table(measured: dict[str, Measured], count: int) -> Table:
    """The rollouts and verdicts of each method."""
    table = Table(title=f"{count} tasks: rollouts and verdicts")
    for heading in (
        "method",
        "rollouts",
        "verdicts",
        "rollouts per verdict",
        "deviated",
        "not",
        "undecided",
        "proven drops among them",
        "D_s: better / not / undecided",
    ):
        table.add_column(heading, justify="left" if heading == "method" else "right")
    for name, entry in measured.items():
        found = entry.found[0]
        total = found.verdicts.total()
        shares = [f"{found.verdicts[key] / max(total, 1):.0%}" for key in _DECISIONS]
        suffixes = " / ".join(str(found.suffixes[key]) for key in ("yes", "no", "undecided"))
        table.add_row(
            name,
            f"{found.rollouts:,}",
            f"{total:,}",
            f"{found.rollouts / max(total, 1):.1f}",
            *shares,
            str(found.proven),
            suffixes if found.suffixes else "-",
        )
    return table


_DECISIONS = ("deviated", "not_deviated", "undecided")


def speed_table(measured: dict[str, Measured]) -> Table:
    """The speed of each method relative to the released code, and where its time goes."""
    table = Table(
        title=f"speed relative to the released code, median (least-most) of {len(measured[RELEASE].seconds)} repeats"
    )
    for heading in (
        "method",
        "CPU seconds",
        "verdicts per minute",
        "x per verdict",
        "x per rollout",
        "x per proven drop",
        "in the environment",
        "outside the forward passes",
    ):
        table.add_column(heading, justify="left" if heading == "method" else "right")
    for name, entry in measured.items():
        found, seconds = entry.found[0], median(entry.seconds)
        forward = entry.share("forward")
        table.add_row(
            name,
            f"{seconds:,.1f}",
            f"{60 * found.verdicts.total() / seconds:,.1f}",
            faster(measured, name, lambda f: f.verdicts.total()),
            faster(measured, name, lambda f: f.rollouts),
            faster(measured, name, lambda f: f.proven),
            f"{entry.share('environment'):.2%}",
            f"{1 - forward:.0%}" if forward else "-",
        )
    return table


def growth_table(sizes: Sequence[int], repeats: int, checkpoint: Path | None) -> Table:
    """Medians over fresh processes, one for each size and repeat."""
    who = "the policy" if checkpoint else "a scripted policy"
    table = Table(title=f"scaling with {who}: medians of {repeats} processes per size")
    for heading in (
        "tasks",
        "rollouts",
        "ms per task",
        "CPU ms per task",
        "peak MB",
        "before the first task",
    ):
        table.add_column(heading, justify="right")
    for size in sizes:
        runs = [in_own_process(size, checkpoint) for _ in range(repeats)]
        wall, peak, before = (median(run[key] for run in runs) for key in ("seconds", "peak", "before"))
        cpu = median(sum(run["cpu"].values()) for run in runs)
        table.add_row(
            f"{size:,}",
            f"{runs[0]['rollouts']:,}",
            f"{wall / size * 1e3:.1f}",
            f"{cpu / size * 1e3:.1f}",
            f"{peak:,.0f}",
            f"{before:,.0f}",
        )
    return table


def main(
    checkpoint: Annotated[Path | None, typer.Option(help="A policy's folder (default: train one).")] = None,
    data: Annotated[Path, typer.Option(help="Folder that stores the trained policy.")] = Path(
        "data/benchmark"
    ),
    tasks: Annotated[int, typer.Option(help="Tasks that every method scores.")] = 50,
    repeats: Annotated[int, typer.Option(help="Repeats of every method.")] = 3,
    draws: Annotated[int, typer.Option(help="Rollouts of the released code per repeat.")] = 40,
    sizes: Annotated[list[int], typer.Option(help="Tasks, scripted policy.")] = [10, 100, 1000],  # noqa: B006
    policy_sizes: Annotated[list[int], typer.Option(help="Tasks, real policy.")] = [10, 100],  # noqa: B006
) -> None:
    torch.set_num_threads(1)
    console = Console(width=180)
    config = load_config(QUICKSTART)
    ref = reference(checkpoint) if checkpoint else warmed_up(open_world(config.environment), config, data)
    console.print(machine())
    measured = measure(Bench(ref, tasks), repeats, draws)
    console.print(verdicts_table(measured, tasks))
    console.print(speed_table(measured))
    console.print(growth_table(sizes, repeats, None))
    console.print(growth_table(policy_sizes, 1, ref.path))
    console.print(f"{machine()} at the end. The store with 1,000,000 steps: python -m benchmarks.store")


if __name__ == "__main__":
    typer.run(main)
