"""Detects and reports diverged trainings.

After the first loss or gradient that is NaN or infinite, everything trained, played and scored is worthless. So the
training stops before that step changes a weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from models.training.loop.states import newest_complete

_MAX_NAMES = 5


def first_nonfinite_weight(model: torch.nn.Module) -> str | None:
    """The name of the first weight that contains NaN or infinity, in this process's shard of the model."""
    for name, weight in model.named_parameters():
        local: Any = weight.to_local() if hasattr(weight, "to_local") else weight
        if local.numel() and not all(bool(extreme.isfinite()) for extreme in torch.aminmax(local.detach())):
            return name  # minimum and maximum are NaN if any value is; 30 times as fast as isfinite
    return None


def divergence_message(what: str, learning_rate: float | None, has_changed: bool, states: Path | None) -> str:
    """An error message with what to do. `has_changed`: whether an earlier step changed weights; `states`: the folder of
    the training's states, None if it saves none."""
    rate = "" if learning_rate is None else f" (learning rate {learning_rate:g})"
    advice = (
        "the training has diverged; lower learning_rate or raise warmup_ratio"
        if has_changed
        else "no step has changed the model yet, so check these examples and the base model's weights and dtype"
    )
    kept = newest_complete(states) if states else None
    left = f"; the last intact state is {kept}" if kept else ""
    return f"{what}{rate}: {advice}. No checkpoint was written{left}"


def shortened(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - _MAX_NAMES
    return ", ".join(names[:_MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
