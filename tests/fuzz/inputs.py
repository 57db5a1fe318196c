"""Strategies that the kinds share: damaged texts, bytes and JSON values."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

LETTERS = st.characters(exclude_categories=())  # lone surrogates too
HOSTILE = st.sampled_from(
    [
        *(
            "",
            "\0",
            "\ud800",
            "\u2028",
            "\ufeff",
            "\x1b[31m",
            "../../x",
            "-0",
            "1e999",
            "NaN",
            "null",
            "true",
            "'",
            '"',
        ),
        *(
            "[" * 3000,
            '{"a":' * 3000,
            "(" * 3000,
            "9" * 5000,
            "x" * 3000,
            "%s{0}",
            "{{",
            "\\",
            "\n\n",
            "\t",
            "'",
            '"',
        ),
    ]
)
TEXTS = st.text(LETTERS, max_size=12) | HOSTILE
NUMBERS = st.integers() | st.floats() | st.sampled_from([2**63, -(2**63) - 1, 10**400, 0, -1])


def values(words: st.SearchStrategy[str] = TEXTS) -> st.SearchStrategy[Any]:
    """Values of JSON, with these texts and names."""
    return st.recursive(
        st.none() | st.booleans() | NUMBERS | words,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
        max_leaves=8,
    )


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[str], pieces: st.SearchStrategy[str] = TEXTS) -> str:
    """A good text with up to three spans that are cut out, doubled, or replaced by a piece."""
    text = draw(whole)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.sampled_from([0, 0, 1, 2, 10, 100, 10_000])))
        between = draw(st.sampled_from(["", text[start:end] * 2]) | pieces)
        text = text[:start] + between + text[end:]
    return text


@st.composite
def damaged_bytes(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Good bytes, cut, or with some that are flipped, left out or put in."""
    data = bytearray(draw(whole))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        how = draw(st.sampled_from(["flip", "cut", "out", "in"]))
        if how == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "cut":
            del data[at:]
        elif how == "out":
            del data[at : at + draw(st.integers(1, 9))]
        else:
            data[at:at] = draw(st.binary(max_size=9))
    return bytes(data)


@st.composite
def changed(draw: st.DrawFn, whole: st.SearchStrategy[Any], words: st.SearchStrategy[str] = TEXTS) -> Any:
    """A good JSON value in which something else is in one or two places, or one is missing."""
    value = deepcopy(draw(whole))
    for _ in range(draw(st.integers(1, 2))):
        at: Any = value
        while isinstance(at, dict | list) and at:
            key = draw(st.sampled_from(list(at) if isinstance(at, dict) else range(len(at))))
            if not isinstance(at[key], dict | list) or not at[key] or draw(st.booleans()):
                if draw(st.integers(0, 4)):
                    at[key] = draw(values(words))
                else:
                    del at[key]
                break
            at = at[key]
    return value


def as_text(value: Any) -> str:
    """JSON as files have it; what no UTF-8 can hold is escaped."""
    return json.dumps(value)


def encoded(text: str) -> bytes:
    """The bytes of a text, lone surrogates too, which are no UTF-8 then."""
    return text.encode("utf-8", "surrogatepass")
