"""Reads the files in which Prefect keeps the results of cached batches, without loading Prefect."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from configs.json_text import parse_json
from storage.shards import BatchRef


def result_in(record: bytes) -> Any:
    """The value in one of Prefect's result files: JSON whose field `result` holds the serialised value. Raises
    ValueError, KeyError or TypeError for anything else."""
    return parse_json(parse_json(record)["result"])


def batch_in(record: bytes) -> BatchRef | None:
    """The batch that a result file refers to; None for the result of something else. Raises as `result_in` does."""
    result = result_in(record)
    try:  # up to version 0.3.0 the result is the reference itself
        return BatchRef.model_validate(result.get("ref", result))
    except (ValidationError, AttributeError):
        return None
