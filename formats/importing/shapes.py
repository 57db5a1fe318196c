"""The shapes of runs: which one a row has, and sessions that take several lines.

| shape | known by | read by |
| --- | --- | --- |
| sharegpt | `conversations`: ShareGPT, ETO, AgentTraj | environments/recorded/forms.py |
| openai | `messages`: OpenAI, TRL; or the lists `prompt` and `completion` | the same |
| atif | `steps` | the same |
| hf-traces | a line {"type": "session"}, then lines {"type": "message", "message"} | as messages |

`copied` beside a message of a session is what `steca export` writes for turns that must not be trained on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from environments.recorded.forms import NotARun, kind_of
from formats.importing.rows import MOST_BYTES, SHOWN_BYTES, TOO_LONG, Raw, row_of

SHAPES = ("sharegpt", "openai", "atif", "hf-traces")
_FIELDS = {"conversations": "sharegpt", "messages": "openai", "steps": "atif"}
_RUN = (*_FIELDS, "prompt")
"""A line with one of these is a run of its own, and no line of a session."""
PAIR = ("chosen", "rejected", "preferred_output", "chosen_messages")
_Read = tuple[Raw, Mapping[str, Any] | NotARun]


def runs_of(rows: Iterable[Raw]) -> Iterator[_Read]:
    """Each run with its row as JSON, or with what is wrong with it. Lines of a session become one row."""
    session = _Session()
    for raw in rows:
        read = _read(raw)
        kind = read.get("type") if isinstance(read, Mapping) else None
        if kind == "session":
            yield from session.ended()
            session = _Session(raw, read)
        elif session.takes(raw, read):
            session.add(raw, read)
        else:
            yield from session.ended()
            session = _Session()
            yield raw, read
    yield from session.ended()


def _read(raw: Raw) -> Mapping[str, Any] | NotARun:
    try:
        return row_of(raw)
    except NotARun as problem:
        return problem


class _Session:
    """The lines of a session of HF traces so far."""

    def __init__(self, head: Raw | None = None, fields: Mapping[str, Any] | NotARun | None = None) -> None:
        self._head, self._fields = head, fields if isinstance(fields, Mapping) else {}
        self._texts = [head.text if head.row is None else head.kept().encode()] if head else []
        self._messages: list[Any] = []
        self._problem, self._size = "", 0

    def takes(self, raw: Raw, read: Mapping[str, Any] | NotARun) -> bool:
        """Whether a line belongs to this session: it follows in the same file, and has a type, or cannot be read."""
        if not self._head or raw.file != self._head.file:
            return False
        return isinstance(read, NotARun) or (
            bool(read.get("type")) and not any(name in read for name in _RUN)
        )

    def add(self, raw: Raw, read: Mapping[str, Any] | NotARun) -> None:
        """A line of the session. Lines of other types say nothing of the run. One that cannot be read spoils it."""
        assert self._head, "it is open"
        text = raw.text if raw.row is None else raw.kept().encode()
        self._size += len(text)
        self._head = replace(self._head, end=raw.end)
        if self._size > MOST_BYTES:
            self._problem, self._messages = TOO_LONG, []
            return
        self._texts.append(text)
        if isinstance(read, NotARun):
            self._problem = self._problem or f"is a session whose line {raw.line} {read}"
        elif read["type"] == "message":
            message = read.get("message")
            if isinstance(message, dict) and read.get("copied") is True:
                message = {**message, "is_copied_context": True}
            self._messages.append(message)

    def ended(self) -> Iterator[_Read]:
        if not self._head:
            return
        text = b"\n".join(self._texts)
        raw = replace(self._head, text=text[:SHOWN_BYTES] if self._problem == TOO_LONG else text, row=None)
        row = {**self._fields, "messages": self._messages, "type": "session"}
        yield raw, NotARun(self._problem) if self._problem else row


def shape_of(row: Mapping[str, Any]) -> str:
    """The shape of a row. Raises NotARun if it has none."""
    if row.get("type") == "session":
        return "hf-traces"
    for field, shape in _FIELDS.items():
        if isinstance(row.get(field), list):
            return shape
    if any(field in row for field in PAIR):
        raise NotARun("is a preference pair and not a run: import the runs that it was made of")
    if isinstance(row.get("prompt"), list) and isinstance(row.get("completion"), list):
        return "openai"
    for field in _FIELDS:
        if field in row:
            raise NotARun(f"has {kind_of(row[field])} in the field {field}, and not a list")
    known = ", ".join(f"{field} ({shape})" for field, shape in _FIELDS.items())
    listed = ", ".join(f"{name[:30]!r}" for name in list(row)[:6]) or "no field"
    raise NotARun(f"has none of the fields {known}; it has {listed}")


def as_recorded(row: Mapping[str, Any], wanted: str = "") -> tuple[str, Mapping[str, Any]]:
    """The shape of a row, and the row as environments/recorded/ reads it. `wanted`: only this shape. Raises NotARun."""
    row = _unpacked(row)
    _refuse_two(row)
    shape = shape_of(row)
    if wanted and shape != wanted:
        raise NotARun(f"is of the shape {shape}, and --format says {wanted}")
    if shape == "openai" and not isinstance(row.get("messages"), list):
        row = {**row, "messages": [*row["prompt"], *row["completion"]]}
    only = next((field for field, of in _FIELDS.items() if of == shape), "messages")
    return shape, {name: value for name, value in row.items() if name == only or name not in _FIELDS}


def _refuse_two(row: Mapping[str, Any]) -> None:
    """Raises NotARun for a row with two lists of messages: the marks of the one that is not read would be lost."""
    found = [name for name in (*_FIELDS, "completion") if isinstance(row.get(name), list) and row[name]]
    if found[1:]:
        raise NotARun(f"has messages in {' and in '.join(found)}: leave only those that are the run")


def _unpacked(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Messages that are kept as one JSON text, as in some Parquet and CSV files, as lists."""
    texts = {name: row[name] for name in _FIELDS if isinstance(row.get(name), str)}
    try:
        return {**row, **{name: json.loads(text) for name, text in texts.items()}} if texts else row
    except (ValueError, RecursionError):
        raise NotARun(f"has a text in {next(iter(texts))} that is no JSON list") from None
