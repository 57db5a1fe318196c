"""References to checkpoints, and the digests that prove them. Needs no torch: cached runs verify too."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from models.policy import PolicyFault

MANIFEST = "manifest.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


@dataclass(frozen=True, slots=True)
class CheckpointRef:
    """Where a checkpoint lies, and the SHA-256 (hex) that its files must have."""

    path: Path
    digest: str


def reference(path: Path) -> CheckpointRef:
    """Refer to any Hugging Face folder as it is now. Raises PolicyFault where it is not one, or where its weights are
    pickles, which run what is in them when they are loaded."""
    if not (path / "config.json").is_file():
        raise PolicyFault(f"{path} is no model folder (it has no config.json): give a Hugging Face folder")
    if fault := no_safetensors(path):
        raise PolicyFault(f"{path}: {fault}")
    return CheckpointRef(path, folder_digest(path))


def no_safetensors(folder: Path) -> str | None:
    """What a folder without them holds instead, and what to do; None where it has some."""
    if any(folder.glob("*.safetensors")):
        return None
    pickles = sorted(file.name for kind in PICKLES for file in folder.glob(kind))
    what = f"its weights are pickles ({', '.join(pickles)})" if pickles else "it holds no weights"
    return (
        f"{what}; safetensors only: get the model's *.safetensors files, or convert these where you trust them "
        "(load, then save_pretrained)"
    )


def folder_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of the folder's files, in the order of their names. Hidden ones do not count:
    downloaders leave notes there, with times in them."""
    total = hashlib.sha256()
    for file in sorted(p for p in folder.rglob("*") if p.is_file() and _counts(p.relative_to(folder))):
        total.update(f"{file.relative_to(folder).as_posix()}\0".encode())
        with file.open("rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()


def _counts(file: Path) -> bool:
    return file.name != MANIFEST and not any(part.startswith(".") for part in file.parts)


def verify_checkpoint(ref: CheckpointRef) -> None:
    """Raises PolicyFault where the folder is missing or its files do not match the digest."""
    if not ref.path.is_dir():
        raise PolicyFault(
            f"checkpoint {ref.path} is missing: run the stage that trains it again with --force"
        )
    found = folder_digest(ref.path)
    if found != ref.digest:
        raise PolicyFault(
            f"checkpoint {ref.path} does not match its digest (expected {ref.digest[:16]}, found {found[:16]}): "
            "its files were changed or cut short; delete the folder and train it again with --force"
        )
