"""One process of a training that `accelerate launch` started: python -m models.training.train_job JOB.json

The job file says what to train, the result file beside it what came out; the first process writes it. Progress goes
to stdout, a marked line a step. stdin is a pipe that the caller holds open: when it ends, the caller is gone, however
it died, and so is this process.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from configs.training import TrainingConfig
from models.policy import PolicyFault
from models.reference import CheckpointRef
from models.training.encoding import Example

MARK = "@progress "
RESULT = "result.json"


def main(job: Path) -> int:
    """The exit code: 0, or 1 where a fault is in the result file."""
    threading.Thread(target=_die_with_caller, daemon=True).start()
    outcome, code = _outcome(json.loads(job.read_text()))
    # A fault is the same in all processes; the first one that fails ends the others, so each writes it.
    if code or os.environ.get("RANK", "0") == "0":
        scratch = job.with_name(f"{RESULT}.{os.getpid()}")
        scratch.write_text(json.dumps(outcome))
        os.replace(scratch, job.with_name(RESULT))
    return code


def _outcome(job: dict[str, Any]) -> tuple[dict[str, Any], int]:
    from models.training.training import Saving, train

    if job["threads"]:
        import torch

        torch.set_num_threads(job["threads"])
    saving = job["saving"]
    try:
        result = train(
            CheckpointRef(Path(job["base"]), job["base_digest"]),
            [Example(**example) for example in job["examples"]],
            TrainingConfig.model_validate(job["config"]),
            Path(job["out_root"]),
            job["seed"],
            job["device"],
            _tell,
            Saving(Path(saving["folder"]), saving["steps"]),
        )
    except PolicyFault as fault:
        return {"fault": str(fault)}, 1
    curve = [[point.step, point.loss, point.learning_rate, point.gradient_norm] for point in result.curve]
    return {
        "path": str(result.ref.path),
        "digest": result.ref.digest,
        "curve": curve,
        "examples": result.examples,
        "target_tokens": result.target_tokens,
        "unchanged": result.unchanged,
    }, 0


def _tell(done: int, of: int, loss: float) -> None:
    print(MARK + json.dumps([done, of, loss]), flush=True)


def _die_with_caller() -> None:
    """Blocks until the pipe at stdin ends."""
    while os.read(0, 4096):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
