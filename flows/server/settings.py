"""Prefect's settings, looked up in its own order but before it is imported, which takes seconds and fixes them:
environment, .env, prefect.toml, pyproject.toml, then the active profile."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.faults import StageFault


@dataclass(frozen=True)
class Setting:
    """A value, and in words where it was found."""

    value: str
    source: str


def api_url() -> Setting | None:
    """The API address of the Prefect server to use, where one is configured. Raises StageFault."""
    return _in_files("PREFECT_API_URL", ("api", "url")) or _in_profile("PREFECT_API_URL")


def home() -> Setting | None:
    """Prefect's folder, where one is configured. Raises StageFault."""
    return _in_files("PREFECT_HOME", ("home",))


def _in_files(name: str, path: tuple[str, ...]) -> Setting | None:
    if value := os.environ.get(name):
        return Setting(value, f"the environment variable {name}")
    if value := _dotenv().get(name):
        return Setting(value, f"{name} in {Path('.env').absolute()}")
    for file, above in (("prefect.toml", ()), ("pyproject.toml", ("tool", "prefect"))):
        found: Any = _toml(Path(file))
        for key in (*above, *path):
            found = found.get(key) if isinstance(found, dict) else None
        if isinstance(found, str) and found:
            return Setting(found, f"{'.'.join((*above, *path))} in {Path(file).absolute()}")
    return None


def _in_profile(name: str) -> Setting | None:
    file = _profiles()
    data = _toml(file)
    active = os.environ.get("PREFECT_PROFILE") or data.get("active")
    value = data.get("profiles", {}).get(active, {}).get(name)
    return Setting(str(value), f"the profile {active} in {file}") if value else None


def _profiles() -> Path:
    if named := _in_files("PREFECT_PROFILES_PATH", ("profiles_path",)):
        return Path(named.value)
    return Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser() / "profiles.toml"


def _dotenv() -> dict[str, str | None]:
    if not Path(".env").is_file():
        return {}
    from dotenv import dotenv_values

    return dict(dotenv_values(".env"))


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StageFault(
            f"{file.absolute()} cannot be read, but Prefect takes settings from it: {error}"
        ) from None
