"""Preference training in several processes: the same as in one, and clear when it fails."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from configs.training import LoraConfig, TrainingConfig
from models.checkpoint import CheckpointRef, load
from models.policy import PolicyFault
from models.training.distributed.launching import LaunchConfig, train_in_processes
from models.training.objectives.preferences import Preferences
from models.training.train import Saving, TrainResult, train
from steca.preferences import PreferenceLoss
from tests.support.fsdp_on_cpu import shard_on_cpu
from tests.support.policy_toys import checkpoint, overflowing_model, rewriting_model, untrained
from tests.support.preference_toys import pairs, preferences, wrong_places
from tests.support.tiny_factory import ROOT

CONFIG = TrainingConfig(epochs=2, batch_size=4, learning_rate=1e-3)  # one pair in the last batch of an epoch
FSDP = ROOT / "configs" / "accelerate" / "fsdp.yaml"
LOSS = PreferenceLoss(beta=0.3, sft_weight=0.1)

pytestmark = pytest.mark.slow


def weights_of(ref: CheckpointRef) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in load(ref)[0].parameters()])


def in_one(root: Path, data: Preferences, config: TrainingConfig, base: CheckpointRef) -> TrainResult:
    return train(base, data, config, root / "one", 3, "cpu")


def in_two(
    root: Path, data: Preferences, config: TrainingConfig, base: CheckpointRef, file: Path | None = None
) -> TrainResult:
    launch = LaunchConfig(2, file, threads=1)
    return train_in_processes(base, data, config, root / "two", launch, Saving(root / "state", 3), 3, "cpu")


def check_equal(one: TrainResult, two: TrainResult, near: float) -> None:
    assert [p.loss for p in two.curve] == pytest.approx([p.loss for p in one.curve], rel=near)
    later = slice(1, None)  # at first, margins are zero but for rounding
    for name in ("preference_margin", "preference_accuracy"):
        values = [[getattr(point, name) for point in result.curve[later]] for result in (one, two)]
        assert values[1] == pytest.approx(values[0], rel=50 * near, abs=near), name
    assert torch.allclose(weights_of(one.ref), weights_of(two.ref), atol=near)
    assert (two.examples, two.target_tokens) == (one.examples, one.target_tokens)


@pytest.mark.parametrize("rewriting", [False, True], ids=["one sequence", "several sequences"])
def test_two_processes_give_what_one_gives_and_share_the_reference(tmp_path: Path, rewriting: bool) -> None:
    """In the last step of an epoch one of them has fillers alone."""
    base = rewriting_model() if rewriting else untrained()
    given, other = pairs(9), checkpoint(tmp_path / "other", seed=1)
    one = in_one(tmp_path, preferences(given, tmp_path / "a", other, LOSS), CONFIG, base)
    two = in_two(tmp_path, preferences(given, tmp_path / "b", other, LOSS), CONFIG, base)
    assert len(two.curve) == 6
    check_equal(one, two, 1e-5)
    files = [next((tmp_path / name).iterdir()) for name in "ab"]
    assert files[0].name == files[1].name
    assert files[0].read_text() == files[1].read_text(), (
        "the same numbers bit by bit, so that either file serves"
    )


@pytest.mark.parametrize(
    "changes", [{}, {"lora": LoraConfig(rank=4)}, {"gradient_accumulation": 2}], ids=["full", "lora", "parts"]
)
def test_a_sharded_model_gives_what_one_process_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object]
) -> None:
    shard_on_cpu(monkeypatch)
    config = CONFIG.model_copy(update=changes)
    data = preferences(pairs(9), tmp_path / "cache", loss=LOSS)
    one = in_one(tmp_path, data, config, untrained())
    check_equal(one, in_two(tmp_path, data, config, untrained(), FSDP), 1e-4)


def test_a_launched_training_resumes_with_the_same_reference(tmp_path: Path) -> None:
    data = preferences(pairs(9), tmp_path / "cache", loss=LOSS)
    launch, saving = LaunchConfig(2, threads=1), Saving(tmp_path / "state", 3)

    def stop(step: int, of: int, loss: float) -> None:
        if step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_in_processes(untrained(), data, CONFIG, tmp_path / "two", launch, saving, 3, "cpu", stop)
    assert (tmp_path / "state" / "checkpoint-3").is_dir()
    (file,) = (tmp_path / "cache").iterdir()
    written = file.stat().st_mtime_ns
    done: list[int] = []
    two = train_in_processes(
        untrained(),
        data,
        CONFIG,
        tmp_path / "two",
        launch,
        saving,
        3,
        "cpu",
        lambda step, *_: done.append(step),
    )
    assert done == [4, 5, 6]
    assert file.stat().st_mtime_ns == written
    check_equal(in_one(tmp_path, data, CONFIG, untrained()), two, 1e-5)


def test_a_pair_that_overflows_in_one_process_is_named_and_stops_the_other(tmp_path: Path) -> None:
    base = overflowing_model(tmp_path / "base", " shelf 3")
    given = wrong_places("shelf 1", "drawer 2", "shelf 3", "drawer 4")
    config = TrainingConfig(steps=3, batch_size=4)
    with pytest.raises(PolicyFault, match="training step 1 of 3: the loss of shelf 3 is not a finite number"):
        in_two(tmp_path, preferences(given, tmp_path / "cache"), config, base)
    with pytest.raises(
        PolicyFault, match=r"log-probability of shelf 3 \(rejected\) under the reference model"
    ):
        in_two(tmp_path, preferences(given, tmp_path / "cache", base), config, base)
    assert not (tmp_path / "two").exists()
