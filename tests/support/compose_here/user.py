"""Who runs the processes: the one who started this, but never root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

UNPRIVILEGED = "nobody"


def name() -> str:
    return UNPRIVILEGED if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def as_user() -> dict[str, Any]:
    """For subprocess: what makes the child a process of that user."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam(UNPRIVILEGED)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def make_folder(path: Path) -> Path:
    """A new folder that belongs to the user."""
    path.mkdir(parents=True)
    if os.geteuid() == 0:
        shutil.chown(path, name(), pwd.getpwnam(UNPRIVILEGED).pw_gid)
    return path


def find_python(version: str) -> str:
    """A Python of this version, such as 3.11, that the user may run and that can make virtual environments. Raises
    FileNotFoundError."""
    check = f"import ensurepip, sys, venv; sys.exit(not sys.version.startswith('{version}.'))"
    for found in (sys._base_executable, f"/usr/local/bin/python{version}", f"/usr/bin/python{version}"):  # type: ignore[attr-defined]
        try:
            done = subprocess.run([found, "-c", check], cwd="/", capture_output=True, **as_user())
        except OSError:
            continue
        if done.returncode == 0:
            return found
    raise FileNotFoundError(f"no Python {version} with venv that the user {name()} may run")
