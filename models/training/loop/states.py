"""States of an unfinished training: root/checkpoint-N, sealed with the digests of their files once complete.

A killed training resumes from the newest intact state. A truncated or changed state is deleted, with a warning; without
any state the training starts from the beginning.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from pathlib import Path

from configs.json_text import parse_json
from models.training.loop.pickles import code_in

SEAL = "seal.json"
_log = logging.getLogger(__name__)


def seal_and_prune(state: Path) -> None:
    """Seal a complete state, then delete the others."""
    seal = state / SEAL
    scratch = seal.with_suffix(".writing")
    scratch.write_text(json.dumps(_digests(state), indent=1))
    os.replace(scratch, seal)
    for other in _states(state.parent):
        if other != state:
            shutil.rmtree(other)


def newest_intact(root: Path) -> Path | None:
    """The newest state whose files match its seal; None if there is none."""
    for state in _states(root):
        fault = _fault(state)
        if fault is None:
            return state
        _log.warning("training state %s cannot be used: %s; it is ignored", state, fault)
    return None


def newest_complete(root: Path) -> Path | None:
    """The newest sealed state; its files are not checked."""
    return next((state for state in _states(root) if (state / SEAL).is_file()), None)


def delete_states(root: Path, keep: Path | None = None) -> None:
    """Delete all states except `keep`, and the folder itself if it is then empty."""
    for state in _states(root):
        if state != keep:
            shutil.rmtree(state)
    if root.is_dir() and not any(root.iterdir()):
        root.rmdir()


def _states(root: Path) -> list[Path]:
    """Newest first."""
    found = [path for path in root.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdigit()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("checkpoint-")), reverse=True)


def _fault(state: Path) -> str | None:
    try:
        sealed = parse_json((state / SEAL).read_text())
    except FileNotFoundError:
        return "it is incomplete"
    except (OSError, ValueError) as error:
        return f"its {SEAL} cannot be read ({error})"
    found = _digests(state)
    wrong = sorted(name for name in sealed.keys() | found.keys() if sealed.get(name) != found.get(name))
    return f"{wrong[0]} has changed since it was written" if wrong else code_in(state)


def _digests(state: Path) -> dict[str, str]:
    """SHA-256 of each file, by its path in the state."""
    digests = {}
    for path in sorted(state.rglob("*")):
        if path.is_file() and path.name != SEAL:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            digests[path.relative_to(state).as_posix()] = digest
    return digests
