"""The batch script for Slurm, as it is, on two "nodes" that stand-ins for srun and scontrol start on this machine."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from flows.runs.run import folder_of
from tests.support.tiny_factory import ROOT, TINY, tiny

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # `make ray`
SCRIPT = ROOT / "configs" / "slurm" / "steca.sbatch"
SRUN = """#!/usr/bin/env bash
while [[ $1 == --* ]]; do shift; done
exec "$@"
"""
SCONTROL = """#!/usr/bin/env bash
printf 'node1\\nnode2\\n'
"""


def stand_ins(folder: Path) -> str:
    """A PATH with stand-ins for Slurm's commands."""
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_the_script_is_valid() -> None:
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True)


def test_the_script_runs_a_factory_on_both_nodes_and_ends_what_it_started(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    (tmp_path / "bin").mkdir()
    data = tmp_path / "data"
    ended = subprocess.run(
        ["bash", str(SCRIPT), str(TINY), "--set", f"data_dir={data}"],
        cwd=ROOT,
        env={
            **ours,
            "PATH": stand_ins(tmp_path / "bin"),
            "PYTHONPATH": str(ROOT),
            "RAY_PORT": str(port),
            "SLURM_JOB_NODELIST": "node[1-2]",
            "SLURM_CPUS_PER_TASK": "1",
            "SLURM_SUBMIT_DIR": str(ROOT),
        },
        capture_output=True,
        text=True,
        timeout=850,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "2 of 2 nodes" in ended.stdout
    stages = folder_of(tiny(data)).stages()
    assert len(stages) == 7
    assert {state.status for state in stages} == {"completed"}
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 1)
