"""What the world keeps on disk because the simulator takes long to make it: the tasks' texts, and its solutions."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from environments.base import EnvironmentFault
from environments.scienceworld.catalog import SIMPLIFICATION
from environments.scienceworld.package import JAR_DIGEST

log = logging.getLogger(__name__)


def data_folder(chosen: str | None) -> Path:
    """A folder for this simulator in the chosen one, or in the user's cache folder."""
    base = Path(chosen).expanduser() if chosen else _user_cache() / "steca"
    return base / "scienceworld" / f"{JAR_DIGEST}-{SIMPLIFICATION}"


def _user_cache() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def read_json(file: Path) -> Any:
    """None if there is no such file. A damaged one is reported, and will be made again."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.warning("%s: cannot be read (%s); it is made again", file, error.__class__.__name__)
        return None


def write_json(file: Path, content: Any) -> None:
    """All or nothing, also if several processes write the file. Raises EnvironmentFault."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=file.parent, delete=False) as draft:
            json.dump(content, draft)
        os.replace(draft.name, file)
    except OSError as error:
        raise EnvironmentFault(
            f"{file}: cannot be written ({error.strerror}): set environment.options.data to a folder that can"
        ) from error
