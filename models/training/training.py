"""Supervised and reinforced training: weighted likelihood of the target turns.

    L = mean over trajectories of  weight * sum over target tokens of -log p(token | context)

(method: reinforced training; the warm-up is the same with weight 1). The mean is over the trajectories of the
whole optimizer step, however many parts and processes it is worked off in. The sum makes the gradient about a hundred
times that of a mean over tokens; AdamW and the clipping of the gradient's norm to 1 do not depend on that scale.
bfloat16 trains fp32 weights under autocast (in bf16 a small learning rate would be rounded away) and saves them as
bf16, the dtype of later rollouts; with LoRA the frozen weights are bf16 and only the adapters fp32.

A training ends at the first loss or gradient that is not a finite number (models/training/divergence.py); nothing is
saved of it.

The same function is the whole work of one process and of each of several that `accelerate launch` started
(models/training/launching.py). A training that was killed goes on from its last state (models/training/states.py) and
gives the same.
"""

from __future__ import annotations

import gc
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback, TrainingArguments, set_seed

from configs.training import TrainingConfig
from models.checkpoint import CheckpointRef, load, save_checkpoint, weights_digest
from models.local.transformers_policy import pick_device
from models.policy import PolicyFault
from models.training.adapters import add_adapters, merge_adapters
from models.training.divergence import diverged, first_unsound
from models.training.encoding import IGNORED, Collator, Encoder, Example
from models.training.losses import give_logits, give_losses
from models.training.states import forget, newest_sound
from models.training.trainer import Examples, PartCollator, WeightedTrainer
from steca.vocabulary import Device

__all__ = ["CurvePoint", "Example", "Saving", "TrainResult", "train"]

TrainingProgress = Callable[[int, int, float], None]
"""Called after each optimizer step with (steps done, steps in all, loss)."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One optimizer step: the loss L of its trajectories and the norm of its gradient before clipping, both before
    the update, and the learning rate used."""

    step: int
    loss: float
    learning_rate: float
    gradient_norm: float


@dataclass(frozen=True, slots=True)
class TrainResult:
    """The new checkpoint, and how it came about. `target_tokens` counts one pass over the examples; `unchanged` is
    whether every weight is the base model's."""

    ref: CheckpointRef
    curve: tuple[CurvePoint, ...]
    examples: int
    target_tokens: int
    unchanged: bool


@dataclass(frozen=True, slots=True)
class Saving:
    """Where the state of this very training is kept (the folder is its own, and deleted at the end), how often."""

    folder: Path
    steps: int


def train(
    base: CheckpointRef,
    examples: Sequence[Example],
    config: TrainingConfig,
    out_root: Path,
    seed: int = 0,
    device: Device = "auto",
    progress: TrainingProgress | None = None,
    saving: Saving | None = None,
) -> TrainResult:
    """Train `base` on the examples and save the result under `out_root`. Deterministic on a CPU in (base,
    examples, config, seed). Raises PolicyFault for an unusable base, no examples, an example that has no target or
    is too long, LoRA targets that the base does not have, a batch that the processes cannot share, or a training that
    leaves the finite numbers."""
    if not examples:
        raise PolicyFault("there is nothing to train on: the training set is empty")
    try:
        return _trained(base, examples, config, out_root, seed, device, progress, saving)
    finally:  # a server may need the device next
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _trained(
    base: CheckpointRef,
    examples: Sequence[Example],
    config: TrainingConfig,
    out_root: Path,
    seed: int,
    device: Device,
    progress: TrainingProgress | None,
    saving: Saving | None,
) -> TrainResult:
    dtype: torch.dtype = getattr(torch, config.dtype)
    with _scratch(saving) as folder:
        args = _arguments(config, len(examples), folder, seed, pick_device(device), saving)
        model, tokenizer = load(base)
        if name := first_unsound(model):
            raise PolicyFault(f"the weight {name} of the base model {base.path} is not finite: get it again")
        before = weights_digest(model, dtype) if args.should_save else None
        encoded = list(map(Encoder(tokenizer, config.max_tokens).encode, examples))
        set_seed(seed)
        known = Examples(encoded, [example.name for example in examples])
        collator = Collator(tokenizer.pad_token_id or 0, config.loss)
        trainer = _trainer(_prepared(model, config), known, args, collator)
        give_losses(trainer.model, config.loss)
        trainer.add_callback(_Reporter(progress))
        trainer.train(resume_from_checkpoint=_state(folder, trainer) if saving else None)
        trainer.confirm()
        trained = _whole(trainer, base, config)
    manifest = {
        "base": base.digest,
        "seed": seed,
        "examples": len(examples),
        **config.model_dump(mode="json"),
    }
    if not args.should_save:
        return TrainResult(base, (), len(examples), 0, unchanged=False)
    trained = _sound(trained.to(dtype), config)
    unchanged = weights_digest(trained, dtype) == before
    ref = save_checkpoint(trained, tokenizer, out_root, manifest)
    if saving:
        forget(saving.folder)
    targets = sum(label != IGNORED for item in encoded for label in item["labels"])
    return TrainResult(ref, _curve(trainer), len(examples), targets, unchanged)


def optimizer_steps(config: TrainingConfig, examples: int) -> int:
    """Optimizer steps of a run: `config.steps`, else the whole of `config.epochs`."""
    return config.steps or math.ceil(config.epochs * math.ceil(examples / config.batch_size))


def warmup_steps(config: TrainingConfig, steps: int) -> int:
    """Steps in which the learning rate grows. The first of them has rate 0, so a training of one step has none."""
    return math.ceil(steps * config.warmup_ratio) if steps > 1 else 0


@contextmanager
def _scratch(saving: Saving | None) -> Iterator[Path]:
    if saving:
        saving.folder.mkdir(parents=True, exist_ok=True)
        yield saving.folder
    else:
        with tempfile.TemporaryDirectory(prefix="steca-training-") as folder:
            yield Path(folder)


def _prepared(model: Any, config: TrainingConfig) -> Any:
    if config.lora is None:
        return model.float()
    return add_adapters(model.to(getattr(torch, config.dtype)), config.lora)


def _arguments(
    config: TrainingConfig, examples: int, folder: Path, seed: int, device: str, saving: Saving | None
) -> TrainingArguments:
    steps, processes = optimizer_steps(config, examples), _processes()
    args = TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=_part(config, processes),
        gradient_accumulation_steps=config.gradient_accumulation,
        activation_checkpointing=config.gradient_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False},
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.schedule,
        warmup_steps=warmup_steps(config, steps),
        weight_decay=config.weight_decay,
        bf16=config.dtype == "bfloat16",
        use_cpu=device == "cpu",
        ddp_backend="gloo" if device == "cpu" and processes > 1 else None,
        ddp_find_unused_parameters=False,
        seed=seed % 2**32,
        logging_steps=1,
        save_strategy="steps" if saving else "no",
        save_steps=saving.steps if saving else 0,
        logging_nan_inf_filter=False,  # it would show a mean of earlier losses instead
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=device != "cpu",
    )
    args._n_gpu = min(
        args.n_gpu, 1
    )  # one device a process: the Trainer would spread a batch over all it sees
    return args


def _processes() -> int:
    """How many processes share this training, as their launcher tells them."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _part(config: TrainingConfig, processes: int) -> int:
    """Trajectories in one part of an optimizer step. Raises PolicyFault where the batch does not divide."""
    parts = config.gradient_accumulation * processes
    if config.batch_size % parts:
        raise PolicyFault(
            f"batch_size {config.batch_size} cannot be shared by {processes} processes with gradient_accumulation "
            f"{config.gradient_accumulation}: make it a multiple of {parts}"
        )
    return config.batch_size // parts


def _trainer(model: Any, examples: Examples, args: TrainingArguments, collator: Collator) -> WeightedTrainer:
    trainer = WeightedTrainer(
        model=model,
        args=args,
        train_dataset=examples,
        data_collator=PartCollator(collator, examples),
    )
    trainer.remove_callback(PrinterCallback)
    torch.manual_seed(args.seed + args.process_index)  # each process its own dropout
    return trainer


def _state(folder: Path, trainer: WeightedTrainer) -> str | None:
    """The state to go on from; the same for all processes, since unsound ones go only when all have looked."""
    found = newest_sound(folder)
    trainer.accelerator.wait_for_everyone()
    if trainer.args.should_save:
        forget(folder, but=found)
    trainer.accelerator.wait_for_everyone()
    return str(found) if found else None


def _whole(trainer: WeightedTrainer, base: CheckpointRef, config: TrainingConfig) -> Any:
    """The trained causal LM on the CPU, adapters merged, whatever it was wrapped in and however it was cut up."""
    model: Any = trainer.model
    if trainer.is_fsdp_enabled:
        weights = trainer.accelerator.get_state_dict(model)
        if not trainer.args.should_save:
            return None
        model = _prepared(load(base)[0], config)
        fill(model, weights)
    give_logits(model)
    model = model.to("cpu")
    return merge_adapters(model) if config.lora else model


def fill(model: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Give the model all of its weights anew; tied ones under any of their names. Raises PolicyFault where names do not
    fit: what would be saved else is the base model, untrained."""
    unknown = model.load_state_dict(weights, strict=False).unexpected_keys
    named = list(model.named_parameters(remove_duplicate=False))
    given = {id(weight) for name, weight in named if name in weights}
    missing = [name for name, weight in model.named_parameters() if id(weight) not in given]
    if unknown or missing:
        raise PolicyFault(
            f"the gathered weights do not fit the base model ({len(unknown)} unknown, {len(missing)} missing, e.g. "
            f"{(unknown + missing)[0]}): use the versions of torch, accelerate and peft that pyproject.toml names"
        )


def _sound(model: Any, config: TrainingConfig) -> Any:
    """The model, where all its weights are finite. Raises PolicyFault."""
    if name := first_unsound(model):
        what = f"after the last training step the weight {name} is not finite in {config.dtype}"
        raise PolicyFault(diverged(what, None, True, None))
    return model


def _curve(trainer: WeightedTrainer) -> tuple[CurvePoint, ...]:
    """Every step, those before a resumption too: the Trainer's history is part of its state."""
    logs = [log for log in trainer.state.log_history if "loss" in log]
    return tuple(
        CurvePoint(int(log["step"]), log["loss"], log["learning_rate"], log["grad_norm"]) for log in logs
    )


class _Reporter(TrainerCallback):
    """Passes progress on. Keeps no state at the end: the checkpoint follows."""

    def __init__(self, progress: TrainingProgress | None) -> None:
        self._progress = progress

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step >= state.max_steps:
            control.should_save = False

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any
    ) -> None:
        if self._progress and logs and "loss" in logs and state.is_world_process_zero:
            self._progress(state.global_step, state.max_steps, logs["loss"])
