"""The game of a task: the trial's folder, and the digest of the files that the world reads there.

The digest is part of the task's id and payload ("json_2.1.1/train/.../trial_x#0123456789abcdef"). So games of another
download or dialect are other tasks, and a game that changes during a run is detected. Tasks of version 0.3.0 have no
digest.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from environments.alfworld.official.reader import data_folder
from environments.base import EnvironmentFault

READ = ("game.tw-pddl", "gt_traj.json")
"""All files of a trial that the world reads."""
_DIGITS = 16


def with_digest(data: Path, path: str) -> str:
    """The path of a trial's folder with its digest. Raises EnvironmentFault if its files cannot be read."""
    return f"{path}#{_digest(data / path)}"


@lru_cache(maxsize=1 << 16)
def trial_folder(data: Path | None, payload: str) -> Path:
    """The folder of a task's trial (`data` None: in $ALFWORLD_DATA). Raises EnvironmentFault if its files have changed
    since the task was listed."""
    path, _, digest = payload.partition("#")
    folder = data_folder(data) / path
    if digest and (found := _digest(folder)) != digest:
        raise EnvironmentFault(
            f"{folder}: the game has changed since the task was listed (its digest was {digest} and is {found}): "
            "restore the old files, or run the stage demonstrate again"
        )
    return folder


def _digest(folder: Path) -> str:
    total = hashlib.sha256()
    for name in READ:
        try:
            total.update(f"{name}\0".encode() + hashlib.sha256((folder / name).read_bytes()).digest())
        except FileNotFoundError:  # not every game has a recording; the reader reports a missing game
            continue
        except OSError as error:
            raise EnvironmentFault(f"{folder / name}: cannot be read ({error.strerror})") from error
    return total.hexdigest()[:_DIGITS]
