"""One process of a training started by `accelerate launch`: python -m models.training.distributed.train_job JOB.json

The job file says what to train; the first process writes the result file beside it. Progress goes to stdout, one marked
line per step. stdin is a pipe that the caller holds open: when it closes the caller has died, and this process exits.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import astuple
from pathlib import Path
from typing import Any, NoReturn

from configs.training import TrainingConfig
from models.checkpoint_ref import CheckpointRef
from models.policy import PolicyFault

PROGRESS_PREFIX = "@progress "
RESULT_FILE = "result.json"


def main(job: Path) -> int:
    """The exit code: 0, or 1 if the result file contains a fault."""
    threading.Thread(target=_exit_with_caller, daemon=True).start()
    outcome, code = _outcome(json.loads(job.read_text()))
    # All processes meet the same fault, and the first to exit ends the others: each writes it.
    if code or os.environ.get("RANK", "0") == "0":
        scratch = job.with_name(f"{RESULT_FILE}.{os.getpid()}")
        scratch.write_text(json.dumps(outcome))
        os.replace(scratch, job.with_name(RESULT_FILE))
    return code


def _outcome(job: dict[str, Any]) -> tuple[dict[str, Any], int]:
    from models.training.train import Saving, train
    from models.training.training_data import from_job

    if job["threads"]:
        import torch

        torch.set_num_threads(job["threads"])
    saving = job["saving"]
    try:
        result = train(
            CheckpointRef(Path(job["base"]), job["base_digest"]),
            from_job(job["data"]),
            TrainingConfig.model_validate(job["config"]),
            Path(job["out_root"]),
            job["seed"],
            job["device"],
            _print_progress,
            Saving(Path(saving["folder"]), saving["steps"]),
        )
    except PolicyFault as fault:
        return {"fault": str(fault)}, 1
    return {
        "path": str(result.ref.path),
        "digest": result.ref.digest,
        "curve": [list(astuple(point)) for point in result.curve],
        "examples": result.examples,
        "target_tokens": result.target_tokens,
        "unchanged": result.unchanged,
    }, 0


def _print_progress(done: int, of: int, loss: float) -> None:
    print(PROGRESS_PREFIX + json.dumps([done, of, loss]), flush=True)


def _exit_with_caller() -> None:
    """Blocks until the pipe at stdin closes."""
    while os.read(0, 4096):
        pass
    os._exit(1)


def leave(code: int) -> NoReturn:
    """End this process without unwinding it. Torch's communication threads now and then abort an interpreter that ends
    around them ("terminate called without an active exception"), and a finished training would count as failed."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    leave(main(Path(sys.argv[1])))
