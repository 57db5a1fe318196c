"""Data folders that older versions made (tests/fixtures/README.md says how)."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path
from typing import Literal

FIXTURES = Path(__file__).parents[1] / "fixtures"
RUN_030, POISONED_030 = "tiny-a89e8359", "tiny-767ecff6"
"""The one run of each folder."""


def unpack(name: Literal["data-0.3.0", "data-0.3.0-poisoned"], into: Path) -> Path:
    """The folder, unpacked as `into`/data."""
    folder = into / "data"
    with tarfile.open(FIXTURES / f"{name}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    (folder / "store").mkdir()
    shutil.copy(folder / "trajectories.duckdb", folder / "store" / "working.duckdb")
    return folder
