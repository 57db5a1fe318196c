"""The tiny factory that the tests share, and how to start `steca` from a checkout."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from configs.load import load_config
from configs.schema import FactoryConfig

ROOT = Path(__file__).parents[2]
TINY = Path(__file__).parent / "tiny.yaml"
STECA = [sys.executable, "-m", "cli"]


@dataclass(frozen=True)
class Served:
    """A running `steca serve`."""

    api: str
    data_dir: Path


def tiny(data_dir: Path, *overrides: str) -> FactoryConfig:
    """The tiny configuration in a data folder."""
    return load_config(TINY, [f"data_dir={data_dir}", *overrides])
