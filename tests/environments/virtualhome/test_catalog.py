"""Programs that cannot be read."""

from __future__ import annotations

import pytest

from environments.virtualhome.catalog import examine


@pytest.mark.parametrize(
    ("program", "graphs", "why"),
    [
        (b"Drink\n\n[GRAB <cup> (1.12)", b"{}", "has not the form"),
        (b"Drink\n\n[GRAB] <cup> (1.12)", b"{", "Expecting property name"),
        (b"Drink\n\n[GRAB] <cup> (1.12)", b"{}", "init_graph"),
    ],
)
def test_a_program_that_cannot_be_read_is_left_out_with_the_reason(
    program: bytes, graphs: bytes, why: str
) -> None:
    entry, task = examine("file1_1", program, graphs)
    assert (entry.outcome, task) == ("unreadable", None)
    assert why in entry.detail
