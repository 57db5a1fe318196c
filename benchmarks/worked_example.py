"""What a large run needs, worked out from a small one: turns, tokens, hours and dollars a stage.

    python -m benchmarks.worked_example --run RUN [--data-dir data] [--tasks 2851] [--gpus 8] [--turns-per-second 10]
        [--trained-tokens-per-second 2040] [--epochs 3] [--gpu-dollars 2.5]

A run's `stage_costs`, divided by its explored tasks, say how many turns a task costs in explore, rewards and calibrate.
The speeds are those of one GPU: the defaults were measured for a model of the size of Llama-3-8B, turns on the local
engine (docs/language-models.md). Measure vLLM's on your machine (`python -m benchmarks.serving`), and give it here.
Trained tokens are those of the run's own tasks, times `--epochs`.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from storage.store import Store

COUNTED = """
SELECT stage, sum(turns), sum(trained_tokens) FROM stage_costs
WHERE run_id = ? AND stage IN ('explore', 'rewards', 'calibrate', 'train') GROUP BY stage
"""
EXPLORED = "SELECT count(DISTINCT task_id) FROM run_trajectories WHERE run_id = ? AND kind = 'explored'"


@dataclass(frozen=True)
class Speed:
    """Of one GPU: turns a second, trained tokens a second, dollars an hour."""

    turns: float
    trained_tokens: float
    dollars: float


@dataclass(frozen=True)
class Need:
    """What a stage needs: turns to play, tokens to train on, GPU hours."""

    stage: str
    turns: float
    trained_tokens: float
    gpu_hours: float


def needs(store: Store, run: str, tasks: int, speed: Speed, epochs: int) -> list[Need]:
    """The needs of each stage for `tasks` explored tasks. Ends the program if the run explored none."""
    (explored,) = store.query(EXPLORED, [run])[1][0]
    if not explored:
        raise SystemExit(f"run {run} has no explored task: steca status lists the runs")
    found = {stage: (turns or 0, tokens or 0) for stage, turns, tokens in store.query(COUNTED, [run])[1]}
    wanted = []
    for stage in ("explore", "rewards", "calibrate", "train"):
        turns, tokens = found.get(stage, (0, 0))
        turns, tokens = turns / explored * tasks, tokens / explored * tasks * epochs
        hours = (turns / speed.turns + tokens / speed.trained_tokens) / 3600
        wanted.append(Need(stage, turns, tokens, hours))
    return wanted


def table(found: list[Need], gpus: int, speed: Speed, title: str) -> Table:
    out = Table("stage", title=title, title_justify="left")
    for name in ("turns", "trained tokens", "GPU hours", f"hours on {gpus} GPUs", "dollars"):
        out.add_column(name, justify="right")
    turns, tokens = sum(one.turns for one in found), sum(one.trained_tokens for one in found)
    for one in (*found, Need("all", turns, tokens, sum(one.gpu_hours for one in found))):
        out.add_row(
            one.stage,
            f"{one.turns:,.0f}",
            f"{one.trained_tokens:,.0f}",
            f"{one.gpu_hours:,.1f}",
            f"{one.gpu_hours / gpus:,.1f}",
            f"{one.gpu_hours * speed.dollars:,.0f}",
        )
    return out


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", required=True)
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--tasks", type=int, nargs="+", default=[2851])
    parser.add_argument("--gpus", type=int, default=8)
    parser.add_argument("--turns-per-second", type=float, nargs="+", default=[10.0])
    parser.add_argument("--trained-tokens-per-second", type=float, default=2040.0)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--gpu-dollars", type=float, default=2.5)
    given = parser.parse_args()
    console, store = Console(width=110), Store(given.data_dir)
    for tasks in given.tasks:
        for turns in given.turns_per_second:
            speed = Speed(turns, given.trained_tokens_per_second, given.gpu_dollars)
            title = f"{tasks:,} explored tasks, {turns:g} turns and {speed.trained_tokens:g} trained tokens/s a GPU"
            console.print(
                table(needs(store, given.run, tasks, speed, given.epochs), given.gpus, speed, title)
            )


if __name__ == "__main__":
    main()
