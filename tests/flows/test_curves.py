"""The curves of a run's trainings: drawn as they are trained, and on demand."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.image import imread
from typer.testing import CliRunner

from cli.main import app
from configs.schema import FactoryConfig
from flows.curves import curve_file, draw, smoothed, trainings_of
from flows.runs.run import folder_of
from storage.columns import RECORD_OF_TABLE
from storage.records import CheckpointRecord, Record
from storage.shards import ShardStore
from storage.store import Store
from tests.support.store_rows import checkpoint


def coloured(file: Path) -> int:
    """Pixels of the curves' blue, faint or full."""
    picture = imread(file)[..., :3]
    return int(((picture[..., 2] - picture[..., 0]) > 0.15).sum())


def curve(**changes: object) -> CheckpointRecord:
    steps = {"losses": [9.0, 4.0, 2.0], "learning_rates": [0.0, 1.0, 0.5], "gradient_norms": [8.0, 5.0, 1.0]}
    return checkpoint("c0").model_copy(update={**steps, **changes})


def test_a_run_leaves_the_curves_of_each_training_and_draws_them_together(
    finished: FactoryConfig, tmp_path: Path
) -> None:
    folder = folder_of(finished)
    for stage, round in (("warmup", 0), ("train", 1)):
        assert coloured(curve_file(folder, stage, round)) > 500
    warmup, trained = trainings_of(folder)
    assert (warmup.role, trained.role) == ("warmup", "trained")
    for training in (warmup, trained):
        assert training.learning_rates is not None
        assert training.gradient_norms is not None
        assert len(training.losses) == len(training.learning_rates) == len(training.gradient_norms)
        assert min(training.gradient_norms) > 0
    out = tmp_path / "both.png"
    given = ["curves", "--data-dir", str(finished.data_dir), "--run", folder.run_id, "--out", str(out)]
    answer = CliRunner().invoke(app, given)
    assert (answer.exit_code, answer.output.strip()) == (0, str(out)), answer.output
    assert imread(out).shape[1] > 1.5 * imread(curve_file(folder, "warmup", 0)).shape[1], "side by side"


def test_there_is_nothing_to_draw_where_nothing_was_trained(tmp_path: Path) -> None:
    answer = CliRunner().invoke(app, ["curves", "--data-dir", str(tmp_path)])
    assert answer.exit_code == 1
    assert "no runs in" in answer.stderr


def test_what_an_older_version_did_not_store_is_said_in_its_place(tmp_path: Path) -> None:
    draw([curve()], tmp_path / "whole.png")
    draw([curve(learning_rates=None, gradient_norms=None)], tmp_path / "old.png")
    assert 0 < coloured(tmp_path / "old.png") < coloured(tmp_path / "whole.png")


def test_accuracy_and_margin_are_drawn_where_a_training_learned_preferences(tmp_path: Path) -> None:
    learned = curve(preference_accuracies=[0.5, 0.75, 1.0], preference_margins=[0.0, 0.2, 0.4])
    draw([curve()], tmp_path / "without.png")
    draw([curve(), learned], tmp_path / "both.png")
    assert imread(tmp_path / "both.png").shape[0] > 1.5 * imread(tmp_path / "without.png").shape[0]
    assert coloured(tmp_path / "both.png") > 2 * coloured(tmp_path / "without.png")


def test_smoothing_is_the_mean_of_the_last_steps() -> None:
    assert smoothed([1.0, 3.0]) == [1.0, 2.0]
    assert smoothed([float(i) for i in range(1, 8)])[-1] == pytest.approx(5.0)
    assert len(smoothed([0.0] * 300)) == 300


class OldCheckpoint(Record):
    """The record before schema 4."""

    table = "checkpoints"
    key = ("digest",)
    digest: str = "c1"
    path: str = "checkpoints/c1"
    parent: str | None = None
    role: str = "warmup"
    round: int = 0
    examples: int = 1
    steps: int = 1
    target_tokens: int = 1
    final_loss: float = 1.0
    losses: list[float] = [1.0]  # noqa: RUF012
    parameters: int = 1


def test_shards_of_an_older_version_are_read_and_ingested_without_their_rates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = ShardStore(tmp_path)
    with monkeypatch.context() as older:
        older.setitem(RECORD_OF_TABLE, "checkpoints", OldCheckpoint)
        old = shards.write_batch("warmup-1", "b0", [OldCheckpoint()])
    shards.write_batch("warmup-2", "b0", [curve()])
    (read,) = shards.read(old, CheckpointRecord)
    assert (read.losses, read.learning_rates, read.gradient_norms) == ([1.0], None, None)
    Store(tmp_path).ingest()
    rows = Store(tmp_path).query("SELECT digest, learning_rates FROM checkpoints ORDER BY 1")[1]
    assert rows == [("c0", [0.0, 1.0, 0.5]), ("c1", None)]
