"""The training loss: -log p of each trajectory's target tokens.

Memory: logits are computed only at the targets, [targets, vocabulary], once, in the model's dtype. The cross-entropy
converts _CHUNK targets at a time to fp32, in the forward and in the backward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from models.training.encoding import IGNORED

_CHUNK = 1024


def trajectory_losses(
    model: torch.nn.Module,
    inputs: dict[str, torch.Tensor],
    labels: torch.Tensor,
    reduction: str,
    forward: Callable[..., Any] | None = None,
) -> torch.Tensor:
    """-log p of each trajectory's target tokens, their sum or mean: [batch] from labels [batch, length], in which
    the token at j is predicted at j - 1. `forward`: the model's original forward pass if its attribute was replaced."""
    labels = labels[:, 1:]
    target = labels != IGNORED
    logits = _target_logits(model, forward or model, inputs, target)
    nll = TokenLosses.apply(logits, labels[target])
    total = nll.new_zeros(len(labels)).index_add(0, target.nonzero()[:, 0], nll)
    return total if reduction == "sum" else total / target.sum(1)


def return_losses(model: Any, reduction: str) -> None:
    """Make `model(labels=..., **inputs)` return trajectory losses, [batch] in fp32, until
    `hf_trainer.restore_forward`. The wrappers around the model (autocast, DDP, FSDP) then see no logits: accelerate
    would convert all of them to fp32 at once."""
    forward = model.forward

    def losses(labels: torch.Tensor, **inputs: torch.Tensor) -> torch.Tensor:
        return trajectory_losses(model, inputs, labels, reduction, forward)

    model.forward = losses


def _target_logits(
    model: Any, forward: Callable[..., Any], inputs: dict[str, torch.Tensor], target: torch.Tensor
) -> torch.Tensor:
    """Logits [targets, vocabulary] from the model's own forward pass (with whatever it does after the head); the head
    gets only the hidden states before the targets."""
    hook = model.get_output_embeddings().register_forward_pre_hook(
        lambda _, hidden: (hidden[0][:, :-1][target],)
    )
    try:
        return forward(**inputs, use_cache=False).logits
    finally:
        hook.remove()


class TokenLosses(torch.autograd.Function):
    """Cross-entropy in fp32 of each of [targets, vocabulary] logits, _CHUNK rows at a time: [targets]."""

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(logits, labels)
        parts = zip(logits.split(_CHUNK), labels.split(_CHUNK), strict=True)
        return torch.cat([_losses(rows, wanted) for rows, wanted in parts])

    @staticmethod
    def backward(ctx: Any, *output_gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        logits, labels = ctx.saved_tensors
        gradient = torch.empty_like(logits)
        for start in range(0, len(logits), _CHUNK):
            part = slice(start, start + _CHUNK)
            rows = logits[part].detach().requires_grad_()
            with torch.enable_grad():
                losses = _losses(rows, labels[part])
            gradient[part] = torch.autograd.grad(losses, rows, output_gradients[0][part])[0]
        return gradient, None


def _losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return cross_entropy(logits.float(), labels, reduction="none")
