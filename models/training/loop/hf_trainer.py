"""Everything of transformers' Trainer and of accelerate that training depends on and that is not public, in one place.

Tested with transformers 5.24.0 and accelerate 1.15.0. `tests/models/training/loop/test_hf_trainer.py` fails with the
name of whatever a newer version has removed or no longer calls.

| internal | what we use it for |
| --- | --- |
| `Trainer.get_batch_samples` | the number of items of an optimizer step, over all micro-batches and processes |
| `Trainer.loss_is_scaled_for_ga` | `compute_loss` divides by that number, so the Trainer must not divide again |
| `Trainer._get_grad_norm` | the last point of a step at which no weight has changed |
| `Trainer._get_train_sampler` | our own order of items |
| `Trainer._save_checkpoint` | checking the weights before a state is written and sealing it afterwards |
| `Trainer._prepare_inputs`, `.model_wrapped`, `._get_learning_rate` | one more loss after the last step; messages |
| `TrainingArguments._n_gpu` | one device per process |
| `model._original_forward` | where accelerate keeps the forward pass that it wraps in autocast |
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers import Trainer, TrainingArguments

from models.file_errors import writing_model

MicroBatch = dict[str, torch.Tensor]


class HookedTrainer(Trainer):
    """The Trainer with named hooks in place of its internals; a subclass implements all hooks."""

    loss_is_scaled_for_ga = True

    def training_order(self) -> Sampler[int]:
        """The indices of the items of the whole training, in order."""
        raise NotImplementedError

    def begin_step(self, micro_batches: list[MicroBatch], device: torch.device) -> int:
        """Called with this process's micro-batches of the next optimizer step. Returns what `micro_batch_loss` gets as
        `step_size`: the number of items of the step over all processes."""
        raise NotImplementedError

    def micro_batch_loss(self, model: torch.nn.Module, inputs: MicroBatch, step_size: int) -> torch.Tensor:
        raise NotImplementedError

    def check_step(self, gradient_norm: float) -> None:
        """Called after the last backward pass of a step, before it changes any weight."""
        raise NotImplementedError

    def step_metrics(self) -> dict[str, float]:
        """Called after each step: what its log gets besides loss, learning rate and gradient norm."""
        raise NotImplementedError

    def check_weights(self, model: torch.nn.Module) -> None:
        """Called before a state is written."""
        raise NotImplementedError

    def seal_state(self, folder: Path) -> None:
        """Called in the first process, once all processes have written their part of a state."""
        raise NotImplementedError

    def wrapped_loss(self, inputs: MicroBatch) -> torch.Tensor:
        """What the model returns as it is wrapped for training (DDP, FSDP, autocast), on the right device."""
        model: Any = self.model_wrapped
        prepared: Any = self._prepare_inputs(inputs)
        loss: torch.Tensor = model(**prepared)
        return loss

    def current_learning_rate(self) -> float:
        return float(self._get_learning_rate())

    # The Trainer's own names

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], int]:
        micro_batches = [next(epoch_iterator) for _ in range(num_batches)]
        return micro_batches, self.begin_step(micro_batches, device)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: MicroBatch,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        assert num_items_in_batch, "every step has an item"
        return self.micro_batch_loss(model, inputs, int(num_items_in_batch))

    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm)
        self.check_step(float(norm))
        return norm

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        super().log({**logs, **self.step_metrics()} if "loss" in logs else logs, start_time)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return self.training_order()

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        self.check_weights(model)
        states = Path(str(self.args.output_dir))
        with writing_model("the state of a training", states):
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                self.seal_state(states / f"checkpoint-{self.state.global_step}")


def use_one_device(args: TrainingArguments) -> None:
    """Use one device per process: by default the Trainer spreads a batch over all visible ones."""
    args._n_gpu = min(args.n_gpu, 1)


def restore_forward(model: torch.nn.Module) -> None:
    """Undo `losses.return_losses` and accelerate's wrappers: use the forward pass of the model's class again."""
    model.__dict__.pop("forward", None)
    model.__dict__.pop("_original_forward", None)
