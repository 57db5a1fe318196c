"""Errors of a command as one line, and the exit code."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from configs.faults import ConfigFault
from flows.known_faults import FAULTS
from flows.wording import visible
from storage.faults import StorageFault


@contextmanager
def readable_errors(debug: bool = False) -> Iterator[None]:
    """Print a known error as one line on stderr and exit: with code 2 for the user's settings, 1 for all others.
    `debug`: print the traceback too."""
    try:
        yield
    except ConfigFault as fault:
        _stop(fault, 2, debug)
    except FAULTS as fault:
        _stop(fault, 1, debug)
    except BrokenPipeError:
        raise  # `steca sql ... | head`: click exits silently
    except UnicodeEncodeError as error:
        letters = visible(error.object[error.start : error.end])
        hint = "use a UTF-8 locale, e.g. LC_ALL=C.UTF-8"
        _stop(StorageFault(f"{letters} cannot be written as {error.encoding}: {hint}"), 1, debug)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _stop(StorageFault(f"{where}{error.strerror or error}"), 1, debug)
    except KeyboardInterrupt:
        typer.echo("\ninterrupted; the same command resumes where this one stopped", err=True)
        raise typer.Exit(130) from None


def _stop(fault: Exception, code: int, debug: bool) -> None:
    if debug:
        typer.echo(visible("".join(traceback.format_exception(fault))), err=True)
    typer.echo(f"error: {visible(str(fault))}", err=True)
    _release(fault)
    raise typer.Exit(code) from None


def _release(fault: BaseException | None) -> None:
    """Free the objects in the frames of an error. Prefect keeps the error until the process ends, and would then
    report a DuckDB connection in it as leaked, in fifty lines after ours."""
    while fault is not None:
        traceback.clear_frames(fault.__traceback__)
        fault = fault.__cause__ or fault.__context__
