"""Runs `models.training.distributed.train_job` with FSDP on CPU processes. accelerate (1.15) silently uses DDP on CPUs;
if the processes pass as GPUs, it shards over gloo."""

import sys
from pathlib import Path
from typing import Any

import pytest
from accelerate import PartialState
from accelerate.utils import DistributedType

from models.training.distributed import launching
from models.training.distributed.train_job import leave, main

_init = PartialState.__init__


def _as_gpus(state: PartialState, *args: Any, **kwargs: Any) -> None:
    _init(state, *args, **kwargs)
    if state.distributed_type == DistributedType.MULTI_CPU:
        state.distributed_type = DistributedType.MULTI_GPU


def shard_on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Launched trainings run this file."""
    plain = launching._command
    monkeypatch.setattr(
        launching,
        "_command",
        lambda *given: [
            part.replace("models.training.distributed.train_job", "tests.support.fsdp_on_cpu")
            for part in plain(*given)
        ],
    )


if __name__ == "__main__":
    PartialState.__init__ = _as_gpus  # type: ignore[method-assign]
    leave(main(Path(sys.argv[1])))
