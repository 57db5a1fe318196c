"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.faults import StorageFault

WRITING = ".writing-"
"""What a file or folder is called until it is whole."""
DAMAGED = ".damaged"
"""What a file's name ends in that was damaged, and is only kept for people to look at."""
LEFT_FOR = 3600.0
"""Seconds after which nobody is writing any more: what is called so was left by a killed process."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def check_name(what: str, name: str) -> str:
    """`name`, fit for a file name (run ids, stage keys and batch ids become one), else StorageFault."""
    if not NAME.fullmatch(name):
        raise StorageFault(
            f"{what} {name!r} cannot name a file: use letters, digits, '.', '_' and '-' (at most 128)"
        )
    return name


def write_atomic(path: Path, data: bytes) -> None:
    """Write under a temporary name in the same folder, flush to disk, rename: readers see all of it or nothing.

    Raises StorageFault naming the folder where it is full, read-only or no folder; nothing half-written stays.
    """
    with writing_in(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=WRITING)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)  # mkstemp gives 0600, which would hide the file from other users
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _flush_folder(path.parent)


def set_aside(path: Path) -> Path:
    """Rename a damaged file, so that nothing stops at it again; the new path. Raises FileNotFoundError where another
    process did it, StorageFault where it cannot be renamed."""
    there = path.with_name(path.name + DAMAGED)
    try:
        os.replace(path, there)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageFault(f"cannot rename the damaged file {path}: {error.strerror}; delete it") from error
    return there


@contextmanager
def writing_in(folder: Path) -> Iterator[None]:
    """Turn an operating system error into one line that names the folder."""
    try:
        yield
    except OSError as error:
        raise StorageFault(
            f"cannot write in {folder}: {error.strerror}; free space there or make it writable, then run again"
        ) from error


def _flush_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(root: Path, left_for: float = LEFT_FOR) -> list[Path]:
    """Delete what killed processes left half-written anywhere in a data folder; what was deleted. Nothing in which
    something was written within `left_for` seconds: its process may live."""
    swept = []
    for found in list(_unfinished(root)):
        if time.time() - _last_written(found) > left_for:
            try:
                shutil.rmtree(found) if found.is_dir() else found.unlink()
            except OSError:  # somebody else's, or gone by now: it harms nobody
                continue
            swept.append(found)
    return swept


def _unfinished(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(WRITING):
                    yield Path(entry.path)
                elif entry.is_dir(follow_symlinks=False):
                    yield from _unfinished(Path(entry.path))
    except OSError:  # gone, or not ours to read
        return


def _last_written(path: Path) -> float:
    """The time of the newest change in a file or folder; now where it is gone."""
    try:
        inside = path.rglob("*") if path.is_dir() else ()
        return max(file.lstat().st_mtime for file in (path, *inside))
    except OSError:
        return time.time()
