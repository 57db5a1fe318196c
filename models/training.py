"""Supervised and reinforced training: weighted likelihood of the target turns.

    L = mean over trajectories of  weight * sum over target tokens of -log p(token | context)

(method: reinforced training; the warm-up is the same with weight 1). The mean is over the trajectories of the
whole optimizer step, however many parts it is worked off in. The sum makes the gradient about a hundred times
that of a mean over tokens; AdamW and the clipping of the gradient's norm to 1 do not depend on that scale.
One config serves CPU and GPU; one process, one device. bfloat16 trains fp32 weights under autocast (in bf16 a
small learning rate would be rounded away) and saves them as bf16, the dtype of later rollouts.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback, TrainingArguments, set_seed

from configs.training import TrainingConfig
from models.checkpoint import CheckpointRef, load, save_checkpoint
from models.encoding import IGNORED, Collator, Encoded, Example, encode
from models.policy import PolicyFault
from models.trainer import WeightedTrainer
from models.transformers_policy import Device, pick_device

__all__ = ["CurvePoint", "Example", "Progress", "TrainResult", "train"]

Progress = Callable[[int, int, float], None]
"""Called after each optimizer step with (steps done, steps in all, loss)."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One optimizer step: the loss L of its trajectories before the update, and the learning rate used."""

    step: int
    loss: float
    learning_rate: float


@dataclass(frozen=True, slots=True)
class TrainResult:
    """The new checkpoint, and how it came about. `target_tokens` counts one pass over the examples."""

    ref: CheckpointRef
    curve: tuple[CurvePoint, ...]
    examples: int
    target_tokens: int


def train(
    base: CheckpointRef,
    examples: Sequence[Example],
    config: TrainingConfig,
    out_root: Path,
    seed: int = 0,
    device: Device = "auto",
    progress: Progress | None = None,
) -> TrainResult:
    """Train `base` on the examples and save the result under `out_root`. Deterministic on a CPU in (base,
    examples, config, seed). Raises PolicyFault for an unusable base, no examples, or an example that has no
    target or is too long."""
    if not examples:
        raise PolicyFault("there is nothing to train on: the training set is empty")
    model: Any
    model, tokenizer = load(base)
    encoded = [encode(tokenizer, example, config.max_tokens) for example in examples]
    curve = _fit(
        model.float(), encoded, Collator(tokenizer.pad_token_id or 0), config, seed, device, progress
    )
    manifest = {
        "base": base.digest,
        "seed": seed,
        "examples": len(examples),
        **config.model_dump(mode="json"),
    }
    ref = save_checkpoint(model.to("cpu", getattr(torch, config.dtype)), tokenizer, out_root, manifest)
    targets = sum(label != IGNORED for item in encoded for label in item["labels"])
    return TrainResult(ref, tuple(curve), len(examples), targets)


def _fit(
    model: Any,
    encoded: list[Encoded],
    collator: Collator,
    config: TrainingConfig,
    seed: int,
    device: Device,
    progress: Progress | None,
) -> list[CurvePoint]:
    set_seed(seed)
    recorder = _Recorder(progress)
    with tempfile.TemporaryDirectory(prefix="steca-training-") as scratch:
        trainer = WeightedTrainer(
            model=model,
            args=_arguments(config, len(encoded), scratch, seed, pick_device(device)),
            train_dataset=encoded,
            data_collator=collator,
            callbacks=[recorder],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.reduction = config.loss
        trainer.train()
    return recorder.curve


def optimizer_steps(config: TrainingConfig, examples: int) -> int:
    """Optimizer steps of a run: `config.steps`, else the whole of `config.epochs`."""
    return config.steps or math.ceil(config.epochs * math.ceil(examples / config.batch_size))


def _arguments(
    config: TrainingConfig, examples: int, scratch: str, seed: int, device: str
) -> TrainingArguments:
    steps = optimizer_steps(config, examples)
    return TrainingArguments(
        output_dir=scratch,
        max_steps=steps,
        per_device_train_batch_size=config.batch_size // config.gradient_accumulation,
        gradient_accumulation_steps=config.gradient_accumulation,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.schedule,
        warmup_steps=math.ceil(steps * config.warmup_ratio),
        weight_decay=config.weight_decay,
        bf16=config.dtype == "bfloat16",
        use_cpu=device == "cpu",
        seed=seed % 2**32,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=device != "cpu",
    )


class _Recorder(TrainerCallback):
    """Keeps the curve, and passes progress on."""

    def __init__(self, progress: Progress | None) -> None:
        self.curve: list[CurvePoint] = []
        self._progress, self._rate = progress, 0.0

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._rate = kwargs["optimizer"].param_groups[0]["lr"]

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any
    ) -> None:
        if logs and "loss" in logs:
            self.curve.append(CurvePoint(state.global_step, logs["loss"], self._rate))
            if self._progress:
                self._progress(state.global_step, state.max_steps, logs["loss"])
