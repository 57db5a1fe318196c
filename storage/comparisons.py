"""Comparison files: which runs a comparison is made of, and the differences that were computed from them.

comparisons/<name>/comparison.json      replaced atomically after every call
comparisons/<name>/seed-<n>.log         what the process of a seed printed last
comparisons/<name>/success.svg          the picture
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from storage.files import check_name
from storage.json_files import read_model, write_model


class ComparedRun(BaseModel):
    """The run of one arm of one seed."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    arm: str
    seed: int
    run_id: str
    overrides: dict[str, Any]  # the arm's changes of the base configuration, by their dotted names


class ArmDifference(BaseModel):
    """Success, or the mean reward, of an arm minus that of the reference on the same tasks, with its 95 % bootstrap
    interval."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    arm: str
    split: str
    start: str
    measure: str = "success"  # or reward
    seeds: tuple[int, ...]
    pairs: int
    difference: float
    low: float
    high: float


class ComparisonState(BaseModel):
    """One comparison, as far as it came."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    reference: str
    runs: tuple[ComparedRun, ...] = ()
    differences: tuple[ArmDifference, ...] = ()


def comparison_folder(root: Path, name: str) -> Path:
    """The folder of a comparison in a data folder."""
    return root / "comparisons" / check_name("comparison", name)


def comparison_file(root: Path, name: str) -> Path:
    """The file of a comparison in a data folder."""
    return comparison_folder(root, name) / "comparison.json"


def read_comparison(path: Path) -> ComparisonState:
    """Raises StorageFault if the file cannot be read or is damaged."""
    return read_model(path, ComparisonState, "comparison file", "delete it and compare again")[0]


def save_comparison(root: Path, state: ComparisonState) -> None:
    """Write, or replace, the file of a comparison. Raises StorageFault."""
    path = comparison_file(root, state.name)
    if not path.exists() or read_comparison(path) != state:
        write_model(path, state)
