"""The version of a world that names none: the digest of its source files."""

from __future__ import annotations

import hashlib
import inspect
import sys
from pathlib import Path

from environments.base import EnvironmentFault

FIRST_VERSION = "1"
"""The version of every world older than world versions."""


def version_of(world: object) -> str:
    """What the world says, else the digest of the file that defines its class, with all files of its package if it is
    in one. Another version makes every cached result of the world invalid. Raises EnvironmentFault if there is neither.
    """
    said = getattr(world, "version", None)
    if isinstance(said, str) and said:
        return said
    files = _source_files(type(world))
    if not files:
        raise EnvironmentFault(
            f"world {type(world).__name__}: its source cannot be read, so a change of it could not be noticed: give it "
            'an attribute version = "1"'
        )
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return f"source-{digest.hexdigest()[:16]}"


def _source_files(defined: type) -> list[Path]:
    try:
        file = Path(inspect.getfile(defined))
    except (OSError, TypeError):
        return []
    package = sys.modules[defined.__module__].__package__
    if package and (file.parent / "__init__.py").is_file():
        return sorted(file.parent.rglob("*.py"))
    return [file] if file.is_file() else []
