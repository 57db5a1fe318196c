"""A training that leaves the finite numbers: what is looked for, and how it is told.

Past the first loss or gradient that is NaN or infinite everything that is trained, played and scored is worthless, so
the training stops before that step changes a weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from models.training.states import newest_sealed

_NAMED = 5


def first_unsound(model: torch.nn.Module) -> str | None:
    """The name of the first weight that holds NaN or an infinite number, in this process's part of the model."""
    for name, weight in model.named_parameters():
        local: Any = weight.to_local() if hasattr(weight, "to_local") else weight
        if local.numel() and not all(bool(end.isfinite()) for end in torch.aminmax(local.detach())):
            return name  # the ends are NaN where any value is; thirty times as fast as looking at each
    return None


def diverged(what: str, learning_rate: float | None, changed: bool, states: Path | None) -> str:
    """The line that says what was met and what to do. `changed`: whether an earlier step changed weights; `states`:
    where the training's states are, None where it keeps none."""
    rate = "" if learning_rate is None else f" (learning rate {learning_rate:g})"
    advice = (
        "the training has diverged; lower learning_rate or raise warmup_ratio"
        if changed
        else "no step has changed the model yet, so look at these examples and at the base model's weights and dtype"
    )
    kept = newest_sealed(states) if states else None
    left = f"; the last sound state is {kept}" if kept else ""
    return f"{what}{rate}: {advice}. No checkpoint was written{left}"


def some(names: Sequence[str]) -> str:
    """A few of the names, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
