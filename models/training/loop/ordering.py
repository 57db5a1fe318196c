"""The order of examples in a training: the same in one process and in many, and after resuming."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count

import torch
from torch.utils.data import Sampler

# Batches are cut from pools of this many batches, sorted by length: little padding, and a new mix each epoch.
_POOL_BATCHES = 50
_MAX_EPOCHS = 1_000_003  # (seed, epoch) pairs get distinct generator seeds up to this many epochs

FILLER = -1
"""Fills up the last, incomplete batch of an epoch, so that all processes do the same number of micro-batches. The
collator skips it."""


class TrainingOrder(Sampler[int]):
    """Indices of a whole training, `steps` batches of `batch`: each epoch every example once, batches of similar
    length in random order, the incomplete one last. Deterministic in (lengths, batch, steps, seed)."""

    def __init__(self, lengths: Sequence[int], batch: int, steps: int, seed: int) -> None:
        self._lengths, self._batch, self._steps, self._seed = lengths, batch, steps, seed

    def __len__(self) -> int:
        return self._steps * self._batch

    def __iter__(self) -> Iterator[int]:
        left = self._steps
        for epoch in count():
            for batch in self._epoch(epoch):
                if not left:
                    return
                yield from batch
                left -= 1

    def _epoch(self, epoch: int) -> list[list[int]]:
        draw = torch.Generator().manual_seed((self._seed * _MAX_EPOCHS + epoch) % 2**63)
        order = torch.randperm(len(self._lengths), generator=draw).tolist()
        pool, size = self._batch * _POOL_BATCHES, self._batch
        batches: list[list[int]] = []
        for start in range(0, len(order), pool):
            part = sorted(order[start : start + pool], key=lambda i: self._lengths[i])
            batches += [part[i : i + size] for i in range(0, len(part), size)]
        whole = [b for b in batches if len(b) == size]
        short = [b + [FILLER] * (size - len(b)) for b in batches if len(b) < size]
        return [whole[i] for i in torch.randperm(len(whole), generator=draw).tolist()] + short
