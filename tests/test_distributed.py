"""Training in several processes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from policy_toys import conversation, untrained

from configs.training import TrainingConfig
from models.checkpoint import CheckpointRef, load
from models.encoding import Example
from models.launching import Launch, train_launched
from models.training import Saving, train


UNEQUAL = [Example(f"e{i}", conversation(i, 1 + i % 4), [True] * (1 + i % 4), 0.2 + i % 3) for i in range(11)]


def weights_of(ref: CheckpointRef) -> torch.Tensor:
    return torch.cat([p.flatten() for p in load(ref)[0].parameters()])


def test_two(tmp_path: Path) -> None:
    config = TrainingConfig(epochs=2, batch_size=4, learning_rate=1e-3)
    one = train(untrained(), UNEQUAL, config, tmp_path / "one", 3, "cpu")
    told = []
    two = train_launched(
        untrained(), UNEQUAL, config, tmp_path / "two", Launch(2, threads=1), Saving(tmp_path / "s", 100), 3, "cpu", lambda *a: told.append(a)
    )
    assert told
    assert [p.loss for p in two.curve] == pytest.approx([p.loss for p in one.curve], rel=1e-4)
    assert torch.allclose(weights_of(one.ref), weights_of(two.ref), atol=1e-5)
