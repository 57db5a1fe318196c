"""What a training learns from: weighted examples or preferences. Their objective, and how a job file holds them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from configs.training import TrainingConfig
from models.checkpoint import load
from models.checkpoint_ref import CheckpointRef
from models.policy import PolicyFault
from models.training.encoding import Collator, Encoder
from models.training.examples import Example, PreferencePair
from models.training.objectives.objective import Likelihood, Objective
from models.training.objectives.preferences import PreferenceObjective, Preferences
from models.training.objectives.references import reference_log_probabilities
from steca.preferences import PreferenceLoss

TrainingData = Sequence[Example] | Preferences


def make_objective(
    data: TrainingData,
    base: CheckpointRef,
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    config: TrainingConfig,
    device: torch.device,
) -> Objective:
    """The objective of a training that starts at `base`, whose model and tokenizer these are. Raises PolicyFault for an
    unusable example or reference."""
    encode = Encoder(tokenizer, config.max_tokens).encode
    pad = tokenizer.pad_token_id or 0
    if not isinstance(data, Preferences):
        return Likelihood([e.name for e in data], list(map(encode, data)), Collator(pad, config.loss))
    if config.loss != "sum":
        raise PolicyFault(
            f"loss is {config.loss}, but preferences are learned from sums over target tokens: set it to sum"
        )
    sides = list(map(encode, data.sides()))

    def reference() -> Any:
        return model if data.reference.digest == base.digest else _load_reference(data.reference, tokenizer)

    given = reference_log_probabilities(
        sides, data.reference.digest, reference, config, pad, device, data.cache
    )
    _check_finite(data, given)
    return PreferenceObjective([pair.name for pair in data.pairs], sides, given, data.loss, pad)


def _load_reference(reference: CheckpointRef, tokenizer: PreTrainedTokenizerBase) -> Any:
    model, own = load(reference)
    if own.get_vocab() != tokenizer.get_vocab():
        raise PolicyFault(
            f"the reference model {reference.path} has another vocabulary than the model that is trained: choose a "
            "reference of the same family"
        )
    return model


def _check_finite(data: Preferences, values: torch.Tensor) -> None:
    for side, value in zip(data.sides(), values.tolist(), strict=True):
        if not math.isfinite(value):
            raise PolicyFault(
                f"the log-probability of {side.name} under the reference model {data.reference.path} is not a finite "
                "number: check this pair and the model's weights and dtype"
            )


def content(data: TrainingData) -> list[Any]:
    """All of the data that decides a training, as JSON values."""
    if isinstance(data, Preferences):
        sides = [[list(e.messages), list(e.targets), e.thinking] for e in data.sides()]
        return [data.reference.digest, asdict(data.loss), sides]
    return [[list(e.messages), list(e.targets), e.weight] for e in data]


def to_job(data: TrainingData) -> dict[str, Any]:
    """The data as JSON values, for `from_job`."""
    if not isinstance(data, Preferences):
        return {"examples": [asdict(example) for example in data]}
    return {
        "pairs": [asdict(pair) for pair in data.pairs],
        "reference": str(data.reference.path.resolve()),
        "reference_digest": data.reference.digest,
        "preferences": asdict(data.loss),
        "cache": str(data.cache.resolve()),
    }


def from_job(job: dict[str, Any]) -> TrainingData:
    """What `to_job` was given."""
    if "examples" in job:
        return [Example(**example) for example in job["examples"]]
    return Preferences(
        [PreferencePair(p["name"], Example(**p["chosen"]), Example(**p["rejected"])) for p in job["pairs"]],
        CheckpointRef(Path(job["reference"]), job["reference_digest"]),
        PreferenceLoss(**job["preferences"]),
        Path(job["cache"]),
    )


def to_manifest(data: TrainingData) -> dict[str, Any]:
    """What a checkpoint's manifest says of the data: how many examples or pairs, and the settings of preferences."""
    if not isinstance(data, Preferences):
        return {"examples": len(data)}
    return {"pairs": len(data), "reference": data.reference.digest, "preferences": asdict(data.loss)}
