"""The command `steca` of a checkout: this one, or that of another version beside it."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parents[1]


def steca_of(checkout: Path) -> list[str]:
    """The command line of a checkout's `steca`."""
    scripts = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, name = scripts["steca"].partition(":")
    return [sys.executable, "-c", f"from {module} import {name}; {name}()"]


def environment_of(checkout: Path) -> dict[str, str]:
    """Our environment, in which Python finds the checkout's packages first."""
    return {**os.environ, "PYTHONPATH": str(checkout)}
