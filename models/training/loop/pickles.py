"""States of a training hold pickles, which can run code when they are loaded. Here they are loaded as data only.

A seal says that a state is whole, not who wrote it: whoever can write in the data folder can write a seal too. torch
loads its own files without code as long as TORCH_FORCE_WEIGHTS_ONLY_LOAD is set. The list of the parts of a sharded
state (`.metadata`) is a bare pickle, so it is read here first, with nothing but the classes that torch puts into it.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.api import CheckpointException

from models.policy import PolicyFault

FORCE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
PARTS = ".metadata"
_METADATA = (
    *("Metadata", "MetadataIndex", "StorageMeta", "TensorStorageMetadata", "BytesStorageMetadata"),
    *("ChunkStorageMetadata", "TensorProperties", "_MEM_FORMAT_ENCODING"),
)
_ALLOWED = {
    *(("torch.distributed.checkpoint.metadata", name) for name in _METADATA),
    *(("torch.distributed.checkpoint.filesystem", name) for name in ("_StorageInfo", "_StoragePrefix")),
    *(("torch", "Size"), ("torch.serialization", "_get_layout"), ("collections", "OrderedDict")),
    *((module, "PosixPath") for module in ("pathlib", "pathlib._local")),
}


class _DataOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        is_dtype = module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)
        if (module, name) not in _ALLOWED and not is_dtype:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no training state has")
        return super().find_class(module, name)


def code_in(state: Path) -> str | None:
    """Why the lists of parts in a state cannot be loaded as data; None if they can."""
    for path in sorted(state.rglob(PARTS)):
        try:
            with path.open("rb") as file:
                _DataOnly(file).load()
        except Exception as error:  # a broken pickle raises nearly anything
            return f"{path.relative_to(state)} cannot be loaded as data ({error})"
    return None


def _refused(error: BaseException) -> pickle.UnpicklingError | None:
    """What torch refused to load, also where it gathers the errors of all processes."""
    failures = error.failures.values() if isinstance(error, CheckpointException) else [(error, None)]
    return next((one for one, _ in failures if isinstance(one, pickle.UnpicklingError)), None)


@contextmanager
def data_only(states: Path) -> Iterator[None]:
    """While a training loads a state: raises PolicyFault where a file of it is code, which is not run."""
    before = os.environ.get(FORCE)
    os.environ[FORCE] = "1"
    try:
        yield
    except (pickle.UnpicklingError, CheckpointException) as error:
        refused = _refused(error)
        if refused is None:
            raise
        said = " ".join(str(refused).split())[:200]
        raise PolicyFault(
            f"a training state in {states} holds more than numbers ({said}), and is not loaded: if you do not know who "
            "changed it, look for other changes in the data folder; delete it, and the training starts anew"
        ) from None
    finally:
        del os.environ[FORCE]
        if before is not None:
            os.environ[FORCE] = before
