"""Finds the simulator: the jar in the installed package `scienceworld`, which must be that of version 1.2.3.

The package itself is not imported: its `env.step` lists all valid actions after each step, which takes longer than the
step.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from environments.base import EnvironmentFault
from environments.cached_files import cache_folder
from environments.scienceworld.catalog import SIMPLIFICATION

VERSION = "1.2.3"
JAR_SHA256 = "f4e1fdce0cdabe1bab7128a7e78ea820210d9db3c28d7272bcbbc3f3a1c5f0d7"
JAR_DIGEST = JAR_SHA256[:16]
"""In the ids of the tasks: another simulator, other tasks."""
DATA = "environment.options.data"
"""The option that chooses the folder of what is kept."""
INSTALL = "pip install 'steca-factory[scienceworld]'"


def jar() -> Path:
    """The simulator's jar, checked. Raises EnvironmentFault if the package is missing, has another version or is
    damaged."""
    spec = find_spec("scienceworld")
    if spec is None or spec.origin is None:
        raise EnvironmentFault(f"scienceworld: the Python package is not installed: {INSTALL}")
    path = Path(spec.origin).with_name("scienceworld.jar")
    check_jar(path)
    return path


def check_jar(path: Path) -> None:
    """Raises EnvironmentFault if the file is not the jar of the required version."""
    try:
        state = path.stat()
        digest = _sha256(path, state.st_mtime_ns, state.st_size)
    except OSError as error:
        raise EnvironmentFault(f"{path}: cannot be read ({error.strerror}): {_again()}") from error
    if digest == JAR_SHA256:
        return
    if (installed := _installed()) != VERSION:
        raise EnvironmentFault(f"scienceworld {installed} is installed, but {VERSION} is needed: {INSTALL}")
    raise EnvironmentFault(
        f"{path}: not the jar of scienceworld {VERSION} ({state.st_size} bytes; it may be truncated): {_again()}"
    )


@cache
def _sha256(path: Path, modified: int, size: int) -> str:
    """`modified` and `size` make a changed file another call."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _installed() -> str:
    try:
        return version("scienceworld")
    except PackageNotFoundError:
        return "of an unknown version"


def _again() -> str:
    return f"pip install --force-reinstall scienceworld=={VERSION}"


def data_folder(chosen: str | None) -> Path:
    """Where texts and solutions of this simulator are kept: in the chosen folder, or in the user's cache folder."""
    base = Path(chosen).expanduser() if chosen else cache_folder()
    return base / "scienceworld" / f"{JAR_DIGEST}-{SIMPLIFICATION}"
