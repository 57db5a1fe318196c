"""What a training minimises: the mean, over the items of an optimizer step, of each item's loss.

An item is a trajectory (weighted likelihood) or a pair of trajectories (models/training/objectives/preferences.py). The
trainer does the rest for all of them: order, micro-batches, processes, checks, states.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch.utils.data import Dataset

from models.training.encoding import Collator, Encoded, target_count
from models.training.loop.hf_trainer import MicroBatch
from models.training.loop.ordering import FILLER


@dataclass(frozen=True, slots=True)
class MicroBatchLoss:
    """The sum of the losses of a micro-batch's items, and of whatever else is reported of each item, by its name in
    CurvePoint."""

    total: torch.Tensor
    metrics: dict[str, torch.Tensor] = field(default_factory=dict)


class Objective(ABC, Dataset[int]):
    """The items of a training and their loss. As a data set it gives each index back: `collate` makes the micro-batch.
    `names` are for messages; `lengths`, in tokens, are those of each item's longest side."""

    def __init__(self, names: Sequence[str], items: Sequence[Sequence[Encoded]], collator: Collator) -> None:
        self.names, self.collator = names, collator
        self.lengths = [max(len(side["input_ids"]) for side in item) for item in items]
        self._items = items
        self._shortest = min(range(len(items)), key=self.lengths.__getitem__)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> int:
        return index

    @property
    def target_tokens(self) -> int:
        """Tokens that are trained on in one pass over the items."""
        return sum(target_count(side["labels"]) for item in self._items for side in item)

    def collate(self, indices: Sequence[int]) -> MicroBatch:
        """The tensors of all sides of the items, `indices` [sequences] of their items, `items`, their number, and what
        `item_tensors` adds. A micro-batch of fillers alone is the shortest item with weight 0, since every process must
        join each pass."""
        real = [index for index in indices if index != FILLER]
        given = real or [self._shortest]
        sides = [side for index in given for side in self._items[index]]
        without: list[Encoded] = [{**side, "weight": 0.0} for side in sides]
        rows = [index for index in given for side in self._items[index] for _ in side["lengths"]]
        return {
            **self.collator(sides if real else without),
            **self.item_tensors(given),
            "indices": torch.tensor(rows),
            "items": torch.tensor(len(real)),
        }

    def shortest(self) -> tuple[str, MicroBatch]:
        """The shortest item: its name and micro-batch."""
        return self.names[self._shortest], self.collate([self._shortest])

    def item_tensors(self, indices: Sequence[int]) -> MicroBatch:
        """Further tensors that `loss` needs for these items."""
        return {}

    @abstractmethod
    def loss(self, losses: torch.Tensor, batch: MicroBatch) -> MicroBatchLoss:
        """From the model's losses of the micro-batch's sequences (-log p of their target tokens): [sequences]."""


class Likelihood(Objective):
    """Weighted likelihood: an item is one example, its loss weight * -log p(targets)."""

    def __init__(self, names: Sequence[str], examples: Sequence[Encoded], collator: Collator) -> None:
        super().__init__(names, [[example] for example in examples], collator)

    def loss(self, losses: torch.Tensor, batch: MicroBatch) -> MicroBatchLoss:
        return MicroBatchLoss((batch["weights"] * losses).sum())
