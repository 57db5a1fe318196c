"""Turns are read in one go: as the one pattern did that they were read with before, but in time."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from steca.turns import parse_turn

BEFORE = re.compile(
    r"^[ \t]*(?:Thought:(?P<thought>.*?)^[ \t]*)?Action:[ \t]*(?P<action>\S[^\n]*)$", re.DOTALL | re.MULTILINE
)
PIECES = st.sampled_from(
    ["Thought:", "Action:", " ", "\t", "\n", "a", "Action: b\n", "Thought: c\n", "Act", "x Action: y"]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join))
def test_a_turn_reads_as_before(text: str) -> None:
    found = BEFORE.search(text)
    wanted = (" ".join((found["thought"] or "").split()), found["action"].strip()) if found else None
    assert parse_turn(text) == wanted
