"""References to checkpoints and their digests. Works without torch, so that runs from the cache verify them too."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from models.policy import PolicyFault

MANIFEST = "manifest.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


@dataclass(frozen=True, slots=True)
class CheckpointRef:
    """A checkpoint's folder, and the SHA-256 (hex) that its files must have."""

    path: Path
    digest: str


def reference(path: Path) -> CheckpointRef:
    """A reference to a Hugging Face folder with its current digest. Raises PolicyFault if it is none, or if its weights
    are pickles, which can run code when loaded."""
    if not (path / "config.json").is_file():
        raise PolicyFault(f"{path} is not a model folder (it has no config.json): give a Hugging Face folder")
    if fault := no_safetensors(path):
        raise PolicyFault(f"{path}: {fault}")
    return CheckpointRef(path, folder_digest(path))


def no_safetensors(folder: Path) -> str | None:
    """What is wrong with a folder without safetensors, and what to do; None if it has some."""
    if any(folder.glob("*.safetensors")):
        return None
    pickles = sorted(file.name for kind in PICKLES for file in folder.glob(kind))
    what = f"its weights are pickles ({', '.join(pickles)})" if pickles else "it holds no weights"
    return (
        f"{what}; safetensors only: get the model's *.safetensors files, or convert these if you trust them "
        "(load, then save_pretrained)"
    )


def folder_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of the folder's files, in order of their names. Hidden files do not count:
    downloaders keep notes with timestamps there."""
    total = hashlib.sha256()
    for file in sorted(p for p in folder.rglob("*") if p.is_file() and _is_digested(p.relative_to(folder))):
        total.update(f"{file.relative_to(folder).as_posix()}\0".encode())
        with file.open("rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()


def _is_digested(file: Path) -> bool:
    return file.name != MANIFEST and not any(part.startswith(".") for part in file.parts)


def verify_checkpoint(ref: CheckpointRef) -> None:
    """Raises PolicyFault if the folder is missing or its files do not match the digest."""
    if not ref.path.is_dir():
        raise PolicyFault(
            f"checkpoint {ref.path} is missing: run the stage that trains it again with --force"
        )
    found = folder_digest(ref.path)
    if found != ref.digest:
        raise PolicyFault(
            f"checkpoint {ref.path} does not match its digest (expected {ref.digest[:16]}, found {found[:16]}): "
            "its files were changed or truncated; delete the folder and train it again with --force (`steca doctor` "
            "says how)"
        )
