"""The batch script for Slurm."""

from __future__ import annotations

import subprocess

from tests.support.tiny_factory import ROOT

SCRIPT = ROOT / "configs" / "slurm" / "steca.sbatch"


def test_the_script_is_valid() -> None:
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True)
