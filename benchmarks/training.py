"""The speed of the trainer: the quick start's warm-up through `models.training`, and in a bare PyTorch loop.

    python -m benchmarks.training [--demonstrations 200] [--steps 30] [--repeats 3] [--threads 1 --threads 2]

Both start from the same new small model and see the same batches: same order, padding, loss, clipping, AdamW step and
learning rates. So their losses must be equal, and the last line says how far they are apart. The bare loop has no
Trainer, no checks of losses, gradients and weights, no log and no progress. Tokens are those of the trajectories,
without padding. Seconds are wall time after the first step; the ratio is also given in CPU seconds, which other work on
the machine changes less. Each repeat measures every way once, one after the other.

Not for a busy machine: there two torch threads wait for each other, and a step takes many times as long.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from transformers import get_scheduler

from benchmarks.growth import QUICKSTART
from benchmarks.measuring import machine, warm_up_inputs
from configs.load import load_config
from configs.training import TrainingConfig
from environments.registry import open_world
from models.checkpoint import CheckpointRef, load
from models.training.examples import Example
from models.training.loop.ordering import FILLER, TrainingOrder
from models.training.objectives.losses import trajectory_losses
from models.training.objectives.objective import Objective
from models.training.train import train, warmup_steps
from models.training.training_data import make_objective

TRAINER, BARE = "the stage's trainer", "bare loop"
MAX_NORM = 1.0
"""The Trainer's default for clipping gradients."""


class Stopwatch:
    """Wall and CPU seconds from the end of the first step to the end of the last one."""

    def __init__(self) -> None:
        self._times: list[tuple[float, float]] = []

    def step_done(self) -> None:
        self._times.append((time.perf_counter(), time.process_time()))

    @property
    def wall(self) -> float:
        return self._times[-1][0] - self._times[0][0]

    @property
    def cpu(self) -> float:
        return self._times[-1][1] - self._times[0][1]


@dataclass(frozen=True, slots=True)
class Run:
    """One training: seconds of the steps after the first, seconds of everything else (load, encode, save; only of the
    trainer), and the loss of each step."""

    wall: float
    cpu: float
    around: float
    losses: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Workload:
    """What both ways train: `config.steps` steps from `base` on `examples`."""

    base: CheckpointRef
    examples: Sequence[Example]
    config: TrainingConfig
    seed: int
    scratch: Path

    @property
    def steps(self) -> int:
        assert self.config.steps
        return self.config.steps

    def objective(self, model: Any, tokenizer: Any) -> Objective:
        cpu = torch.device("cpu")
        return make_objective(self.examples, self.base, model, tokenizer, self.config, cpu)

    def batches(self, objective: Objective) -> list[list[int]]:
        """The items of each step."""
        size = self.config.batch_size
        order = list(TrainingOrder(objective.lengths, size, self.steps, self.seed))
        parts = (order[i : i + size] for i in range(0, len(order), size))
        return [[item for item in part if item != FILLER] for part in parts]

    def tokens(self) -> int:
        """Tokens of the steps that are timed: all but the first."""
        objective = self.objective(*load(self.base))
        return sum(objective.lengths[item] for batch in self.batches(objective)[1:] for item in batch)


def with_trainer(work: Workload) -> Run:
    """`models.training.train.train`, as the stages warmup and train call it."""
    watch, began = Stopwatch(), time.perf_counter()
    result = train(
        work.base,
        work.examples,
        work.config,
        work.scratch,
        work.seed,
        "cpu",
        progress=lambda *_: watch.step_done(),
    )
    around = time.perf_counter() - began - watch.wall
    return Run(watch.wall, watch.cpu, around, tuple(point.loss for point in result.curve))


def with_bare_loop(work: Workload) -> Run:
    """The same steps in a plain loop."""
    model: Any
    model, tokenizer = load(work.base)
    objective, config = work.objective(model, tokenizer), work.config
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    rates = get_scheduler(config.schedule, optimizer, warmup_steps(config, work.steps), work.steps)
    watch, losses = Stopwatch(), []
    model.train()
    for items in work.batches(objective):
        batch = objective.collate(items)
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        each = trajectory_losses(model, inputs, batch["labels"], config.loss)
        loss = (batch["weights"] * each).sum() / len(items)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
        optimizer.step()
        rates.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        watch.step_done()
    return Run(watch.wall, watch.cpu, 0.0, tuple(losses))


WAYS: dict[str, Callable[[Workload], Run]] = {BARE: with_bare_loop, TRAINER: with_trainer}


def measure(work: Workload, threads: Sequence[int], repeats: int) -> dict[tuple[int, str], list[Run]]:
    """Every way once per repeat, with each number of torch threads. A first short round is not counted."""
    short = Workload(
        work.base, work.examples, work.config.model_copy(update={"steps": 3}), work.seed, work.scratch
    )
    for way in WAYS.values():
        way(short)
    found: dict[tuple[int, str], list[Run]] = {(n, name): [] for n in threads for name in WAYS}
    for _ in track(range(repeats), "measuring", transient=True):
        for count, name in found:
            torch.set_num_threads(count)
            found[count, name].append(WAYS[name](work))
    return found


def speed_table(found: dict[tuple[int, str], list[Run]], tokens: int, steps: int) -> Table:
    """Tokens a second and ms a step of both, and what share of the bare loop's speed the trainer reaches."""
    table = Table(title=f"{steps} steps with {tokens:,} tokens; medians (least-most)", title_justify="left")
    for heading in ("torch threads", "way", "tokens/s", "ms a step", "of the bare loop", "by CPU time"):
        table.add_column(heading, justify="left" if heading == "way" else "right")
    for (count, name), runs in found.items():
        bare = found[count, BARE]
        table.add_row(
            str(count),
            name,
            _spread([tokens / run.wall for run in runs], ",.0f"),
            _spread([run.wall / steps * 1e3 for run in runs], ".1f"),
            _spread([slow.wall / run.wall for slow, run in zip(bare, runs, strict=True)], ".0%"),
            _spread([slow.cpu / run.cpu for slow, run in zip(bare, runs, strict=True)], ".0%"),
        )
    return table


def _spread(values: Sequence[float], form: str) -> str:
    low, middle, high = (format(value, form) for value in (min(values), median(values), max(values)))
    return middle if low == high else f"{middle} ({low}-{high})"


def largest_difference(found: dict[tuple[int, str], list[Run]]) -> float:
    """The largest relative difference between losses of the same step."""
    first, *others = [run.losses for runs in found.values() for run in runs]
    pairs = (pair for other in others for pair in zip(first, other, strict=True))
    return max(abs(a - b) / abs(a) for a, b in pairs)


def workload(demonstrations: int, steps: int, scratch: Path, settings: Sequence[str] = ()) -> Workload:
    """The quick start's warm-up, with fewer expert runs and steps."""
    config = load_config(QUICKSTART, [f"tasks.demonstrations={demonstrations}", *settings])
    world = open_world(config.environment)
    base, examples = warm_up_inputs(world, config, scratch)
    return Workload(base, examples, config.warmup.model_copy(update={"steps": steps}), config.seed, scratch)


def main(
    demonstrations: Annotated[int, typer.Option(help="Expert runs to train on.")] = 200,
    steps: Annotated[int, typer.Option(help="Optimizer steps of each training.", min=2)] = 30,
    repeats: Annotated[int, typer.Option(help="Repeats of every way.")] = 3,
    threads: Annotated[list[int], typer.Option(help="Numbers of torch threads.")] = [1, 2],  # noqa: B006
) -> None:
    torch.set_num_threads(1)
    console = Console(width=130)
    console.print(machine())
    with tempfile.TemporaryDirectory() as scratch:
        work = workload(demonstrations, steps, Path(scratch))
        tokens = work.tokens()
        found = measure(work, threads, repeats)
    console.print(speed_table(found, tokens, steps - 1))
    around = median(run.around for (_, name), runs in found.items() if name == TRAINER for run in runs)
    console.print(f"The trainer takes {around:.1f} s more for the rest: load, encode, first step, save.")
    console.print(
        f"Losses of the same step differ by at most {largest_difference(found):.1e} of their value."
    )
    console.print(f"{machine()} at the end")


if __name__ == "__main__":
    typer.run(main)
