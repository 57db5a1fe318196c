"""What training depends on in transformers' Trainer and in accelerate is still there and still called
(models/training/loop/hf_trainer.py)."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import accelerate
import pytest
import transformers
from accelerate import accelerator
from transformers import Trainer, TrainingArguments

from configs.training import TrainingConfig
from models.training.loop.hf_trainer import use_one_device
from models.training.loop.trainer import ObjectiveTrainer
from models.training.train import Saving, train
from tests.support.policy_toys import examples, untrained

HERE = f"transformers {transformers.__version__}, accelerate {accelerate.__version__}"
OVERRIDDEN = {
    "get_batch_samples": ["self", "epoch_iterator", "num_batches", "device"],
    "compute_loss": ["self", "model", "inputs", "return_outputs", "num_items_in_batch"],
    "_get_grad_norm": ["self", "model", "grad_norm"],
    "log": ["self", "logs", "start_time"],
    "_get_train_sampler": ["self", "train_dataset"],
    "_save_checkpoint": ["self", "model", "trial"],
}
USED = ("_prepare_inputs", "_get_learning_rate", "loss_is_scaled_for_ga")
HOOKS = (
    "training_order",
    "begin_step",
    "micro_batch_loss",
    "check_step",
    "step_metrics",
    "check_weights",
    "seal_state",
)


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_the_trainer_has_the_methods_that_we_override(name: str) -> None:
    method = getattr(Trainer, name, None)
    assert method, f"Trainer.{name} is gone, which models/training/loop/hf_trainer.py overrides ({HERE})"
    parameters = list(inspect.signature(method).parameters)
    assert parameters == OVERRIDDEN[name], f"Trainer.{name} has other parameters: {parameters} ({HERE})"


@pytest.mark.parametrize("name", USED)
def test_the_trainer_has_what_we_use(name: str) -> None:
    assert hasattr(Trainer, name), (
        f"Trainer.{name} is gone, which models/training/loop/hf_trainer.py uses ({HERE})"
    )


def test_a_training_calls_every_hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A method that is overridden but no longer called would fail silently: NaN would be saved, examples reordered."""
    called = set[str]()

    def recorded(name: str) -> Any:
        original = getattr(ObjectiveTrainer, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            called.add(name)
            return original(*args, **kwargs)

        return call

    for name in HOOKS:
        monkeypatch.setattr(ObjectiveTrainer, name, recorded(name))
    config = TrainingConfig(steps=2, batch_size=2, learning_rate=1e-3)
    train(untrained(), examples(4), config, tmp_path, device="cpu", saving=Saving(tmp_path / "state", 1))
    never = set(HOOKS) - called
    assert not never, (
        f"the Trainer no longer calls what models/training/loop/hf_trainer.py maps to {never} ({HERE})"
    )


def test_one_device_per_process(tmp_path: Path) -> None:
    args = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none")
    args._n_gpu = 4
    use_one_device(args)
    assert args.n_gpu == 1, f"TrainingArguments.n_gpu is not read from _n_gpu any more ({HERE})"


def test_accelerate_keeps_the_forward_pass_that_it_wraps() -> None:
    source = inspect.getsource(accelerator)
    assert "model._original_forward = model.forward" in source, f"accelerate keeps it elsewhere ({HERE})"
