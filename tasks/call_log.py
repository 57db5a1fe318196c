"""The book of a run's language-model calls: priced, never made twice, and the rows of the batch they were made for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from configs.servers import PriceConfig
from models.client.calls import Call, Reply
from models.thinking import apart
from storage.ids import content_id
from storage.records import LlmCallRecord
from storage.replies import BookedCall, Journal, ReplyFiles

USD_PER = 1_000_000
"""Prices are for a million tokens."""


class Ledger:
    """The calls of one batch after the other. Implements models.client.endpoint.Book; replies are kept until their
    batch is written (`lasting` has those that are kept for every run)."""

    def __init__(self, root: Path, prices: Mapping[str, PriceConfig]) -> None:
        self._root, self._prices = root, prices
        self._journal: Journal | None = None
        self._known: dict[str, BookedCall] = {}
        self._rows: dict[str, LlmCallRecord] = {}

    def begin(self, batch_id: str) -> None:
        """Open the book for a batch, with what an earlier try of it has noted."""
        self._journal, self._known, self._rows = Journal(self._root, batch_id), {}, {}
        for booked in self._journal.load():
            self.note(booked)

    def rows(self) -> list[LlmCallRecord]:
        """Every call behind the batch, also those of earlier tries and those that were answered for other runs."""
        return list(self._rows.values())

    def end(self) -> None:
        """The batch is written."""
        if self._journal:
            self._journal.close()
        self._journal = None

    def find(self, key: str) -> Reply | None:
        booked = self._known.get(key)
        return _reply(booked) if booked else None

    def keep(self, key: str, reply: Reply, call: Call) -> None:
        self.book(self.priced(key, call, reply))

    def failed(self, key: str, call: Call) -> None:
        self.book(self.priced(key, call, None))

    def book(self, booked: BookedCall) -> None:
        """Write a call down, before anything else can happen."""
        assert self._journal is not None, "calls are made inside a batch"
        self._journal.add(booked)
        self.note(booked)

    def note(self, booked: BookedCall) -> None:
        """A call belongs to the batch, whoever made it."""
        self._rows[booked.call.call_id] = booked.call
        if booked.text is not None:
            self._known[booked.call.request_id] = booked

    def priced(self, key: str, call: Call, reply: Reply | None) -> BookedCall:
        fields = {name: getattr(call, name) for name in Call.__slots__}
        fields["faults"] = list(call.faults)
        usd = price(call, self._prices.get(call.model))
        call_id = content_id("call", key, fields)
        record = LlmCallRecord(call_id=call_id, request_id=key, usd=usd, **fields)
        if reply is None:
            return BookedCall(text=None, call=record)
        return BookedCall(text=reply.text, thinking=reply.thinking, refusal=reply.refusal, call=record)


class Lasting:
    """A ledger whose replies are kept for every run of the data folder: for reflections, few and dear."""

    def __init__(self, ledger: Ledger, root: Path) -> None:
        self._ledger, self._files = ledger, ReplyFiles(root)

    def find(self, key: str) -> Reply | None:
        booked = self._files.find(key)
        if booked is None:
            return self._ledger.find(key)
        self._ledger.note(booked)
        return _reply(booked)

    def keep(self, key: str, reply: Reply, call: Call) -> None:
        booked = self._ledger.priced(key, call, reply)
        self._files.add(booked)
        self._ledger.book(booked)

    def failed(self, key: str, call: Call) -> None:
        self._ledger.failed(key, call)


def _reply(booked: BookedCall) -> Reply | None:
    if booked.text is None:
        return None
    finish: Literal["stop", "length"] = "length" if booked.call.finish == "length" else "stop"
    written = apart(booked.text)  # until version 0.3 thinking was left in the text
    thinking = booked.thinking or written.thinking
    return Reply(written.answer, booked.call.completion_tokens, finish, thinking, booked.refusal)


def price(call: Call, prices: PriceConfig | None) -> float | None:
    """What a call cost in dollars; None where its model has no price. Tokens of failed tries are not known."""
    if prices is None:
        return None
    cached = prices.input if prices.cached_input is None else prices.cached_input
    fresh = call.prompt_tokens - call.cached_tokens
    total = fresh * prices.input + call.cached_tokens * cached + call.completion_tokens * prices.output
    return total / USD_PER
