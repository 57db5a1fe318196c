"""An error of another process is raised here with its type and its text."""

from __future__ import annotations

import traceback
from contextlib import suppress
from importlib import import_module

from tasks.ray.messages import Failure


def failure_of(error: Exception) -> Failure:
    """The error as a message. Its causes are in the traceback only."""
    kind = f"{type(error).__module__}:{type(error).__qualname__}"
    return Failure(kind=kind, text=str(error), traceback="".join(traceback.format_exception(error)))


def error_of(failure: Failure, where: str) -> Exception:
    """The error again, with the traceback of the other process as a note. One that cannot be made of its text alone is
    a RuntimeError that names its type."""
    error = _same(failure) or RuntimeError(f"{failure.kind.partition(':')[2]}: {failure.text}")
    error.add_note(f"on {where}:\n{failure.traceback}")
    return error


def _same(failure: Failure) -> Exception | None:
    module, _, name = failure.kind.partition(":")
    with suppress(ImportError, AttributeError, TypeError):
        kind = getattr(import_module(module), name)
        if issubclass(kind, Exception):
            for given in ((failure.text,), ()):
                with suppress(TypeError):
                    if str(error := kind(*given)) == failure.text:
                        return error
    return None
