"""Preference training: sigmoid DPO (Rafailov et al. 2023), with an optional term of supervised training.

    d = (log p(chosen) - log p_ref(chosen)) - (log p(rejected) - log p_ref(rejected))
    L = mean over pairs of  -log sigmoid(beta * d) - sft_weight * log p(chosen)

Each log-probability is the SUM over the target tokens of all sequences of a side. ETO has sft_weight 0; IPR adds the
supervised term to it with weight 1. The margin beta * d of a pair is positive where the policy's implicit reward ranks
the pair as given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.nn.functional import logsigmoid

from models.checkpoint_ref import CheckpointRef
from models.training.encoding import Collator, Encoded
from models.training.examples import Example, PreferencePair
from models.training.loop.hf_trainer import MicroBatch
from models.training.objectives.objective import MicroBatchLoss, Objective
from steca.preferences import PreferenceLoss


@dataclass(frozen=True, slots=True)
class Preferences:
    """What `models.training.train.train` learns preferences from. `reference`: the model of p_ref, with the tokenizer
    of the trained one; `cache`: the folder that keeps its log-probabilities
    (models/training/objectives/references.py)."""

    pairs: Sequence[PreferencePair]
    reference: CheckpointRef
    loss: PreferenceLoss
    cache: Path

    def __len__(self) -> int:
        return len(self.pairs)

    def sides(self) -> list[Example]:
        """Chosen and rejected of each pair in turn, with names that say so, and of weight 1."""
        return [
            replace(example, name=f"{pair.name} ({side})", weight=1.0)
            for pair in self.pairs
            for side, example in (("chosen", pair.chosen), ("rejected", pair.rejected))
        ]


class PreferenceObjective(Objective):
    """The items are pairs. `sides`: chosen and rejected of each in turn; `references`: their log p_ref, [2 * pairs]."""

    def __init__(
        self,
        names: Sequence[str],
        sides: Sequence[Encoded],
        references: torch.Tensor,
        loss: PreferenceLoss,
        pad: int,
    ) -> None:
        pairs = [sides[i : i + 2] for i in range(0, len(sides), 2)]
        super().__init__(names, pairs, Collator(pad, "sum"))
        self._references = references.view(-1, 2)
        self._loss = loss

    def item_tensors(self, indices: Sequence[int]) -> MicroBatch:
        """`sides` [sequences]: each sequence's side in the micro-batch; `references` [pairs, 2]."""
        sides = [side for index in indices for side in self._items[index]]
        rows = [place for place, side in enumerate(sides) for _ in side["lengths"]]
        return {"sides": torch.tensor(rows), "references": self._references[list(indices)]}

    def loss(self, losses: torch.Tensor, batch: MicroBatch) -> MicroBatchLoss:
        references = batch["references"]
        log_p = losses.new_zeros(references.numel()).index_add(0, batch["sides"], -losses).view(-1, 2)
        ratios = log_p - references
        margins = self._loss.beta * (ratios[:, 0] - ratios[:, 1])
        each = -logsigmoid(margins) - self._loss.sft_weight * log_p[:, 0]
        weight = batch["weights"][0]  # 1, or 0 in a micro-batch of fillers alone
        metrics = {
            "preference_accuracy": weight * (margins > 0).sum(),
            "preference_margin": weight * margins.sum(),
        }
        return MicroBatchLoss(weight * each.sum(), metrics)
