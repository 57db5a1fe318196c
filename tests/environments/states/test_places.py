"""Batches that play beside each other share a world's live environments."""

from __future__ import annotations

import threading

import pytest

from environments.states.places import Places


def test_all_shares_together_take_no_more_than_there_is() -> None:
    places = Places(3)
    with places.share() as one, places.share() as other:
        assert [one.take(), other.take(), one.take(), one.take(), other.take()] == [
            True,
            True,
            True,
            False,
            False,
        ]
        one.give()
        assert other.take()
    assert places.free == 3


def test_a_share_that_holds_nothing_waits_until_another_gives() -> None:
    places, got = Places(1), threading.Event()

    def other() -> None:
        with places.share() as share:
            assert share.take()
            got.set()

    with places.share() as one:
        one.take()
        thread = threading.Thread(target=other, daemon=True)
        thread.start()
        assert not got.wait(0.1)
    assert got.wait(10)
    thread.join(10)
    assert places.free == 1


def test_a_share_that_fails_gives_everything_back() -> None:
    places = Places(2)

    def fails() -> None:
        with places.share() as share:
            share.take()
            raise ValueError("lost")

    with pytest.raises(ValueError, match="lost"):
        fails()
    assert places.free == 2
