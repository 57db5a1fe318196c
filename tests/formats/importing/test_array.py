"""A JSON array is cut into its elements, wherever its chunks end, and a broken element costs no other."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.importing import array
from formats.importing.array import CUT, elements
from formats.importing.rows import TOO_LONG

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers() | st.text() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def cut(data: bytes) -> list[tuple[int, bytes, str]]:
    return list(elements(io.BytesIO(data)))


@pytest.fixture(params=[1, 2, 7, 1 << 20], autouse=True)
def _chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array, "CHUNK", request.param)


@given(st.lists(st.dictionaries(st.text(), JSON)), st.sampled_from([None, 0, 1, 4]), st.booleans())
def test_elements_are_those_that_json_reads(rows: list[Any], indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(rows, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert [json.loads(element.decode("utf-8", "surrogatepass")) for _, element, _ in cut(text)] == rows


def test_the_line_of_an_element_is_where_it_begins() -> None:
    found = cut(b'\n[ {"a":\n1},\n\n {"b": "x,]\\"\\\\"}\n,3]')
    assert found == [(2, b'{"a":\n1}', ""), (5, b'{"b": "x,]\\"\\\\"}', ""), (6, b"3", "")]


def test_after_an_element_that_is_not_closed_the_others_are_found_by_where_lines_begin() -> None:
    found = cut(b'[\n {"a": 1},\n {"b": [},\n {"c": "}],\n {"d": {\n  "x": 1}}\n]')
    assert [(line, why) for line, _, why in found] == [(2, ""), (3, CUT), (4, ""), (5, "")]
    assert found[-1][1] == b'{"d": {\n  "x": 1}}'


def test_what_comes_after_the_array_is_read_line_by_line() -> None:
    assert cut(b'[{"a": 1}] \n{"b": 2}\n\nx') == [(1, b'{"a": 1}', ""), (2, b'{"b": 2}', ""), (4, b"x", "")]


def test_an_element_that_is_too_long_is_not_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array, "MOST_BYTES", 50)
    found = cut(b'[{"a": "' + b"x" * 500 + b'"}, {"b": 1}]')
    assert [why for _, _, why in found] == [TOO_LONG, ""]
    assert len(found[0][1]) <= 50
