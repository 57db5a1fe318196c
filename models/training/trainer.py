"""transformers' Trainer with what it lacks: per-example weights, exact over parts and processes, and sound states."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset
from transformers import Trainer

from models.policy import PolicyFault
from models.training.divergence import diverged, first_unsound, some
from models.training.encoding import Collator, Encoded
from models.training.ordering import FILLER, TrainingOrder
from models.training.states import keep_only

Item = tuple[int, Encoded]
"""An example and its place in the training set."""


class Examples(Dataset[Item | None]):
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


class PartCollator:
    """A part of an optimizer step: the collator's tensors, `indices` [sequences] of their examples and `trajectories`,
    how many it holds. A part of fillers alone is one example of weight 0, since every process has to join each pass."""

    def __init__(self, collator: Collator, examples: Examples) -> None:
        self._collator = collator
        index, item = examples.shortest()
        self._nothing: Item = index, {**item, "weight": 0.0}

    def __call__(self, items: Sequence[Item | None]) -> dict[str, torch.Tensor]:
        real = [item for item in items if item is not None]
        given = real or [self._nothing]
        return {
            **self._collator([encoded for _, encoded in given]),
            "indices": torch.tensor([index for index, encoded in given for _ in encoded["lengths"]]),
            "trajectories": torch.tensor(len(real)),
        }


class WeightedTrainer(Trainer):
    """Minimises the mean of weight * trajectory loss over the trajectories of one optimizer step, those of all its
    parts on all processes. The model gives losses (`models.training.losses.give_losses`).

    Raises PolicyFault, in all processes at the same step, before a loss or a gradient that is not finite changes a
    weight, and before weights that are not finite are kept."""

    loss_is_scaled_for_ga = True

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], int]:
        """This process's parts of the next optimizer step, and how many trajectories all processes' parts hold."""
        parts = [next(epoch_iterator) for _ in range(num_batches)]
        self._indices = torch.cat([part.pop("indices") for part in parts])
        self._losses: list[torch.Tensor] = []
        mine = torch.stack([part.pop("trajectories") for part in parts]).sum().to(device)
        return parts, int(self.accelerator.reduce(mine, "sum"))

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """This part's share of L: its weighted losses over the number of trajectories of the whole step. Times the
        number of processes, because DDP and FSDP average the gradients of these."""
        assert num_items_in_batch, "every step has a trajectory"
        weights = inputs.pop("weights")
        losses = model(**inputs)
        self._losses.append(losses.detach())
        return (weights * losses).sum() * self.args.world_size / num_items_in_batch

    def confirm(self) -> None:
        """After the last step, whose outcome no further step meets. Raises PolicyFault where the trained model gives no
        finite loss."""
        examples: Any = self.train_dataset
        index, item = examples.shortest()
        collate: Any = self.data_collator
        inputs: Any = self._prepare_inputs(collate([(index, item)]))
        given = {name: inputs[name] for name in ("input_ids", "attention_mask", "labels")}
        model: Any = self.model_wrapped
        with torch.no_grad():
            unsound = not bool(model(**given).isfinite().all())
        if self._anywhere(unsound):
            raise self._fault(
                f"after the last training step ({self.state.global_step}), the loss of "
                f"{examples.names[index]} is not a finite number"
            )

    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: Any = None) -> Any:
        """What is logged as the norm of the step's gradient. The step has not changed any weight yet."""
        norm = super()._get_grad_norm(model, grad_norm)
        unsound = ~torch.cat(self._losses).isfinite().cpu()
        if self._anywhere(bool(unsound.any()) or not math.isfinite(norm)):
            raise self._fault(self._what_is_wrong(self._indices[unsound], float(norm)))
        return norm

    def _what_is_wrong(self, indices: torch.Tensor, norm: float) -> str:
        """Of a step, with the names of the examples whose losses are not finite on some process; of all the step's
        where only their gradient is not."""
        examples: Any = self.train_dataset
        marks = torch.zeros(len(examples), dtype=torch.long)
        marks[indices] = 1
        found = self.accelerator.reduce(marks.to(self.args.device), "sum").nonzero()[:, 0].tolist()
        step, order = self.state.global_step, self._get_train_sampler()
        size = len(order) // self.args.max_steps
        batch = [i for i in islice(order, step * size, (step + 1) * size) if i != FILLER]
        what = "loss" if found else f"gradient's norm ({norm})"
        names = some([examples.names[i] for i in found or batch])
        return (
            f"training step {step + 1} of {self.args.max_steps}: the {what} of {names} is not a finite number"
        )

    def _anywhere(self, unsound: bool) -> bool:
        """Whether it is so in any process; the same answer in all of them."""
        flag = torch.tensor(int(unsound), device=self.args.device)
        return bool(self.accelerator.reduce(flag, "sum"))

    def _fault(self, what: str) -> PolicyFault:
        states = None if self.args.save_strategy == "no" else Path(str(self.args.output_dir))
        return PolicyFault(diverged(what, self._get_learning_rate(), self.state.global_step > 0, states))

    def _get_train_sampler(self, train_dataset: Any = None) -> TrainingOrder:
        examples: Any = self.train_dataset
        batch = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        return TrainingOrder(examples.lengths, batch, self.args.max_steps, self.args.seed)

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        """Seal the state when all processes have written theirs; only then do older ones go."""
        name = first_unsound(model)
        if self._anywhere(name is not None):
            what = f"the weight {name}" if name else "a weight"
            raise self._fault(
                f"training step {self.state.global_step} of {self.args.max_steps}: {what} is no longer finite"
            )
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            keep_only(Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}")
