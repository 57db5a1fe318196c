"""Replies of language models by the content of their request: what was answered once is not asked, or paid for, again.

    journal/<batch_id>.jsonl          a line a call of a batch in work, appended as it is answered; gone with the batch
    replies/<xx>/<request_id>.json    a file a reply, for every run and round

The journal lets a batch that failed or was killed go on with the call where it stopped. The other folder only saves
money: it may be deleted at any time.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from storage.files import DAMAGED, check_name, set_aside, write_atomic, writing_in
from storage.records import LlmCallRecord


class LoggedCall(BaseModel):
    """A call, and what was answered; `text` is None where the request was given up. `thinking` came before the text,
    `refusal` in its place."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    text: str | None
    thinking: str = ""
    refusal: str = ""
    call: LlmCallRecord


class CallJournal:
    """The calls of one batch in work. For one process at a time: equal batches never run at the same time."""

    def __init__(self, root: Path, batch_id: str) -> None:
        self.path = root / "journal" / f"{check_name('batch id', batch_id)}.jsonl"

    def load(self) -> list[LoggedCall]:
        """Every sound line. What a killed process left unfinished is cut off, so that the next line starts anew; where
        other lines are damaged too, the file is kept under another name, and the calls in them are made again."""
        if not self.path.exists():
            return []
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        lines = data[:whole].splitlines()
        found = [logged for line in lines if (logged := _parsed(line))]
        if len(found) < len(lines):
            write_atomic(self.path.with_name(self.path.name + DAMAGED), data)
            write_atomic(self.path, b"".join(_line(logged) for logged in found))
        elif whole < len(data):
            with writing_in(self.path.parent), self.path.open("r+b") as file:
                file.truncate(whole)
        return found

    def add(self, logged: LoggedCall) -> None:
        """Append a call. Raises StorageFault where that cannot be written."""
        with writing_in(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open(
                "ab"
            ) as file:  # one write of one line: a killed process leaves whole lines before it
                file.write(_line(logged))

    def close(self) -> None:
        """The batch is written: what was in the journal is in its shards."""
        self.path.unlink(missing_ok=True)


def _line(logged: LoggedCall) -> bytes:
    return logged.model_dump_json().encode() + b"\n"


def _parsed(data: bytes) -> LoggedCall | None:
    try:
        return LoggedCall.model_validate_json(data)
    except ValidationError:
        return None


class KeptReplies:
    """Replies for every run of a data folder."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "replies"

    def find(self, request_id: str) -> LoggedCall | None:
        """None where it was not answered yet. A damaged file is renamed: the reply is asked for again."""
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
