"""Work that runs beside each other: never more than asked for, in order, and none is left behind by a failure."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar

import pytest

from flows.overlapping import overlapped

NAME: ContextVar[str] = ContextVar("name")


def never() -> None:
    raise AssertionError("nothing is to be stopped")


class Counted:
    """Pieces of work that count how many run at once, and go on once so many do."""

    def __init__(self, together: int) -> None:
        self._lock, self._running = threading.Lock(), 0
        self._together = threading.Barrier(together)
        self.most, self.begun = 0, list[int]()

    def piece(self, number: int) -> Callable[[], int]:
        def work() -> int:
            with self._lock:
                self._running += 1
                self.begun.append(number)
                self.most = max(self.most, self._running)
            self._together.wait(30)
            with self._lock:
                self._running -= 1
            return 10 * number

        return work


@pytest.mark.parametrize("most", [1, 3, 50])
def test_every_piece_runs_once_and_at_most_so_many_at_once(most: int) -> None:
    counted = Counted(min(most, 12))
    found = dict(overlapped([counted.piece(number) for number in range(12)], most, never))
    assert found == {number: 10 * number for number in range(12)}
    assert sorted(counted.begun) == list(range(12))
    assert counted.begun[:1] == [0]
    assert counted.most == min(most, 12)


def test_one_at_a_time_runs_in_this_thread() -> None:
    assert dict(overlapped([threading.get_ident] * 3, 1, never)) == dict.fromkeys(
        range(3), threading.get_ident()
    )


def test_the_context_is_that_of_the_caller() -> None:
    token = NAME.set("stage")
    try:
        assert dict(overlapped([NAME.get] * 4, 2, never)) == dict.fromkeys(range(4), "stage")
    finally:
        NAME.reset(token)


def test_a_failure_ends_those_that_run_and_begins_no_more() -> None:
    ended, begun = threading.Event(), list[int]()

    def waits(number: int) -> Callable[[], bool]:
        def work() -> bool:
            begun.append(number)
            return ended.wait(30)

        return work

    def fails() -> bool:
        raise ValueError("no server")

    with pytest.raises(ValueError, match="no server"):
        dict(overlapped([waits(0), fails, *(waits(number) for number in range(2, 9))], 2, ended.set))
    assert begun == [0]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batch")]


def test_a_caller_that_goes_away_ends_them_too() -> None:
    ended = threading.Event()
    results = overlapped([lambda: True, lambda: ended.wait(30), lambda: ended.wait(30)], 2, ended.set)
    assert next(results) == (0, True)
    results.close()
    assert ended.is_set()
