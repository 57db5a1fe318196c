"""A Trainer with per-example weights, exact over micro-batches and processes, that stops at non-finite numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from models.policy import PolicyFault
from models.training.divergence import divergence_message, first_nonfinite_weight, shortened
from models.training.encoding import Collator, Encoded
from models.training.hf_trainer import HookedTrainer, MicroBatch
from models.training.ordering import FILLER, TrainingOrder
from models.training.states import seal_and_prune

Item = tuple[int, Encoded]
"""An example and its index in the training set."""


class ExampleDataset(Dataset[Item | None]):
    """The training set by index; None at FILLER. `names` are for messages."""

    def __init__(self, encoded: Sequence[Encoded], names: Sequence[str]) -> None:
        self._encoded, self.names = encoded, names
        self.lengths = [len(item["input_ids"]) for item in encoded]

    def __len__(self) -> int:
        return len(self._encoded)

    def __getitem__(self, index: int) -> Item | None:
        return None if index == FILLER else (index, self._encoded[index])

    def shortest(self) -> Item:
        index = min(range(len(self)), key=self.lengths.__getitem__)
        return index, self._encoded[index]


class MicroBatchCollator:
    """Makes micro-batches: the collator's tensors, `indices` [sequences] of their examples, and `trajectories`, their
    number. A micro-batch of fillers alone is one example of weight 0, since every process must join each pass."""

    def __init__(self, collator: Collator, examples: ExampleDataset) -> None:
        self._collator = collator
        index, item = examples.shortest()
        self._weightless: Item = index, {**item, "weight": 0.0}

    def __call__(self, items: Sequence[Item | None]) -> MicroBatch:
        real = [item for item in items if item is not None]
        given = real or [self._weightless]
        return {
            **self._collator([encoded for _, encoded in given]),
            "indices": torch.tensor([index for index, encoded in given for _ in encoded["lengths"]]),
            "trajectories": torch.tensor(len(real)),
        }


class WeightedTrainer(HookedTrainer):
    """Minimises the mean of weight * trajectory loss over the trajectories of one optimizer step, across its
    micro-batches and all processes. The model must return losses (`models.training.losses.return_losses`).

    Raises PolicyFault, in all processes at the same step, before a non-finite loss or gradient changes a weight and
    before non-finite weights are saved."""

    def begin_step(self, micro_batches: list[MicroBatch], device: torch.device) -> int:
        self._indices = torch.cat([batch.pop("indices") for batch in micro_batches])
        self._losses: list[torch.Tensor] = []
        own = torch.stack([batch.pop("trajectories") for batch in micro_batches]).sum().to(device)
        return int(self.accelerator.reduce(own, "sum"))

    def micro_batch_loss(self, model: torch.nn.Module, inputs: MicroBatch, step_size: int) -> torch.Tensor:
        """This micro-batch's share of L: its weighted losses over the number of trajectories of the whole step, times
        the number of processes, because DDP and FSDP average the processes' gradients."""
        weights = inputs.pop("weights")
        losses = model(**inputs)
        self._losses.append(losses.detach())
        return (weights * losses).sum() * self.args.world_size / step_size

    def check_final_loss(self) -> None:
        """Check the trained model after the last step, since no further step does. Raises PolicyFault if the loss of
        an example is not finite."""
        examples: Any = self.train_dataset
        index, item = examples.shortest()
        collate: Any = self.data_collator
        batch = collate([(index, item)])
        with torch.no_grad():
            losses = self.wrapped_loss(
                {name: batch[name] for name in ("input_ids", "attention_mask", "labels")}
            )
        if self._in_any_process(not bool(losses.isfinite().all())):
            raise self._fault(
                f"after the last training step ({self.state.global_step}), the loss of "
                f"{examples.names[index]} is not a finite number"
            )

    def check_step(self, gradient_norm: float) -> None:
        nonfinite = ~torch.cat(self._losses).isfinite().cpu()
        if self._in_any_process(bool(nonfinite.any()) or not math.isfinite(gradient_norm)):
            raise self._fault(self._nonfinite_step(self._indices[nonfinite], gradient_norm))

    def _nonfinite_step(self, indices: torch.Tensor, norm: float) -> str:
        """What is not finite in this step: the examples whose losses are not, over all processes; all examples of the
        step if only the gradient is not."""
        examples: Any = self.train_dataset
        marks = torch.zeros(len(examples), dtype=torch.long)
        marks[indices] = 1
        found = self.accelerator.reduce(marks.to(self.args.device), "sum").nonzero()[:, 0].tolist()
        step, order = self.state.global_step, self.training_order()
        size = len(order) // self.args.max_steps
        batch = [i for i in islice(order, step * size, (step + 1) * size) if i != FILLER]
        what = "loss" if found else f"gradient's norm ({norm})"
        names = shortened([examples.names[i] for i in found or batch])
        return (
            f"training step {step + 1} of {self.args.max_steps}: the {what} of {names} is not a finite number"
        )

    def _in_any_process(self, condition: bool) -> bool:
        """Whether the condition holds in any process; the same answer in all of them."""
        flag = torch.tensor(int(condition), device=self.args.device)
        return bool(self.accelerator.reduce(flag, "sum"))

    def _fault(self, what: str) -> PolicyFault:
        states = None if self.args.save_strategy == "no" else Path(str(self.args.output_dir))
        has_changed = self.state.global_step > 0
        return PolicyFault(divergence_message(what, self.current_learning_rate(), has_changed, states))

    def training_order(self) -> TrainingOrder:
        examples: Any = self.train_dataset
        batch = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        return TrainingOrder(examples.lengths, batch, self.args.max_steps, self.args.seed)

    def check_weights(self, model: torch.nn.Module) -> None:
        name = first_nonfinite_weight(model)
        if self._in_any_process(name is not None):
            what = f"the weight {name}" if name else "a weight"
            raise self._fault(
                f"training step {self.state.global_step} of {self.args.max_steps}: {what} is no longer finite"
            )

    def seal_state(self, folder: Path) -> None:
        seal_and_prune(folder)
