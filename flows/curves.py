"""Training curves: loss, learning rate, gradient norm and preferences of a run's trainings as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.faults import StageFault
from flows.figures import write_figure
from flows.wording import no_runs
from storage.records import CheckpointRecord
from storage.runs import RunFolder, any_runs, list_runs, run_called
from storage.shards import ShardStore

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRAININGS = ("warmup", "train")
NOT_STORED = "not stored by the version\nthat trained it"
NO_PREFERENCES = "learned from no preferences"
"""What a picture says where a training has no such values."""


def curve_file(folder: RunFolder, stage: str, round: int) -> Path:
    """The file of a training stage's curves."""
    return folder.folder / "curves" / f"{round}-{stage}.png"


def draw_run(root: Path, run: str | None, out: Path | None) -> Path:
    """Draw all finished trainings of a run (None: the newest; else as `run_called` finds it) side by side. Returns the
    file. Raises StageFault if there is none, StorageFault for an unknown run."""
    folder = RunFolder(root, run_called(root, run) if run and any_runs(root) else _newest(root))
    folder.load()
    trainings = trainings_of(folder)
    if not trainings:
        raise StageFault(f"run {folder.run_id} has no finished training yet: nothing to draw")
    file = out or folder.folder / "curves" / "all.png"
    draw(trainings, file)
    return file


def trainings_of(folder: RunFolder) -> list[CheckpointRecord]:
    """The checkpoints of a run's finished training stages, in the order of rounds."""
    shards = ShardStore(folder.root)
    states = [s for s in folder.stages() if s.stage in TRAININGS and s.status == "completed"]
    return [
        record
        for state in sorted(states, key=lambda state: state.round)
        for ref in state.batches
        for record in shards.read(ref, CheckpointRecord)
    ]


def draw(trainings: Sequence[CheckpointRecord], file: Path) -> None:
    """Write the curves of trainings, as `curves` draws them."""
    write_figure(curves(trainings), file)


def curves(trainings: Sequence[CheckpointRecord]) -> Figure:
    """One column a training: loss, learning rate and gradient norm over the optimizer steps, one below the other. Below
    them accuracy and margin, if one of the trainings learned from preferences."""
    from matplotlib.figure import Figure

    rows = 5 if any(training.preference_margins for training in trainings) else 3
    figure = Figure(figsize=(1.5 + 4.5 * len(trainings), 2.5 * rows), layout="constrained")
    grid = figure.subplots(rows, len(trainings), sharex="col", squeeze=False)
    for column, training in enumerate(trainings):
        loss, rate, norm, *preferences = grid[:, column]
        loss.set_title(_title(training), fontsize=10)
        _noisy(loss, training.losses, "loss")
        _line(rate, training.learning_rates, "learning rate")
        _noisy(norm, training.gradient_norms, "gradient norm")
        if preferences:
            accuracy, margin = preferences
            _line(accuracy, training.preference_accuracies, "preference accuracy", NO_PREFERENCES)
            _line(margin, training.preference_margins, "preference margin", NO_PREFERENCES)
        grid[-1, column].set_xlabel("optimizer step")
    for axes in grid.flat:
        axes.grid(alpha=0.3)
    return figure


def smoothed(values: Sequence[float]) -> list[float]:
    """Mean of the last values at each step, over a thirtieth of the training: 5 steps or more."""
    span = max(5, len(values) // 30)
    windows = [values[max(0, end - span) : end] for end in range(1, len(values) + 1)]
    return [sum(window) / len(window) for window in windows]


def _noisy(axes: Any, values: Sequence[float] | None, name: str) -> None:
    """Every step, faint, and the smoothed curve; on a log scale where it falls by a factor of 3 or more."""
    from matplotlib.ticker import LogLocator, NullLocator

    _line(axes, values, name, alpha=0.3, label="each step")
    if values:
        axes.plot(range(1, len(values) + 1), smoothed(values), color="C0", linewidth=1.8, label="smoothed")
        axes.legend(fontsize=8)
        if 0 < 3 * min(values) < max(values):
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_formatter("{x:g}")


def _line(
    axes: Any, values: Sequence[float] | None, name: str, without: str = NOT_STORED, **style: Any
) -> None:
    axes.set_ylabel(name)
    if not values:
        axes.text(0.5, 0.5, without, ha="center", transform=axes.transAxes)
        return
    marker = "o" if len(values) < 30 else None
    axes.plot(range(1, len(values) + 1), values, color="C0", marker=marker, markersize=3, **style)


def _title(training: CheckpointRecord) -> str:
    what = "warm-up" if training.role == "warmup" else f"training, round {training.round}"
    size = (
        f"{training.parameters / 1e9:.1f} B"
        if training.parameters >= 1e9
        else f"{training.parameters / 1e6:.2f} M"
    )
    return f"{what} ({training.digest[:8]})\n{training.examples:,} examples, {training.steps:,} steps, {size} weights"


def _newest(root: Path) -> str:
    runs = list_runs(root)
    if not runs:
        raise StageFault(no_runs(root))
    return runs[-1].run_id
