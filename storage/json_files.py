"""Pydantic models kept as JSON files: run files and the manifests of batches."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from storage.faults import StorageFault
from storage.files import write_atomic

M = TypeVar("M", bound=BaseModel)


def to_json(model: BaseModel) -> bytes:
    """The content of a model's file."""
    return (model.model_dump_json(indent=1) + "\n").encode()


def write_model(path: Path, model: BaseModel) -> None:
    """Write or replace a model's file. Raises StorageFault if that is not possible."""
    write_atomic(path, to_json(model))


def read_model(path: Path, kind: type[M], what: str, advice: str) -> tuple[M, bytes]:
    """The model in a file, and the file's bytes. Raises StorageFault, which calls the file `what` and ends with
    `advice`, where the file cannot be read or holds no such model."""
    try:
        data = path.read_bytes()
        return kind.model_validate_json(data), data
    except OSError as error:
        raise StorageFault(
            f"{what} {path} cannot be read: {error.strerror}; make it readable, or {advice}"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        problem = " ".join((f"{field}: {first['msg']}" if field else first["msg"]).split())
        raise StorageFault(
            f"{what} {path} is damaged, or a newer version wrote it ({problem}); update the project, or {advice}"
        ) from error
