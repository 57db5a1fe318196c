"""Checks of trainings on a GPU, for `benchmarks.gpu`: resuming, loading what was written, and stopping at a divergence.

On a CPU a resumed training equals an unbroken one bit by bit. On a GPU some kernels add in any order, so two equal
trainings may differ too. The check therefore reports two differences: of the steps before the stop, where nothing was
resumed, and of those after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import peft
import torch

from benchmarks.gpu.memory import free_memory
from configs.training import TrainingConfig
from models.checkpoint import CheckpointRef, load
from models.policy import PolicyFault
from models.training.examples import Example
from models.training.loop.ordering import TrainingOrder
from models.training.loop.states import newest_intact
from models.training.objectives.losses import trajectory_losses
from models.training.objectives.objective import Objective
from models.training.train import Saving, TrainResult, train
from models.training.training_data import make_objective
from steca.vocabulary import Device

STATE = 2
"""The step whose state the stopped training leaves; it stops in the one after."""
FAST = {"learning_rate": 1e-3, "warmup_ratio": 0.0}
"""So that a few steps change more of the bfloat16 weights than rounding hides."""


class Stopped(Exception):
    """The training was stopped on purpose."""


def check_resume(
    base: CheckpointRef, examples: Sequence[Example], given: TrainingConfig, folder: Path, device: Device
) -> dict[str, Any]:
    """Train once unbroken, and once stopped and resumed. Load the adapters of the state with peft and the last
    checkpoint with transformers."""
    config = given.model_copy(update=FAST)
    saving = Saving(folder / "state", STATE)
    whole = train(base, examples, config, folder, 0, device)
    state = stopped(base, examples, config, saving, device)
    objective = make_objective(examples, base, *load(base), config, torch.device(device))
    adapted = peft.PeftModel.from_pretrained(load(base, device)[0], state).eval()
    after_state = step_loss(adapted, objective, config, STATE, device)
    del adapted
    free_memory()
    done: list[int] = []
    resumed = train(base, examples, config, folder, 0, device, lambda step, *_: done.append(step), saving)
    return {
        "steps after resuming": done,
        **loss_differences(whole, resumed),
        **weight_differences(base, whole.ref, resumed.ref, device),
        **agreement("adapters of the state, loaded by peft", after_state, whole.curve[STATE].loss),
        **loaded_losses(base, resumed.ref, objective, config, device),
    }


def stopped(
    base: CheckpointRef, examples: Sequence[Example], config: TrainingConfig, saving: Saving, device: Device
) -> Path:
    """Stop a training after the step that follows its state; the state's folder."""

    def stop(done: int, of: int, loss: float) -> None:
        if done > STATE:
            raise Stopped

    with suppress(Stopped):
        train(base, examples, config, saving.folder.parent, 0, device, stop, saving)
    free_memory()
    state = newest_intact(saving.folder)
    assert state, "the stopped training left no state"
    return state


def step_loss(model: Any, objective: Objective, config: TrainingConfig, step: int, device: Device) -> float:
    """The mean loss of the items of a step (from 0), as training computes it, one item per pass."""
    assert config.steps
    size = config.batch_size
    order = list(TrainingOrder(objective.lengths, size, config.steps, 0))[step * size : (step + 1) * size]
    autocast = torch.autocast(device, torch.bfloat16, enabled=config.dtype == "bfloat16")
    total = 0.0
    with torch.no_grad(), autocast:
        for item in order:
            batch = {name: tensor.to(device) for name, tensor in objective.collate([item]).items()}
            inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
            losses = trajectory_losses(model, inputs, batch["labels"], config.loss)
            total += float(objective.loss(losses, batch).total)
    return total / len(order)


def loss_differences(whole: TrainResult, resumed: TrainResult) -> dict[str, float]:
    """The largest relative difference between losses of the same step, before and after the state."""
    each = [
        abs(one.loss - other.loss) / abs(one.loss)
        for one, other in zip(whole.curve, resumed.curve, strict=True)
    ]
    return {
        "relative difference of losses before the stop": max(each[:STATE]),
        "relative difference of losses after resuming": max(each[STATE:]),
    }


def weight_differences(
    base: CheckpointRef, one: CheckpointRef, other: CheckpointRef, device: Device
) -> dict[str, Any]:
    """How far the two checkpoints are apart, and how far training moved the first from the base."""
    models = [load(ref)[0].named_parameters() for ref in (base, one, other)]
    count = equal = 0
    apart = moved = 0.0
    for (_, start), (_, first), (_, second) in zip(*models, strict=True):
        before, left, right = (weight.detach().to(device).float() for weight in (start, first, second))
        count += left.numel()
        equal += int((left == right).sum())
        apart = max(apart, float((left - right).abs().max()))
        moved = max(moved, float((left - before).abs().max()))
    return {
        "checkpoints have the same digest": one.digest == other.digest,
        "share of equal weights": equal / count,
        "largest difference of a weight": apart,
        "largest change of a weight by the training": moved,
    }


def agreement(what: str, found: float, trained: float) -> dict[str, Any]:
    """A loss computed from written weights, and how far it is from the one that the training reported."""
    return {
        f"{what}: loss of the next step": found,
        f"{what}: relative difference from the training's": abs(found - trained) / abs(trained),
    }


def loaded_losses(
    base: CheckpointRef, trained: CheckpointRef, objective: Objective, config: TrainingConfig, device: Device
) -> dict[str, float]:
    """The loss of the first step's items under the base and under the trained checkpoint, loaded by transformers."""
    found = {}
    for name, ref in (("base", base), ("trained checkpoint", trained)):
        found[f"{name}, loaded by transformers: loss"] = step_loss(
            load(ref, device)[0], objective, config, 0, device
        )
        free_memory()
    return found


def check_divergence(
    base: CheckpointRef, examples: Sequence[Example], config: TrainingConfig, folder: Path, device: Device
) -> dict[str, str]:
    """A training whose gradient overflows must stop with a message, and not with an error of its own."""
    heavy = [replace(example, weight=1e38) for example in examples]
    try:
        train(base, heavy, config, folder, 0, device)
    except PolicyFault as fault:
        return {"stopped with": str(fault)}
    raise AssertionError("the training went on with a gradient that is not finite")
