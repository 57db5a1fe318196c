"""What Prefect logs for each event that it cannot send is one line, once."""

from __future__ import annotations

import logging

from flows.server.environment import AWAY, SaidOnce

LOST = [
    ("prefect._internal.concurrency", "Service 'EventsWorker' failed to process item Event(occurred=...)"),
    ("prefect.events.clients", "Unable to connect to 'ws://127.0.0.1:4200/api/events/in'"),
    ("prefect._internal.concurrency", "Service 'APILogWorker' failed to process item {}"),
]
OTHERS = [("prefect._internal.concurrency", "a thread has died"), ("prefect.client", "Unauthorized")]


def record(name: str, message: str) -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, "file", 1, message, (), None)


def test_a_server_that_is_away_is_said_once() -> None:
    once = SaidOnce()
    records = [record(*one) for one in LOST]
    assert [once.filter(one) for one in records] == [True, False, False]
    assert records[0].getMessage() == AWAY


def test_other_messages_stay_as_they_are() -> None:
    once = SaidOnce()
    for name, message in OTHERS * 2:
        other = record(name, message)
        assert once.filter(other)
        assert other.getMessage() == message
