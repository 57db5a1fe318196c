"""How what an ingest made becomes the published file.

A small database is copied: the copy replaces the published file, and the working database stays as it is. The time of
copying is in proportion to the size of the store, so a large one is swapped: the working database itself becomes the
published file, and the file that was published becomes the working database. The next ingest adds to it what it lacks:
what the last ingest added, and what is new.

A reader may still have the former published file open. DuckDB keeps it locked then, and the next ingest works on a copy
of the published file instead. So it does where anything else is unusual: the published file was changed by someone, an
ingest was killed between two renames, or the filesystem has no hard links.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path

from storage.files import flush, writing_in

SWAPPED_FROM = 64 << 20
"""Bytes from which on a database is swapped. Copying a smaller one takes less than a tenth of a second."""
SETTLED = 1.0
"""Seconds after which whoever opened the published file has locked it: between the two it must not be written to."""
COPY_PREFIX = ".publishing-"


class Publication:
    """The published file of a data folder and the working database behind it. Every call is made under the lock of
    ingests."""

    def __init__(self, published: Path, working: Path) -> None:
        self.published, self.working = published, working
        self._stamp = working.with_name(
            "published.stamp"
        )  # what the file was that was swapped into its place
        self._retired = working.with_name("retired.duckdb")  # a name between two renames

    def prepare(self) -> bool:
        """Make the working database one that can be written to. Returns whether it may lack what the published file
        holds."""
        self._retired.unlink(missing_ok=True)
        if self.working.exists() and _same_file(self.working, self.published):  # never written to
            self.working.unlink()
        if not self._swapped():
            return False
        if not self.working.exists() or _in_use(self.working) or _open_here(self.published):
            self.copy_back()
            return False
        return True

    def copy_back(self) -> None:
        """Replace the working database by a copy of the published file."""
        with writing_in(self.working.parent):
            copy = self.working.with_name("copying.duckdb")
            shutil.copyfile(self.published, copy)
            remove_database(self.working)
            os.replace(copy, self.working)

    def publish(self, keep: bool = True) -> None:
        """Publish the working database, which is closed and checkpointed. `keep`: the file that was published may
        become the next working database."""
        with writing_in(self.published.parent):
            if self.working.stat().st_size < SWAPPED_FROM:
                self._stamp.unlink(missing_ok=True)
                self._publish_copy()
            else:
                self._swap(keep)

    def _swap(self, keep: bool) -> None:
        # Whatever else this process does with a file drops its own lock: one that it reads is not written to again.
        keep = keep and self._swapped() and not _open_here(self.published)
        os.chmod(self.working, 0o644)
        flush(self.working)
        # The stamp first: until the rename below, the published file is one that is not used again.
        self._stamp.write_text(_stamp_of(self.working))
        if keep:
            keep = _link(self.published, self._retired)
        # A user who opened the published file for writing may have left a log, which belongs to the old file.
        Path(f"{self.published}.wal").unlink(missing_ok=True)
        os.replace(self.working, self.published)
        if keep:
            os.replace(self._retired, self.working)
        flush(self.published.parent)

    def _publish_copy(self) -> None:
        for stale in self.published.parent.glob(f"{COPY_PREFIX}*"):  # left by a killed ingest
            stale.unlink()
        handle, temporary = tempfile.mkstemp(dir=self.published.parent, prefix=COPY_PREFIX)
        try:
            with os.fdopen(handle, "wb") as copy, self.working.open("rb") as original:
                shutil.copyfileobj(original, copy, 1 << 20)
                copy.flush()
                os.fsync(copy.fileno())
            os.chmod(temporary, 0o644)
            # As in _swap.
            Path(f"{self.published}.wal").unlink(missing_ok=True)
            os.replace(temporary, self.published)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def _swapped(self) -> bool:
        """Whether the published file is one that was swapped into its place, and nobody has changed it since."""
        try:
            return self._stamp.read_text() == _stamp_of(self.published)
        except FileNotFoundError:
            return False


def remove_database(path: Path) -> None:
    """Delete a database and its log."""
    for file in (Path(f"{path}.wal"), path):
        file.unlink(missing_ok=True)


def _stamp_of(path: Path) -> str:
    """What neither a rename nor a reader changes, but a writer does."""
    status = path.stat()
    return f"{status.st_ino} {status.st_size} {status.st_mtime_ns}"


def _same_file(one: Path, other: Path) -> bool:
    return other.exists() and one.samefile(other)


def _link(file: Path, name: Path) -> bool:
    """Give a file a second name. False where the filesystem has no hard links."""
    try:
        os.link(file, name)
    except OSError:
        return False
    return True


def _in_use(path: Path) -> bool:
    """Whether someone may be reading a file that was published until a moment ago."""
    return time.time() - path.stat().st_ctime < SETTLED or _open_here(path) or _locked(path)


def _open_here(path: Path) -> bool:
    """Whether this process has the file open: locks are between processes, so it would not be told apart."""
    if not path.exists():
        return False
    wanted = path.stat()
    for handle in os.listdir("/dev/fd"):
        try:
            status = os.fstat(int(handle))
        except OSError:  # the handle of the listing
            continue
        if os.path.samestat(status, wanted):
            return True
    return False


def _locked(path: Path) -> bool:
    """Whether another process has the file open. This process must not: closing it here would drop its lock."""
    with path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
