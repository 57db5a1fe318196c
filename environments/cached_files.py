"""Files of the user's cache folder: what a world keeps because it takes long to make."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from configs.json_text import parse_json
from environments.base import EnvironmentFault

log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """This project's folder among the user's caches."""
    return _user_cache() / "steca"


def _user_cache() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def read_json(file: Path) -> Any:
    """None if there is no such file. A damaged one is reported, and will be made again."""
    try:
        return parse_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.warning("%s: cannot be read (%s); it is made again", file, error.__class__.__name__)
        return None


def write_json(file: Path, content: Any, elsewhere: str) -> None:
    """All or nothing, also if several processes write the file. `elsewhere`: the setting that names another folder.
    Raises EnvironmentFault."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=file.parent, delete=False) as draft:
            json.dump(content, draft)
        os.replace(draft.name, file)
    except OSError as error:
        raise EnvironmentFault(
            f"{file}: cannot be written ({error.strerror}): set {elsewhere} to a folder that can"
        ) from error
