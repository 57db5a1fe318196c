"""Atomic writes, and files that killed processes left behind."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Annotated

from pydantic import Field

from storage.faults import StorageFault

WRITING = ".writing-"
"""Prefix of a file or folder until it is complete."""
DAMAGED = ".damaged"
"""Suffix of a damaged file that was renamed. Nothing reads it."""
ABANDONED_AFTER = 3600.0
"""Seconds without a change after which an incomplete file is taken to be left by a killed process."""
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
NAME = re.compile(_NAME)
FileName = Annotated[str, Field(pattern=rf"^{_NAME}$")]
"""Of a stored model: a name that can be a file's, as `check_name` checks it."""


def check_name(what: str, name: str) -> str:
    """`name` if it can be a file name, as run ids, stage keys and batch ids are. Raises StorageFault."""
    if not NAME.fullmatch(name):
        raise StorageFault(
            f"{what} {name!r} cannot name a file: use letters, digits, '.', '_' and '-' (at most 128)"
        )
    return name


def inside(root: Path, name: str) -> Path:
    """The path of a file or folder that a stored file names, in the data folder. Raises StorageFault where it would be
    outside: a stored name is a text that anybody may have written. Links in a data folder are its owner's."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise StorageFault(f"a stored file names {name!r}, which is outside of {root}: nothing there is used")
    return root / path


def write_atomic(path: Path, data: bytes) -> None:
    """Write a whole file, as `writing_atomic` does."""
    with writing_atomic(path) as file:
        file.write(data)


@contextmanager
def writing_atomic(path: Path) -> Iterator[IO[bytes]]:
    """A temporary file in the same folder, which at the end is flushed to disk and renamed. Readers never see a partial
    file.

    Raises StorageFault with the folder where it is full, read-only or not a folder; no partial file is left.
    """
    with writing_in(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=WRITING)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)  # mkstemp uses 0600, which other users cannot read
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        flush(path.parent)


def set_aside(path: Path) -> Path:
    """Rename a damaged file, so that nothing reads it again. Returns the new path. Raises FileNotFoundError if
    another process has renamed it, StorageFault where it cannot be renamed."""
    renamed = path.with_name(path.name + DAMAGED)
    try:
        os.replace(path, renamed)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageFault(f"cannot rename the damaged file {path}: {error.strerror}; delete it") from error
    return renamed


@contextmanager
def writing_in(folder: Path) -> Iterator[None]:
    """Turn an OSError into a StorageFault that names the folder."""
    try:
        yield
    except OSError as error:
        raise StorageFault(
            f"cannot write in {folder}: {error.strerror}; free space there or make it writable, then run again"
        ) from error


def flush(path: Path) -> None:
    """Make a file, or the names in a folder, survive a power failure."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(root: Path) -> list[Path]:
    """Delete incomplete files and folders that killed processes left in a data folder. Returns what was deleted. Those
    with a change in the last ABANDONED_AFTER seconds stay: their process may be alive."""
    swept = []
    for found in list(_incomplete(root)):
        if time.time() - _last_change(found) > ABANDONED_AFTER:
            try:
                shutil.rmtree(found) if found.is_dir() else found.unlink()
            except OSError:  # another user's, or gone by now
                continue
            swept.append(found)
    return swept


def _incomplete(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(WRITING):
                    yield Path(entry.path)
                elif entry.is_dir(follow_symlinks=False):
                    yield from _incomplete(Path(entry.path))
    except OSError:  # gone, or not readable
        return


def _last_change(path: Path) -> float:
    """The time of the newest change in a file or folder; the current time where it is gone."""
    try:
        inside = path.rglob("*") if path.is_dir() else ()
        return max(file.lstat().st_mtime for file in (path, *inside))
    except OSError:
        return time.time()
