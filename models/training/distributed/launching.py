"""Trains in several processes: `accelerate launch` runs `train_job` of this folder, with a job file and a result file.

No child outlives this process. The children's stdin is a pipe that only this process holds open; they exit when it
closes, which happens even after a SIGKILL.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from configs.child_environment import environment_without_secrets
from configs.training import TrainingConfig
from models.checkpoint_ref import CheckpointRef
from models.policy import PolicyFault
from models.processes.guard import GRACE_SECONDS
from models.training.distributed.train_job import PROGRESS_PREFIX, RESULT_FILE
from models.training.train import CurvePoint, Saving, TrainingProgress, TrainResult
from models.training.training_data import TrainingData, to_job
from steca.vocabulary import Device

LOG = "training.log"
_CHECKOUT = Path(__file__).resolve().parents[3]
_DDP_CONFIG = _CHECKOUT / "configs" / "accelerate" / "ddp.yaml"
_TAIL = 12


@dataclass(frozen=True, slots=True)
class LaunchConfig:
    """How many processes, and which config file for `accelerate launch` (None: plain DDP). `secret_variables` are
    environment variables that the processes must not get."""

    processes: int
    accelerate: Path | None = None
    threads: int | None = None
    secret_variables: tuple[str, ...] = ()


def train_in_processes(
    base: CheckpointRef,
    data: TrainingData,
    config: TrainingConfig,
    out_root: Path,
    launch: LaunchConfig,
    saving: Saving,
    seed: int = 0,
    device: Device = "auto",
    progress: TrainingProgress | None = None,
) -> TrainResult:
    """`models.training.train.train` in `launch.processes` processes. Raises PolicyFault as `train` does, and if a
    process fails, with the end of its log, which stays in `saving.folder`."""
    folder = saving.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    job, result, log = folder / "job.json", folder / RESULT_FILE, folder / LOG
    result.unlink(missing_ok=True)
    given = {
        "base": str(base.path.resolve()),
        "base_digest": base.digest,
        "data": to_job(data),
        "config": config.model_dump(mode="json"),
        "out_root": str(out_root.resolve()),
        "seed": seed,
        "device": device,
        "threads": launch.threads,
        "saving": {"folder": str(folder), "steps": saving.steps},
    }
    job.write_text(json.dumps(given))
    code = _run(_command(launch, config, device, job), log, progress, launch.secret_variables)
    trained = _result(result, log, code, launch.processes)
    shutil.rmtree(folder)
    return trained


def _command(launch: LaunchConfig, config: TrainingConfig, device: Device, job: Path) -> list[str]:
    file = (launch.accelerate or _DDP_CONFIG).resolve()
    if not file.is_file():
        raise PolicyFault(f"execution.accelerate: there is no file {file}")
    return [
        sys.executable, "-m", "accelerate.commands.launch",
        "--config_file", str(file),
        "--num_processes", str(launch.processes),
        "--mixed_precision", "bf16" if config.dtype == "bfloat16" else "no",
        "--module", "models.training.distributed.train_job", str(job),
    ]  # fmt: skip


def _run(
    command: list[str], log: Path, progress: TrainingProgress | None, secret_variables: tuple[str, ...]
) -> int:
    """The exit code. Reports progress as it arrives; all other output goes to the log."""
    with _started(command, secret_variables) as process, log.open("w") as lines:
        assert process.stdout
        for line in process.stdout:
            if line.startswith(PROGRESS_PREFIX):
                if progress:
                    progress(*json.loads(line.removeprefix(PROGRESS_PREFIX)))
            else:
                lines.write(line)
        return process.wait()


@contextmanager
def _started(command: list[str], secret_variables: tuple[str, ...]) -> Iterator[subprocess.Popen[str]]:
    """A process group that is ended with the block, by SIGKILL if necessary."""
    path = os.pathsep.join(part for part in (str(_CHECKOUT), os.environ.get("PYTHONPATH")) if part)
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**environment_without_secrets(secret_variables), "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        _close(pipe)
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _close(pipe: IO[str] | None) -> None:
    if pipe:
        pipe.close()


def _result(file: Path, log: Path, code: int, processes: int) -> TrainResult:
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    if "fault" in found:
        raise PolicyFault(found["fault"])
    if code or not found:
        tail = "\n".join(log.read_text().splitlines()[-_TAIL:])
        raise PolicyFault(
            f"the training in {processes} processes failed (exit code {code}); fix what its log reports and run "
            f"again: it resumes from its last state. The whole log is {log}; it ends with:\n{tail}"
        )
    return TrainResult(
        CheckpointRef(Path(found["path"]), found["digest"]),
        tuple(CurvePoint(*point) for point in found["curve"]),
        found["examples"],
        found["target_tokens"],
        found["unchanged"],
    )
