"""A few made-up inputs of every kind. `make fuzz` tries ten thousand of each."""

from __future__ import annotations

import time
from typing import NoReturn

import pytest
from hypothesis import strategies as st

from storage.faults import StorageFault
from tests.fuzz import trying
from tests.fuzz.kinds import KINDS
from tests.fuzz.trying import Kind, try_many

FEW = 25


@pytest.mark.parametrize("name", list(KINDS))
def test_no_input_ends_in_a_traceback_or_hangs(name: str) -> None:
    tried = try_many(KINDS[name], FEW)
    assert not tried.wrong, next(iter(tried.wrong.items()))
    assert tried.examples == FEW == tried.accepted + tried.faults


def test_most_kinds_are_refused_and_accepted() -> None:
    """Or they would not reach what is behind the first check."""
    tried = {name: try_many(KINDS[name], 60) for name in ("games: ALFWorld", "manifests", "SQL: --where")}
    for name, one in tried.items():
        assert one.accepted, name
        assert one.faults, name


def test_a_traceback_a_hang_and_an_error_of_two_lines_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trying, "DEADLINE", 0.05)

    def use(number: int) -> NoReturn:
        if number == 0:
            raise KeyError(number)
        if number == 1:
            raise StorageFault("two\nlines")
        if number == 2:
            try:
                time.sleep(5)
            except Exception:
                raise AssertionError("no code may catch the deadline") from None
        raise StorageFault("one line")

    tried = try_many(Kind("made up", st.integers(0, 3), use, (StorageFault,)), 30)
    assert len(tried.wrong) == 3
    assert tried.hangs == tried.counts["hang"] > 0
    assert tried.tracebacks == tried.counts.total() - tried.hangs > 1
    assert tried.faults > 0
