"""Training: weighted likelihood of the target turns, or preferences.

    L = mean over trajectories of  weight * sum over target tokens of -log p(token | context)

(method: reinforced training; the warm-up is the same with weight 1). From pairs, L is the mean over pairs of the loss
in models/training/objectives/preferences.py, and all else is the same. The mean is over the trajectories, or pairs, of
the whole optimizer step, across all micro-batches and processes. The sum makes gradients about a hundred times as large
as a mean over tokens; AdamW and gradient clipping to norm 1 do not depend on that scale. bfloat16 trains fp32 weights
under autocast (in bf16 small updates would be rounded away) and saves them as bf16, the dtype of later rollouts; with
LoRA the frozen weights are bf16 and only the adapters fp32.

A training stops at the first non-finite loss or gradient (models/training/loop/divergence.py) and writes no checkpoint.

`train` runs in one process, or in each of the processes that `accelerate launch` starts
(models/training/distributed/launching.py). A killed training resumes from its last state
(models/training/loop/states.py), with the same result.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback, TrainingArguments, set_seed

from configs.training import TrainingConfig
from models.checkpoint import CheckpointRef, load, save_checkpoint, weights_digest
from models.local.device import pick_device, release_memory
from models.policy import PolicyFault, describe_error
from models.training.adapters import add_adapters, merge_adapters, weights_dtype
from models.training.examples import Example
from models.training.loop.divergence import divergence_message, first_nonfinite_weight
from models.training.loop.hf_trainer import restore_forward, use_one_device
from models.training.loop.pickles import data_only
from models.training.loop.states import delete_states, newest_intact
from models.training.loop.trainer import ObjectiveTrainer
from models.training.objectives.losses import return_losses
from models.training.objectives.objective import Objective
from models.training.training_data import TrainingData, make_objective, to_manifest
from steca.vocabulary import Device

__all__ = ["CurvePoint", "Example", "Saving", "TrainResult", "train"]

TrainingProgress = Callable[[int, int, float], None]
"""Called after each optimizer step with (finished steps, all steps, loss)."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One optimizer step: the loss L of its items and the norm of its gradient before clipping, both before the update,
    and the learning rate used. Of preferences also the share of pairs with a positive margin, and the mean margin."""

    step: int
    loss: float
    learning_rate: float
    gradient_norm: float
    preference_accuracy: float | None = None
    preference_margin: float | None = None


@dataclass(frozen=True, slots=True)
class TrainResult:
    """The new checkpoint and its learning curve. `examples` counts pairs where it learned from these;
    `target_tokens` counts one pass over all; `unchanged`: every weight is still the base model's."""

    ref: CheckpointRef
    curve: tuple[CurvePoint, ...]
    examples: int
    target_tokens: int
    unchanged: bool


@dataclass(frozen=True, slots=True)
class Saving:
    """The folder for this training's states (used by it alone, deleted at the end), and the steps between them."""

    folder: Path
    steps: int


def train(
    base: CheckpointRef,
    data: TrainingData,
    config: TrainingConfig,
    out_root: Path,
    seed: int = 0,
    device: Device = "auto",
    progress: TrainingProgress | None = None,
    saving: Saving | None = None,
) -> TrainResult:
    """Train `base` on examples or preferences and save the result under `out_root`. Deterministic on a CPU in (base,
    data, config, seed). Raises PolicyFault for an unusable base or reference, no examples, an example without a target
    or that is too long, LoRA targets that the base does not have, a batch that cannot be divided among the processes,
    a GPU without enough memory, or a training that diverges."""
    if not len(data):
        raise PolicyFault("the training set is empty: there is nothing to train on")
    try:
        return _train(base, data, config, out_root, seed, device, progress, saving)
    except torch.OutOfMemoryError as error:
        raise PolicyFault(
            f"the GPU has no room for this training of {base.path} ({describe_error(error)}): raise its "
            "gradient_accumulation, set gradient_checkpointing or lora, or end what else uses this GPU"
        ) from error
    finally:
        release_memory()


def _train(
    base: CheckpointRef,
    data: TrainingData,
    config: TrainingConfig,
    out_root: Path,
    seed: int,
    device: Device,
    progress: TrainingProgress | None,
    saving: Saving | None,
) -> TrainResult:
    dtype: torch.dtype = getattr(torch, config.dtype)
    with _scratch(saving) as folder:
        args = _arguments(config, len(data), folder, seed, pick_device(device), saving)
        model, tokenizer = load(base)
        if name := first_nonfinite_weight(model):
            raise PolicyFault(
                f"the weight {name} of the base model {base.path} is not finite: download it again"
            )
        before = weights_digest(model, dtype) if args.should_save else None
        objective = make_objective(data, base, model, tokenizer, config, args.device)
        set_seed(seed)
        trainer = _trainer(_prepared(model, config), objective, args)
        return_losses(trainer.model, objective.collator.reduction)
        trainer.add_callback(_Reporter(progress))
        with data_only(folder):
            trainer.train(resume_from_checkpoint=_state_to_resume(folder, trainer) if saving else None)
        trainer.check_final_loss()
        trained = _gathered_model(trainer, base, config)
    manifest = {
        "base": base.digest,
        "seed": seed,
        **to_manifest(data),
        **config.model_dump(mode="json"),
    }
    if not args.should_save:
        return TrainResult(base, (), len(data), 0, unchanged=False)
    trained = _checked_finite(trained.to(dtype), config)
    unchanged = weights_digest(trained, dtype) == before
    ref = save_checkpoint(trained, tokenizer, out_root, manifest)
    if saving:
        delete_states(saving.folder)
    return TrainResult(ref, _curve(trainer), len(data), objective.target_tokens, unchanged)


def optimizer_steps(config: TrainingConfig, examples: int) -> int:
    """Optimizer steps of a training: `config.steps`, else all of `config.epochs`."""
    return config.steps or math.ceil(config.epochs * math.ceil(examples / config.batch_size))


def warmup_steps(config: TrainingConfig, steps: int) -> int:
    """Warm-up steps of the learning rate. The first has rate 0, so a training of one step has none."""
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
    model = model.to(weights_dtype(config))
    return add_adapters(model, config.lora) if config.lora else model


def _arguments(
    config: TrainingConfig, examples: int, folder: Path, seed: int, device: str, saving: Saving | None
) -> TrainingArguments:
    steps, processes = optimizer_steps(config, examples), _processes()
    args = TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=_micro_batch_size(config, processes),
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
        logging_nan_inf_filter=False,  # the filter would log a mean of earlier losses instead
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=device != "cpu",
    )
    use_one_device(args)
    return args


def _processes() -> int:
    """How many processes share this training, from the launcher's environment variable."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _micro_batch_size(config: TrainingConfig, processes: int) -> int:
    """Trajectories in one micro-batch. Raises PolicyFault if the batch size is not divisible."""
    micro_batches = config.gradient_accumulation * processes
    if config.batch_size % micro_batches:
        raise PolicyFault(
            f"batch_size {config.batch_size} cannot be divided among {processes} processes with gradient_accumulation "
            f"{config.gradient_accumulation}: make it a multiple of {micro_batches}"
        )
    return config.batch_size // micro_batches


def _trainer(model: Any, objective: Objective, args: TrainingArguments) -> ObjectiveTrainer:
    trainer = ObjectiveTrainer(objective, model=model, args=args)
    trainer.remove_callback(PrinterCallback)
    torch.manual_seed(args.seed + args.process_index)  # each process draws its own dropout
    return trainer


def _state_to_resume(folder: Path, trainer: ObjectiveTrainer) -> str | None:
    """The state to resume from; the same in all processes, since damaged ones are deleted only after all have
    looked."""
    found = newest_intact(folder)
    trainer.accelerator.wait_for_everyone()
    if trainer.args.should_save:
        delete_states(folder, keep=found)
    trainer.accelerator.wait_for_everyone()
    return str(found) if found else None


def _gathered_model(trainer: ObjectiveTrainer, base: CheckpointRef, config: TrainingConfig) -> Any:
    """The trained causal LM on the CPU, unwrapped, with shards gathered and adapters merged; None in other processes
    than the first."""
    model: Any = trainer.model
    if trainer.is_fsdp_enabled:
        weights = trainer.accelerator.get_state_dict(model)
        if not trainer.args.should_save:
            return None
        model = _prepared(load(base)[0], config)
        load_gathered_weights(model, weights)
    restore_forward(model)
    model = model.to("cpu")
    return merge_adapters(model) if config.lora else model


def load_gathered_weights(model: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Replace all weights of the model; tied ones may have any of their names. Raises PolicyFault if names do not
    match: otherwise the untrained base model would be saved."""
    unknown = model.load_state_dict(weights, strict=False).unexpected_keys
    named = list(model.named_parameters(remove_duplicate=False))
    given = {id(weight) for name, weight in named if name in weights}
    missing = [name for name, weight in model.named_parameters() if id(weight) not in given]
    if unknown or missing:
        raise PolicyFault(
            f"the gathered weights do not fit the base model ({len(unknown)} unknown, {len(missing)} missing, e.g. "
            f"{(unknown + missing)[0]}): use the versions of torch, accelerate and peft that pyproject.toml names"
        )


def _checked_finite(model: Any, config: TrainingConfig) -> Any:
    """The model. Raises PolicyFault if a weight is not finite."""
    if name := first_nonfinite_weight(model):
        what = f"after the last training step the weight {name} is not finite in {config.dtype}"
        raise PolicyFault(divergence_message(what, None, True, None))
    return model


def _curve(trainer: ObjectiveTrainer) -> tuple[CurvePoint, ...]:
    """Every step, also those before resuming: the Trainer's history is part of its state."""
    logs = [log for log in trainer.state.log_history if "loss" in log]
    return tuple(
        CurvePoint(
            int(log["step"]),
            log["loss"],
            log["learning_rate"],
            log["grad_norm"],
            log.get("preference_accuracy"),
            log.get("preference_margin"),
        )
        for log in logs
    )


class _Reporter(TrainerCallback):
    """Reports progress. Saves no state after the last step, since the checkpoint follows."""

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
