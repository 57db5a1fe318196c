"""What cannot be written, as one error: on a full disk safetensors, tokenizers and torch each raise their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from models.policy import PolicyFault, describe_error


@contextmanager
def writing_model(what: str, root: Path) -> Iterator[None]:
    """Raises PolicyFault, which names `what` and the folder, for every error that is about a file."""
    try:
        yield
    except Exception as error:
        if not _is_about_a_file(error):
            raise
        reason = str(error) if isinstance(error, OSError) else describe_error(error)
        raise PolicyFault(
            f"cannot write {what} under {root}: {reason}; free some space or choose another folder"
        ) from error


def _is_about_a_file(error: Exception) -> bool:
    """tokenizers raises a plain Exception; torch a RuntimeError of its writer of archives, which gives no reason."""
    plain = type(error) is Exception and "os error" in str(error)
    archive = isinstance(error, RuntimeError) and "inline_container.cc" in str(error)
    return plain or archive or isinstance(error, OSError | SafetensorError)
