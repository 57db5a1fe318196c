"""A training in several processes: `accelerate launch` runs `models.training.train_job`, with a job file and a
result file between.

No process outlives this one. The children's stdin is a pipe that only this process holds open; they end when it does,
which the system sees to even after a SIGKILL.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from configs.training import TrainingConfig
from models.policy import PolicyFault
from models.processes.child_environment import without_keys
from models.reference import CheckpointRef
from models.training.train_job import MARK, RESULT
from models.training.training import CurvePoint, Example, Saving, TrainingProgress, TrainResult
from steca.vocabulary import Device

LOG = "training.log"
_HERE = Path(__file__).resolve().parents[2]
_PLAIN = _HERE / "configs" / "accelerate" / "ddp.yaml"
_TAIL = 12
_GRACE = 15.0  # seconds for children to end by themselves after their caller's pipe has closed


@dataclass(frozen=True, slots=True)
class Launch:
    """How many processes, and which config file for `accelerate launch` (None: plain DDP). `secret` names variables
    that hold keys, which the processes do not get."""

    processes: int
    accelerate: Path | None = None
    threads: int | None = None
    secret: tuple[str, ...] = ()


def train_launched(
    base: CheckpointRef,
    examples: Sequence[Example],
    config: TrainingConfig,
    out_root: Path,
    launch: Launch,
    saving: Saving,
    seed: int = 0,
    device: Device = "auto",
    progress: TrainingProgress | None = None,
) -> TrainResult:
    """`models.training.training.train` in `launch.processes` processes. Raises PolicyFault as that does, and where a
    process fails, with the end of their log, which stays in `saving.folder`."""
    folder = saving.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    job, result, log = folder / "job.json", folder / RESULT, folder / LOG
    result.unlink(missing_ok=True)
    given = {
        "base": str(base.path.resolve()),
        "base_digest": base.digest,
        "examples": [asdict(example) for example in examples],
        "config": config.model_dump(mode="json"),
        "out_root": str(out_root.resolve()),
        "seed": seed,
        "device": device,
        "threads": launch.threads,
        "saving": {"folder": str(folder), "steps": saving.steps},
    }
    job.write_text(json.dumps(given))
    code = _run(_command(launch, config, device, job), log, progress, launch.secret)
    trained = _result(result, log, code, launch.processes)
    shutil.rmtree(folder)
    return trained


def _command(launch: Launch, config: TrainingConfig, device: Device, job: Path) -> list[str]:
    file = (launch.accelerate or _PLAIN).resolve()
    if not file.is_file():
        raise PolicyFault(f"execution.accelerate: there is no file {file}")
    return [
        sys.executable, "-m", "accelerate.commands.launch",
        "--config_file", str(file),
        "--num_processes", str(launch.processes),
        "--mixed_precision", "bf16" if config.dtype == "bfloat16" else "no",
        "--module", "models.training.train_job", str(job),
    ]  # fmt: skip


def _run(command: list[str], log: Path, progress: TrainingProgress | None, secret: tuple[str, ...]) -> int:
    """The exit code. TrainingProgress is passed on as it comes, everything else goes to the log."""
    with _started(command, secret) as process, log.open("w") as lines:
        assert process.stdout
        for line in process.stdout:
            if line.startswith(MARK):
                if progress:
                    progress(*json.loads(line.removeprefix(MARK)))
            else:
                lines.write(line)
        return process.wait()


@contextmanager
def _started(command: list[str], secret: tuple[str, ...]) -> Iterator[subprocess.Popen[str]]:
    """A process group that ends with the block, in order or by force."""
    path = os.pathsep.join(part for part in (str(_HERE), os.environ.get("PYTHONPATH")) if part)
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**without_keys(secret), "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
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
        process.wait(_GRACE)
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
            f"the training in {processes} processes failed (exit code {code}); mend what its log says and run "
            f"again, it goes on from its last state. The whole log: {log}; its end:\n{tail}"
        )
    return TrainResult(
        CheckpointRef(Path(found["path"]), found["digest"]),
        tuple(CurvePoint(*point) for point in found["curve"]),
        found["examples"],
        found["target_tokens"],
        found["unchanged"],
    )
