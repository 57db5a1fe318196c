"""Checks whether a model folder's safetensors files are complete, by their headers and sizes alone.

A file is 8 bytes n (little-endian), n bytes of JSON with each tensor's position, then the tensors' bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from configs.json_text import parse_json

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_POINTER = b"version https://git-lfs"


def broken_weights(folder: Path) -> str | None:
    """What is wrong with the weights that transformers would load: a missing, truncated or damaged file."""
    if (folder / SINGLE).exists():
        return broken_file(folder / SINGLE)
    if not (folder / INDEX).exists():
        return (
            f"it has neither {SINGLE} nor {INDEX}, so its weights cannot be found: download the whole model"
        )
    try:
        places: dict[str, str] = parse_json((folder / INDEX).read_text(encoding="utf-8"))["weight_map"]
        files = sorted(set(places.values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"{INDEX} is not a valid index of its weights (it may be truncated): download it again"
    missing = [file for file in files if not (folder / file).is_file()]
    if missing:
        return (
            f"{len(missing)} of {len(files)} files of weights are missing, e.g. {missing[0]}: download them"
        )
    faults = (broken_file(folder / file) for file in files)
    return next((fault for fault in faults if fault), None) or _lacking(folder, places)


def broken_file(file: Path) -> str | None:
    """What is wrong with one safetensors file."""
    size = file.stat().st_size
    with file.open("rb") as data:
        start = data.read(len(_POINTER))
    if start == _POINTER:
        return f"{file.name} is a Git LFS pointer, not the weights: run git lfs pull"
    header = _header(file)
    if header is None:
        return f"{file.name} is truncated or has a damaged header ({size} bytes): download it again"
    length, tensors = header
    whole = 8 + length + max((tensor["data_offsets"][1] for tensor in tensors.values()), default=0)
    if size != whole:
        return f"{file.name} has {size} bytes, but its header says {whole}: download it again"
    return None


def _lacking(folder: Path, places: dict[str, str]) -> str | None:
    """A tensor in the index that is not in its file: it would be initialised at random."""
    held = {file: _names(folder / file) for file in set(places.values())}
    lacking = sorted(name for name, file in places.items() if name not in held[file])
    if not lacking:
        return None
    return f"{places[lacking[0]]} does not contain {lacking[0]}, which {INDEX} lists: download both again"


def _names(file: Path) -> set[str]:
    found = _header(file)
    return set(found[1]) if found else set()


def _header(file: Path) -> tuple[int, dict[str, Any]] | None:
    """The header's length and its tensors by name; None if it is incomplete or invalid."""
    with file.open("rb") as data:
        length = int.from_bytes(data.read(8), "little")
        if 8 + length > file.stat().st_size:
            return None
        try:
            header: dict[str, Any] = parse_json(data.read(length))
            header.pop("__metadata__", None)
            ends = [tensor["data_offsets"][1] for tensor in header.values()]
        except (ValueError, AttributeError, KeyError, IndexError, TypeError):
            return None
    return (length, header) if all(isinstance(end, int) for end in ends) else None
