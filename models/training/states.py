"""States of an unfinished training: root/checkpoint-N, sealed with the digests of their files when they are whole.

A killed training goes on from the newest sound one. One that was cut short or changed is thrown away, with a
warning; without another the training starts anew.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from pathlib import Path

SEAL = "seal.json"
_log = logging.getLogger(__name__)


def keep_only(state: Path) -> None:
    """Seal a state that is whole, then delete the others beside it."""
    seal = state / SEAL
    scratch = seal.with_suffix(".writing")
    scratch.write_text(json.dumps(_digests(state), indent=1))
    os.replace(scratch, seal)
    for other in _states(state.parent):
        if other != state:
            shutil.rmtree(other)


def newest_sound(root: Path) -> Path | None:
    """The newest state that is as it was sealed; None where there is none."""
    for state in _states(root):
        fault = _fault(state)
        if fault is None:
            return state
        _log.warning("training state %s cannot be used: %s; going on without it", state, fault)
    return None


def newest_sealed(root: Path) -> Path | None:
    """The newest state that was written to its end, whatever became of it since."""
    return next((state for state in _states(root) if (state / SEAL).is_file()), None)


def forget(root: Path, but: Path | None = None) -> None:
    """Delete all states but one, and the folder itself where nothing is left in it."""
    for state in _states(root):
        if state != but:
            shutil.rmtree(state)
    if root.is_dir() and not any(root.iterdir()):
        root.rmdir()


def _states(root: Path) -> list[Path]:
    """Newest first."""
    found = [path for path in root.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdigit()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("checkpoint-")), reverse=True)


def _fault(state: Path) -> str | None:
    try:
        sealed = json.loads((state / SEAL).read_text())
    except FileNotFoundError:
        return "it was not written to its end"
    except (OSError, ValueError) as error:
        return f"its {SEAL} cannot be read ({error})"
    found = _digests(state)
    wrong = sorted(name for name in sealed.keys() | found.keys() if sealed.get(name) != found.get(name))
    return f"{wrong[0]} is not the file that was written" if wrong else None


def _digests(state: Path) -> dict[str, str]:
    """SHA-256 of each file, by its path in the state."""
    digests = {}
    for path in sorted(state.rglob("*")):
        if path.is_file() and path.name != SEAL:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            digests[path.relative_to(state).as_posix()] = digest
    return digests
