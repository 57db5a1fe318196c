"""transformers' Trainer with what it lacks: per-example weights, exact over parts and processes, and sound states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset, Sampler
from transformers import Trainer

from models.encoding import Collator, Encoded
from models.ordering import FILLER, TrainingOrder
from models.states import keep_only


class Examples(Dataset[Encoded | None]):
    """The training set by index; None at FILLER."""

    def __init__(self, encoded: Sequence[Encoded]) -> None:
        self._encoded = encoded

    def __len__(self) -> int:
        return len(self._encoded)

    def __getitem__(self, index: int) -> Encoded | None:
        return None if index == FILLER else self._encoded[index]


class PartCollator:
    """A part of an optimizer step: the collator's tensors and `trajectories`, how many it holds. A part of fillers
    alone is one example of weight 0, since every process has to join each pass."""

    def __init__(self, collator: Collator, encoded: Sequence[Encoded]) -> None:
        self._collator = collator
        self._nothing: Encoded = {**min(encoded, key=lambda item: len(item["input_ids"])), "weight": 0.0}

    def __call__(self, items: Sequence[Encoded | None]) -> dict[str, torch.Tensor]:
        real = [item for item in items if item is not None]
        return {**self._collator(real or [self._nothing]), "trajectories": torch.tensor(len(real))}


class WeightedTrainer(Trainer):
    """Minimises the mean of weight * trajectory loss over the trajectories of one optimizer step, those of all its
    parts on all processes. The model gives losses (`models.losses.give_losses`)."""

    loss_is_scaled_for_ga = True

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], int]:
        """This process's parts of the next optimizer step, and how many trajectories all processes' parts hold."""
        parts = [next(epoch_iterator) for _ in range(num_batches)]
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
        weighted = (inputs.pop("weights") * model(**inputs)).sum()
        return weighted * self.args.world_size / num_items_in_batch

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        examples: Any = self.train_dataset
        lengths = [len(examples[i]["input_ids"]) for i in range(len(examples))]
        batch = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        return TrainingOrder(lengths, batch, self.args.max_steps, self.args.seed)

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        """Seal the state when all processes have written theirs; only then do older ones go."""
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            keep_only(Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}")
