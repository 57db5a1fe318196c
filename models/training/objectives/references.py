"""Log-probabilities of training examples under a fixed reference model: computed once, then kept in a file.

They are computed as in training (same dtypes, same autocast) but without dropout, in batches that do not depend on the
number of processes. Several processes share the batches.

FOLDER/<key>.json holds the key, the numbers and their digest. The key is made of the reference, the tokens, the dtypes
and the kind of device. A file that is damaged or holds another key is not used: the numbers are computed again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import reduce

from configs.json_text import parse_json
from configs.training import TrainingConfig
from models.training.adapters import weights_dtype
from models.training.encoding import Collator, Encoded, sequences_of
from models.training.objectives.losses import trajectory_losses

_BATCH_TOKENS = (
    4096  # padding included; a pass without gradients that fits wherever a training of such examples does
)
_VERSION = 1  # of how they are computed
_log = logging.getLogger(__name__)


def reference_log_probabilities(
    examples: Sequence[Encoded],
    reference: str,
    load: Callable[[], Any],
    config: TrainingConfig,
    pad: int,
    device: torch.device,
    folder: Path,
) -> torch.Tensor:
    """log p_ref of each example's target tokens, summed over its sequences: [examples] in fp32, on the CPU; equal in
    all processes. `reference`: the digest of the model that `load` gives."""
    key = _key(examples, reference, config, device)
    file = folder / f"{key}.json"
    values = _read(file, key, len(examples))
    if _in_any_process(values is None, device):
        values = _computed(load(), examples, config, pad, device).tolist()
        if PartialState().is_main_process and all(map(math.isfinite, values)):
            _write(file, key, values)
    return torch.tensor(values, dtype=torch.float32)


def _computed(
    model: Any, examples: Sequence[Encoded], config: TrainingConfig, pad: int, device: torch.device
) -> torch.Tensor:
    """[examples]. Moves the model to the device, and back to the CPU at the end."""
    model = model.to(device, weights_dtype(config)).eval()
    state, collate = PartialState(), Collator(pad)
    sequences = [
        (owner, ids, labels) for owner, item in enumerate(examples) for ids, labels, _ in sequences_of(item)
    ]
    values = torch.zeros(len(sequences), device=device)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=config.dtype == "bfloat16")
    with torch.no_grad(), autocast:
        for batch in _batches([len(ids) for _, ids, _ in sequences])[
            state.process_index :: state.num_processes
        ]:
            rows = [_alone(*sequences[i][1:]) for i in batch]
            inputs = {name: tensor.to(device) for name, tensor in collate(rows).items()}
            labels, _ = inputs.pop("labels"), inputs.pop("weights")
            values[torch.tensor(batch, device=device)] = -trajectory_losses(model, inputs, labels, "sum")
    model.to("cpu")
    owners = torch.tensor([owner for owner, _, _ in sequences])
    return torch.zeros(len(examples)).index_add(0, owners, reduce(values, "sum").cpu())


def _alone(ids: list[int], labels: list[int]) -> Encoded:
    return {"input_ids": ids, "labels": labels, "lengths": [len(ids)], "weight": 1.0}


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Indices in batches of similar length, the longest first, of up to _BATCH_TOKENS each."""
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= _BATCH_TOKENS:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def _key(examples: Sequence[Encoded], reference: str, config: TrainingConfig, device: torch.device) -> str:
    tokens = [[item["input_ids"], item["labels"], item["lengths"]] for item in examples]
    decides = [_VERSION, reference, config.dtype, str(weights_dtype(config)), device.type, tokens]
    return hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:32]


def _read(file: Path, key: str, count: int) -> list[float] | None:
    """The numbers in the file; None if it is missing or not what was written under this key."""
    try:
        found = parse_json(file.read_text())
        values, intact = found["values"], found["key"] == key and found["sha256"] == _digest(found["values"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning(
            "%s cannot be read (%r); the reference's log-probabilities are computed again", file, error
        )
        return None
    if not intact or len(values) != count:
        _log.warning(
            "%s has changed since it was written; the reference's log-probabilities are computed again", file
        )
        return None
    return list(values)


def _write(file: Path, key: str, values: list[float]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_name(f".writing-{file.stem}-{os.getpid()}")
    scratch.write_text(json.dumps({"key": key, "sha256": _digest(values), "values": values}))
    os.replace(scratch, file)


def _digest(values: list[float]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def _in_any_process(condition: bool, device: torch.device) -> bool:
    return bool(reduce(torch.tensor(int(condition), device=device), "sum"))
