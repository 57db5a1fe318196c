"""Content-addressed checkpoints: Hugging Face folders named by their digest.

A checkpoint is written to a temporary folder and renamed in one step, so a folder under its final name is always
complete. `manifest.json` (provenance) is not part of the digest: the same weights and tokenizer are the same policy,
however they were trained.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

from models.checkpoint_ref import MANIFEST, CheckpointRef, folder_digest, reference, verify_checkpoint
from models.file_errors import writing_model
from models.policy import PolicyFault, describe_error

__all__ = [
    "CheckpointRef",
    "load",
    "parameters_of",
    "reference",
    "save_checkpoint",
    "verify_checkpoint",
    "weights_digest",
]

_SAMPLED_VALUES = 2**16


def save_checkpoint(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, root: Path, manifest: dict[str, Any]
) -> CheckpointRef:
    """Write root/<first 16 of the digest>/ (safetensors, tokenizer with chat template, manifest). If that
    folder exists and is intact it is kept. Raises PolicyFault if `root` cannot be written."""
    with writing_model("a checkpoint", root):
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=".writing-") as scratch:
            folder = Path(scratch) / "checkpoint"
            _write(model, tokenizer, folder)
            (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
            digest = folder_digest(folder)
            target = root / digest[:16]
            _place(folder, target, digest)
    return CheckpointRef(target, digest)


def load(ref: CheckpointRef, device: str = "cpu") -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Verify and load a checkpoint for inference, in the dtype it was saved in. Raises PolicyFault, also if weights are
    missing: transformers would initialise them at random."""
    verify_checkpoint(ref)
    disable_progress_bar()
    try:
        model, report = _load_model(ref.path)
        tokenizer = AutoTokenizer.from_pretrained(ref.path, trust_remote_code=False)
    except Exception as error:  # transformers, safetensors, tokenizers and torch each raise their own errors
        raise PolicyFault(
            f"checkpoint {ref.path} cannot be loaded as a causal LM ({describe_error(error)})"
        ) from error
    if missing := sorted(report["missing_keys"]):
        raise PolicyFault(
            f"checkpoint {ref.path} lacks {len(missing)} of its weights, e.g. {missing[0]}: get the whole model again"
        )
    return model.to(device).eval(), tokenizer


def _load_model(folder: Path) -> tuple[Any, dict[str, Any]]:
    """The model, and transformers' loading report."""
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        folder, use_safetensors=True, trust_remote_code=False, output_loading_info=True
    )
    return loaded


def parameters_of(ref: CheckpointRef) -> int:
    """Number of weights in a checkpoint, from its file headers; tied ones are stored and counted once."""
    return sum(
        math.prod(weights.get_slice(name).get_shape())
        for file in ref.path.glob("*.safetensors")
        for weights in [safe_open(file, framework="pt")]
        for name in weights.keys()  # noqa: SIM118 - not a mapping
    )


def weights_digest(model: PreTrainedModel, dtype: torch.dtype) -> str:
    """SHA-256 over the weights alone, in `dtype`, independent of their files: equal if a training changed none. Of
    large tensors a sample of values counts, enough that no training leaves them all unchanged. Values are rounded to
    2^-24 of the largest: a zero that became 1e-30 is no change."""
    total = hashlib.sha256()
    for name, weight in model.named_parameters():
        total.update(f"{name}\0".encode())
        flat = weight.detach().reshape(-1)
        values = flat[:: max(1, len(flat) // _SAMPLED_VALUES)].to("cpu", dtype).float()
        unit = values.abs().max().clamp(min=1e-6) * 2**-24
        total.update((values / unit).round().int().numpy().data)
    return total.hexdigest()


def _write(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Save both, without the settings that only say where they were loaded from."""
    disable_progress_bar()
    model.config.name_or_path = ""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    file = folder / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    for key in ("is_local", "local_files_only", "name_or_path"):
        settings.pop(key, None)
    file.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")


def _place(folder: Path, target: Path, digest: str) -> None:
    if target.is_dir():
        if folder_digest(target) == digest:
            return
        shutil.rmtree(target)  # a damaged copy of this content
    try:
        os.replace(folder, target)
    except OSError:  # another process has just written the same checkpoint
        if not target.is_dir() or folder_digest(target) != digest:
            raise
