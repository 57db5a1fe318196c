"""Replies of language models by the content of their request: what was answered once is not asked, or paid for, again.

    journal/<batch_id>.jsonl          a line a call of a batch in work, appended as it is answered; gone with the batch
    replies/<xx>/<request_id>.json    a file a reply, for every run and round

The journal lets a batch that failed or was killed go on with the call where it stopped. The other folder only saves
money: it may be deleted at any time.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from storage.faults import StorageFault
from storage.files import check_name, write_atomic, writing_in
from storage.records import LlmCallRecord


class BookedCall(BaseModel):
    """A call, and what was answered; `text` is None where the request was given up. `thinking` came before the text."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    text: str | None
    call: LlmCallRecord
    thinking: str = ""


class Journal:
    """The calls of one batch in work. For one process at a time: equal batches never run at the same time."""

    def __init__(self, root: Path, batch_id: str) -> None:
        self.path = root / "journal" / f"{check_name('batch id', batch_id)}.jsonl"

    def load(self) -> list[BookedCall]:
        """Every whole line. A line that a killed process left unfinished is cut off, so that the next one starts anew.
        Raises StorageFault where another line is damaged."""
        if not self.path.exists():
            return []
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            with writing_in(self.path.parent), self.path.open("r+b") as file:
                file.truncate(whole)
        return [self._parsed(line) for line in data[:whole].splitlines()]

    def add(self, booked: BookedCall) -> None:
        """Append a call. Raises StorageFault where that cannot be written."""
        with writing_in(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open(
                "ab"
            ) as file:  # one write of one line: a killed process leaves whole lines before it
                file.write(booked.model_dump_json().encode() + b"\n")

    def close(self) -> None:
        """The batch is written: what was in the journal is in its shards."""
        self.path.unlink(missing_ok=True)

    def _parsed(self, line: bytes) -> BookedCall:
        try:
            return BookedCall.model_validate_json(line)
        except ValidationError as error:
            raise StorageFault(
                f"journal {self.path} is damaged; delete it: the calls of its batch are then made again"
            ) from error


class ReplyFiles:
    """Replies for every run of a data folder."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "replies"

    def find(self, request_id: str) -> BookedCall | None:
        """Raises StorageFault where the file is damaged."""
        path = self._path(request_id)
        if not path.exists():
            return None
        try:
            return BookedCall.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise StorageFault(f"reply {path} is damaged; delete it: it is then asked for again") from error

    def add(self, booked: BookedCall) -> None:
        data = booked.model_dump_json(indent=1).encode() + b"\n"
        write_atomic(self._path(booked.call.request_id), data)

    def _path(self, request_id: str) -> Path:
        return self.folder / request_id[:2] / f"{check_name('request id', request_id)}.json"
