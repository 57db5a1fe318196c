"""Stored replies of language models, by the content of the request, so that no request is paid for twice.

    journal/<batch_id>.jsonl          one line per call of an unfinished batch, appended when the reply arrives
    replies/<xx>/<request_id>.json    one file per reply, for every run and round

With the journal, a batch that failed or was killed resumes at the call where it stopped. The journal is deleted when
its batch is written. `replies/` only saves money and may be deleted at any time.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import BinaryIO

from pydantic import BaseModel, ConfigDict, ValidationError

from storage.files import DAMAGED, check_name, set_aside, write_atomic, writing_in
from storage.records import LlmCallRecord


class LoggedCall(BaseModel):
    """A call and its reply. `text` is None if the request failed for good; `thinking` came before the text,
    `refusal` instead of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    text: str | None
    thinking: str = ""
    refusal: str = ""
    call: LlmCallRecord


class CallJournal:
    """The calls of one unfinished batch. Used by one process at a time: equal batches never run concurrently."""

    _file: BinaryIO | None = None

    def __init__(self, root: Path, batch_id: str) -> None:
        self.path = root / "journal" / f"{check_name('batch id', batch_id)}.jsonl"

    def load(self) -> list[LoggedCall]:
        """The calls so far. A partial last line, left by a killed process, is cut off. Where other lines are damaged, a
        copy of the file is kept under another name, and their calls are made again."""
        self.release()  # a damaged file is replaced
        if not self.path.exists():
            return []
        data = self.path.read_bytes()
        end = data.rfind(b"\n") + 1
        lines = data[:end].splitlines()
        found = [logged for line in lines if (logged := _parsed(line))]
        if len(found) < len(lines):
            write_atomic(self.path.with_name(self.path.name + DAMAGED), data)
            write_atomic(self.path, b"".join(_line(logged) for logged in found))
        elif end < len(data):
            with writing_in(self.path.parent), self.path.open("r+b") as file:
                file.truncate(end)
        return found

    def add(self, logged: LoggedCall) -> None:
        """Append a call. Raises StorageFault if it cannot be written; then nothing of it is left."""
        line = _line(logged)
        with writing_in(self.path.parent):
            file = self._file = self._file or self._opened()
            written = file.write(line)  # unbuffered: a killed process can only damage the last line
            if written < len(line):  # the disk is full
                file.truncate(os.fstat(file.fileno()).st_size - written)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _opened(self) -> BinaryIO:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return self.path.open("ab", buffering=0)

    def close(self) -> None:
        """Delete the journal: its batch is written, and the calls are in the shards."""
        self.release()
        self.path.unlink(missing_ok=True)

    def release(self) -> None:
        """Close the file and keep it, for another attempt at the batch."""
        if self._file:
            self._file.close()
        self._file = None

    def __del__(self) -> None:
        self.release()  # of a batch that failed


def _line(logged: LoggedCall) -> bytes:
    return logged.model_dump_json().encode() + b"\n"


def _parsed(data: bytes) -> LoggedCall | None:
    try:
        return LoggedCall.model_validate_json(data)
    except ValidationError:
        return None


class KeptReplies:
    """Replies that all runs of a data folder share."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "replies"

    def find(self, request_id: str) -> LoggedCall | None:
        """The stored reply to a request, if there is one. A damaged file is renamed, and the request is sent again."""
        path = self._path(request_id)
        if not path.exists():
            return None
        logged = _parsed(path.read_bytes())
        if logged is None:
            set_aside(path)
        return logged

    def add(self, logged: LoggedCall) -> None:
        data = logged.model_dump_json(indent=1).encode() + b"\n"
        write_atomic(self._path(logged.call.request_id), data)

    def _path(self, request_id: str) -> Path:
        return self.folder / request_id[:2] / f"{check_name('request id', request_id)}.json"
