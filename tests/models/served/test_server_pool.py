"""Servers that outlive the stage that started them: how many run, which end first, and what a failed start leaves."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Self, cast

import pytest

from models.policy import PolicyFault
from models.served.server_pool import ServerPool, lasting_servers, servers_last


class Server:
    """A server that takes its time to start, where `may_start` is given, or cannot start."""

    def __init__(
        self, digest: str, made: list[Server], may_start: threading.Event | None = None, fails: str = ""
    ) -> None:
        self.digest, self.log, self.fails = digest, Path(f"{digest}.log"), fails
        self.running, self.closed = False, threading.Event()
        self._may_start = may_start
        made.append(self)

    def start(self) -> Self:
        if self._may_start:
            self._may_start.wait(30)
        if self.fails or self.closed.is_set():
            raise PolicyFault(self.fails or "closed")
        self.running = True
        return self

    def close(self) -> None:
        self.running = False
        self.closed.set()
        if self._may_start:
            self._may_start.set()


class Made(list[Server]):
    """All servers that were made."""

    def maker(self, digest: str, **how: Any) -> Any:
        return lambda: Server(digest, self, **how)

    @property
    def running(self) -> list[str]:
        return [server.digest for server in self if server.running]


def asked(pool: ServerPool, made: Made, digest: str, **how: Any) -> Server:
    return cast(Server, pool.server(digest, made.maker(digest, **how), lambda _: None))


def test_a_server_that_runs_is_used_again() -> None:
    pool, made = ServerPool(1), Made()
    assert asked(pool, made, "a") is asked(pool, made, "a")
    assert made.running == ["a"]
    pool.close()
    assert made.running == []


@pytest.mark.parametrize(("at_once", "running"), [(1, ["c"]), (2, ["a", "c"]), (3, ["a", "b", "c"])])
def test_the_one_that_was_wanted_longest_ago_ends_before_another_starts(
    at_once: int, running: list[str]
) -> None:
    pool, made = ServerPool(at_once), Made()
    for digest in ("a", "b", "a", "c"):
        asked(pool, made, digest)
        assert len(made.running) <= at_once
    assert made.running[-len(running) :] == running


@pytest.mark.parametrize(("at_once", "left"), [(1, []), (2, ["a"])])
def test_training_gets_room_where_one_server_may_run(at_once: int, left: list[str]) -> None:
    pool, made = ServerPool(at_once), Made()
    asked(pool, made, "a")
    pool.make_room()
    assert made.running == left


def test_a_start_ahead_is_not_waited_for_and_then_used() -> None:
    pool, made, may_start = ServerPool(1), Made(), threading.Event()
    said: list[str] = []
    pool.start_ahead("a", made.maker("a", may_start=may_start), said.append)
    assert made.running == []
    assert said == ["starting vLLM for checkpoint a; its log: a.log"]
    may_start.set()
    assert asked(pool, made, "a") is made[0]
    assert len(made) == 1


def test_a_start_that_fails_says_so_and_is_tried_again_when_it_is_wanted_again() -> None:
    pool, made = ServerPool(1), Made()
    with pytest.raises(PolicyFault, match="no memory"):
        asked(pool, made, "a", fails="no memory")
    assert asked(pool, made, "a").running


def test_what_failed_ahead_is_started_once_more() -> None:
    """Ahead there may have been no room yet."""
    pool, made = ServerPool(1), Made()
    pool.start_ahead("a", made.maker("a", fails="no memory"), lambda _: None)
    assert asked(pool, made, "a").running


def test_a_start_that_is_going_on_ends_with_the_pool() -> None:
    made = Made()
    with servers_last(1):
        pool = lasting_servers()
        assert pool
        pool.start_ahead("a", made.maker("a", may_start=threading.Event()), lambda _: None)
    assert made[0].closed.is_set()
    assert made.running == []
    assert lasting_servers() is None
