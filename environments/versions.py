"""The version of a world that names none: the digest of its source files."""

from __future__ import annotations

import hashlib
import inspect
import sys
from pathlib import Path
from types import ModuleType

from environments.base import EnvironmentFault

FIRST_VERSION = "1"
"""The version of every world older than world versions."""


def version_of(world: object) -> str:
    """What the world says, else the digest of its source files. Another version makes every cached result of the world
    invalid. Raises EnvironmentFault if there is neither."""
    said = getattr(world, "version", None)
    if isinstance(said, str | int | float) and str(said):
        return str(said)
    files = source_files(world)
    if not files:
        raise EnvironmentFault(
            f"world {type(world).__name__}: its source cannot be read, so a change of it could not be noticed: give it "
            'an attribute version = "1"'
        )
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return f"source-{digest.hexdigest()[:16]}"


def source_files(world: object) -> list[Path]:
    """The file that defines the world's class, with all files of its package if it is in one, and the files of the same
    folder that it uses, as far as they are imported by now. Empty if it cannot be read."""
    try:
        own = Path(inspect.getfile(type(world)))
    except (OSError, TypeError):
        return []
    module = sys.modules.get(type(world).__module__)
    if not module or not own.is_file():
        return []
    top = own
    while (top.parent / "__init__.py").is_file():
        top = top.parent
    found = {own, *(top.rglob("*.py") if top.is_dir() else ())}
    _add_used(module, top.parent, found)
    return sorted(found)


def _add_used(module: ModuleType, folder: Path, found: set[Path]) -> None:
    """Add the files of the modules in a folder that a module has imported, or has names from, and so on."""
    for value in list(vars(module).values()):
        used = (
            value
            if isinstance(value, ModuleType)
            else sys.modules.get(getattr(value, "__module__", "") or "")
        )
        file = Path(getattr(used, "__file__", None) or "")
        own = file.suffix == ".py" and file.is_relative_to(folder) and "site-packages" not in file.parts
        if used and own and file not in found:
            found.add(file)
            _add_used(used, folder, found)
