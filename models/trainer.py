"""transformers' Trainer with the two things that it lacks: per-example weights, and batches of similar length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import Sampler
from transformers import Trainer

from models.encoding import IGNORED

# Batches are cut from pools of so many, sorted by length: little padding, and still a new mix each epoch.
_POOL = 50


def trajectory_losses(
    model: torch.nn.Module, inputs: dict[str, torch.Tensor], labels: torch.Tensor, reduction: str
) -> torch.Tensor:
    """-log p of each trajectory's target tokens, their sum or mean: [batch] from labels [batch, length], in which
    the token at j is predicted at j - 1. Logits are made at the targets alone: [targets, vocabulary]."""
    labels = labels[:, 1:]
    target = labels != IGNORED
    nll = cross_entropy(_target_logits(model, inputs, target).float(), labels[target], reduction="none")
    total = nll.new_zeros(len(labels)).index_add(0, target.nonzero()[:, 0], nll)
    return total if reduction == "sum" else total / target.sum(1)


def _target_logits(
    model: torch.nn.Module, inputs: dict[str, torch.Tensor], target: torch.Tensor
) -> torch.Tensor:
    """Logits [targets, vocabulary] from the model's own forward pass (its autocast, and what it does to logits
    after the head), the head being shown only the hidden states before the targets."""
    causal: Any = getattr(model, "module", model)
    hook = causal.get_output_embeddings().register_forward_pre_hook(
        lambda _, hidden: (hidden[0][:, :-1][target],)
    )
    try:
        return model(**inputs).logits
    finally:
        hook.remove()


class WeightedTrainer(Trainer):
    """Minimises the mean of weight * trajectory loss over the trajectories of one optimizer step, exactly also
    when the step is worked off in parts of different size. Set `reduction` ("sum" or "mean") before training."""

    loss_is_scaled_for_ga = True
    reduction = "sum"

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], int]:
        """The parts of the next optimizer step, and how many trajectories they hold together."""
        parts, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        return parts, sum(len(part["labels"]) for part in parts)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """This part's share of L: its weighted losses over the number of trajectories of the whole step."""
        labels, weights = inputs.pop("labels"), inputs.pop("weights")
        losses = trajectory_losses(model, inputs, labels, self.reduction)
        return (weights * losses).sum() / (num_items_in_batch or len(labels))

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        examples: Any = self.train_dataset
        lengths = [len(item["input_ids"]) for item in examples]
        return LengthSampler(lengths, self.args.train_batch_size * self.args.gradient_accumulation_steps)


class LengthSampler(Sampler[int]):
    """Every index once an epoch, consecutive `batch` ones of similar length, the batches in random order (the
    incomplete one last). Draws from torch's global generator, which the trainer seeds."""

    def __init__(self, lengths: Sequence[int], batch: int) -> None:
        self._lengths, self._batch = lengths, batch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        order, pool = torch.randperm(len(self)).tolist(), self._batch * _POOL
        batches: list[list[int]] = []
        for start in range(0, len(order), pool):
            part = sorted(order[start : start + pool], key=lambda i: self._lengths[i])
            batches += [part[i : i + self._batch] for i in range(0, len(part), self._batch)]
        whole = [b for b in batches if len(b) == self._batch]
        rest = [b for b in batches if len(b) < self._batch]
        return iter(_flat([whole[i] for i in torch.randperm(len(whole)).tolist()] + rest))


def _flat(batches: Iterable[list[int]]) -> list[int]:
    return [index for batch in batches for index in batch]
