"""The losses of a training: exact, and with one tensor of logits."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from configs.training import TrainingConfig
from models.training.objectives import losses
from models.training.objectives.losses import TokenLosses
from models.training.train import train
from tests.support.policy_toys import examples, tokenizer, untrained

Losses = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def at_once(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The old way: all logits in fp32."""
    return cross_entropy(logits.float(), labels, reduction="none")


def in_chunks(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return TokenLosses.apply(logits, labels)


class Peak(TorchDispatchMode):
    """The largest sum of bytes of storages that were alive at once, of those made under it."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self._now = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known.add(key)
            self._now += size
            self.bytes = max(self.bytes, self._now)
            weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._now -= size


def worked(loss: Losses, targets: int, words: int) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Losses, gradient of the hidden states, and the peak in tensors of bf16 logits, of a bf16 head."""
    draw = torch.Generator().manual_seed(0)
    head = torch.randn(words, 8, generator=draw).bfloat16()
    hidden = torch.randn(targets, 8, generator=draw).bfloat16().requires_grad_()
    labels = torch.randint(words, (targets,), generator=draw)
    weights = torch.rand(targets, generator=draw)
    with Peak() as peak:
        nll = loss(hidden @ head.T, labels)
        (nll * weights).sum().backward()
    assert hidden.grad is not None
    return nll.detach(), hidden.grad, peak.bytes


def test_chunks_change_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "_CHUNK", 7)
    for one, two in zip(worked(in_chunks, 50, 31)[:2], worked(at_once, 50, 31)[:2], strict=True):
        assert torch.equal(one, two)


def test_the_logits_are_there_once_and_their_gradient_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """In units of the logits in bf16: the old way adds an fp32 copy (2), its log-softmax (2) and their gradients."""
    monkeypatch.setattr(losses, "_CHUNK", 16)
    targets, words = 1600, 300
    logits = targets * words * 2
    assert worked(in_chunks, targets, words)[2] < 2.2 * logits
    assert worked(at_once, targets, words)[2] > 4 * logits


class Shapes(TorchDispatchMode):
    """(dtype, rows) of every matrix as wide as the vocabulary."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width, self.seen = width, set[tuple[torch.dtype, int]]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.dim() == 2 and tensor.shape[1] == self.width:
                self.seen.add((tensor.dtype, len(tensor)))
        return result


def test_a_whole_training_step_in_bfloat16_makes_no_fp32_logits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """accelerate, too, copies what a model gives to fp32."""
    monkeypatch.setattr(losses, "_CHUNK", 10)
    config = TrainingConfig(steps=1, batch_size=4, dtype="bfloat16")

    def rows(dtype: torch.dtype) -> int:
        with Shapes(len(tokenizer())) as shapes:
            targets = train(untrained(), examples(4), config, tmp_path, 0, "cpu").target_tokens
        assert targets > 50
        assert (torch.bfloat16, targets) in shapes.seen
        return max(count for seen, count in shapes.seen if seen == dtype and count <= targets)

    assert rows(torch.float32) == 10
    monkeypatch.setattr(TokenLosses, "apply", at_once)
    assert rows(torch.float32) > 50
