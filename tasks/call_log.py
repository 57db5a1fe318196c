"""The log of the language-model calls of a batch: each is priced, none is made twice, and all become rows."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from configs.servers import PriceConfig
from models.client.calls import Call, Reply
from models.thinking import split_turn
from steca.vocabulary import Finish
from storage.ids import content_id
from storage.records import LlmCallRecord
from storage.replies import CallJournal, KeptReplies, LoggedCall

USD_PER = 1_000_000
"""Prices are for a million tokens."""


class BatchCallLog:
    """The calls of one batch. Implements models.client.calls.CallLog. Replies are kept until the batch is written;
    `SharedCallLog` keeps them for every run."""

    blocking = False

    def __init__(self, root: Path, prices: Mapping[str, PriceConfig], batch_id: str) -> None:
        """Begins with the calls that an earlier attempt at the batch has logged."""
        self._prices, self._journal = prices, CallJournal(root, batch_id)
        self._known: dict[str, LoggedCall] = {}
        self._rows: dict[str, LlmCallRecord] = {}
        self._lock = threading.Lock()
        for logged in self._journal.load():
            self.note(logged)

    def rows(self) -> list[LlmCallRecord]:
        """Every call of the batch, including those of earlier attempts and replies that other runs paid for."""
        return list(self._rows.values())

    def release(self) -> None:
        """Close the file of the journal, which stays for another attempt."""
        self._journal.release()

    def end(self) -> None:
        """Close the log: the batch is written."""
        self._journal.close()

    def find(self, key: str) -> Reply | None:
        logged = self._known.get(key)
        return _reply(logged) if logged else None

    def keep(self, key: str, reply: Reply, call: Call) -> None:
        self.record(self.priced(key, call, reply))

    def failed(self, key: str, call: Call) -> None:
        self.record(self.priced(key, call, None))

    def record(self, logged: LoggedCall) -> None:
        """Write a call to the journal before anything else can happen. From any thread."""
        with self._lock:
            self._journal.add(logged)
            self.note(logged)

    def note(self, logged: LoggedCall) -> None:
        """Count a call to the batch, whichever run made it."""
        self._rows[logged.call.call_id] = logged.call
        if logged.text is not None:
            self._known[logged.call.request_id] = logged

    def priced(self, key: str, call: Call, reply: Reply | None) -> LoggedCall:
        fields = {name: getattr(call, name) for name in Call.__slots__}
        fields["faults"] = list(call.faults)
        usd = price(call, self._prices.get(call.model))
        call_id = content_id("call", key, fields)
        record = LlmCallRecord(call_id=call_id, request_id=key, usd=usd, **fields)
        if reply is None:
            return LoggedCall(text=None, call=record)
        return LoggedCall(text=reply.text, thinking=reply.thinking, refusal=reply.refusal, call=record)


_CURRENT: ContextVar[BatchCallLog] = ContextVar("call log of the batch")
"""Batches run beside each other and share their models. A request belongs to the batch in whose context it is made."""


@contextmanager
def logged_in(log: BatchCallLog) -> Iterator[None]:
    """All requests made inside, from this thread, are calls of this log's batch."""
    token = _CURRENT.set(log)
    try:
        yield
    finally:
        _CURRENT.reset(token)
        log.release()


class CurrentCallLog:
    """The call log of the batch that makes a request."""

    blocking = False

    def find(self, key: str) -> Reply | None:
        return _CURRENT.get().find(key)

    def keep(self, key: str, reply: Reply, call: Call) -> None:
        _CURRENT.get().keep(key, reply, call)

    def failed(self, key: str, call: Call) -> None:
        _CURRENT.get().failed(key, call)


class SharedCallLog:
    """The same, with replies that are kept for every run of the data folder. For reflections: few and expensive. Each
    reply is a file that is flushed to disk."""

    blocking = True

    def __init__(self, root: Path) -> None:
        self._files = KeptReplies(root)

    def find(self, key: str) -> Reply | None:
        logged, own = self._files.find(key), _CURRENT.get()
        if logged is None:
            return own.find(key)
        own.note(logged)
        return _reply(logged)

    def keep(self, key: str, reply: Reply, call: Call) -> None:
        logged = _CURRENT.get().priced(key, call, reply)
        self._files.add(logged)
        _CURRENT.get().record(logged)

    def failed(self, key: str, call: Call) -> None:
        _CURRENT.get().failed(key, call)


def _reply(logged: LoggedCall) -> Reply | None:
    if logged.text is None:
        return None
    finish: Finish = "length" if logged.call.finish == "length" else "stop"
    written = split_turn(logged.text)  # until version 0.3 thinking was left in the text
    thinking = logged.thinking or written.thinking
    return Reply(written.answer, logged.call.completion_tokens, finish, thinking, logged.refusal)


def price(call: Call, prices: PriceConfig | None) -> float | None:
    """The price of a call in dollars; None if its model has none. The tokens of failed attempts are unknown."""
    if prices is None:
        return None
    cached = prices.input if prices.cached_input is None else prices.cached_input
    fresh = call.prompt_tokens - call.cached_tokens
    total = fresh * prices.input + call.cached_tokens * cached + call.completion_tokens * prices.output
    return total / USD_PER
