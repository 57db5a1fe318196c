"""Content-addressed checkpoints: Hugging Face folders named by the digest of what is in them.

A checkpoint is written into a temporary folder beside its place and moved there in one step, so a folder under
its final name is always whole. `manifest.json` (provenance) is no part of the digest: the same weights and
tokenizer are the same policy, whoever trained them.
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

from models.policy import PolicyFault, described
from models.reference import MANIFEST, CheckpointRef, folder_digest, reference, verify_checkpoint

__all__ = [
    "CheckpointRef",
    "load",
    "parameters_of",
    "reference",
    "save_checkpoint",
    "verify_checkpoint",
    "weights_digest",
]

_SAMPLE = 2**16


def save_checkpoint(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, root: Path, manifest: dict[str, Any]
) -> CheckpointRef:
    """Write root/<first 16 of the digest>/ (safetensors, tokenizer with chat template, manifest). Where that
    folder exists and is sound it is kept. Raises PolicyFault where `root` cannot be written."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=".writing-") as scratch:
            folder = Path(scratch) / "checkpoint"
            _write(model, tokenizer, folder)
            (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
            digest = folder_digest(folder)
            target = root / digest[:16]
            _place(folder, target, digest)
    except OSError as error:
        raise PolicyFault(
            f"cannot write a checkpoint under {root}: {error}; free space or pick another folder"
        ) from error
    return CheckpointRef(target, digest)


def load(ref: CheckpointRef, device: str = "cpu") -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Verify and load a checkpoint, in the dtype it was saved in, for inference. Raises PolicyFault, also where weights
    are missing: transformers would draw them at random."""
    verify_checkpoint(ref)
    disable_progress_bar()
    try:
        model, found = _from(ref.path)
        tokenizer = AutoTokenizer.from_pretrained(ref.path, trust_remote_code=False)
    except (
        Exception
    ) as error:  # transformers, safetensors, tokenizers and torch each have errors of their own
        raise PolicyFault(
            f"checkpoint {ref.path} cannot be loaded as a causal LM ({described(error)})"
        ) from error
    if lacking := sorted(found["missing_keys"]):
        raise PolicyFault(
            f"checkpoint {ref.path} lacks {len(lacking)} of its weights, e.g. {lacking[0]}: get the whole model again"
        )
    return model.to(device).eval(), tokenizer


def _from(folder: Path) -> tuple[Any, dict[str, Any]]:
    """The model, and what was found of it."""
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        folder, use_safetensors=True, trust_remote_code=False, output_loading_info=True
    )
    return loaded


def parameters_of(ref: CheckpointRef) -> int:
    """How many weights a checkpoint has, by the headers of its files; tied ones are stored, and count, once."""
    return sum(
        math.prod(weights.get_slice(name).get_shape())
        for file in ref.path.glob("*.safetensors")
        for weights in [safe_open(file, framework="pt")]
        for name in weights.keys()  # noqa: SIM118 - it is no mapping
    )


def weights_digest(model: PreTrainedModel, dtype: torch.dtype) -> str:
    """SHA-256 over the weights alone, in `dtype`, whatever form and company they have on disk: equal where a training
    changed none of them. Of a large tensor so many values count that no training passes them all by. Each is rounded to
    2^-24 of the largest: a zero that became 1e-30 is no change."""
    total = hashlib.sha256()
    for name, weight in model.named_parameters():
        total.update(f"{name}\0".encode())
        flat = weight.detach().reshape(-1)
        values = flat[:: max(1, len(flat) // _SAMPLE)].to("cpu", dtype).float()
        unit = values.abs().max().clamp(min=1e-6) * 2**-24
        total.update((values / unit).round().int().numpy().data)
    return total.hexdigest()


def _write(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Save both, less what says only where they were loaded from."""
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
        shutil.rmtree(target)  # a damaged copy of the very content that has just been written
    try:
        os.replace(folder, target)
    except OSError:  # another process has just placed the same
        if not target.is_dir() or folder_digest(target) != digest:
            raise
