"""Whatever a file holds: one line of error or a report, every good run kept, and nothing lost."""

from __future__ import annotations

import gzip
import json
import random
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from environments.base import EnvironmentFault
from tests.support.imported_runs import TASKS, imported, kept, lines, openai, set_aside, sharegpt

GOOD = [json.dumps(sharegpt(task) if n % 2 else openai(task)).encode() for n, task in enumerate(TASKS[:4])]
FIELDS = "id conversations messages steps from value role content type source tool_calls observation results prompt"
VALUES = "session message gpt assistant agent completion text function arguments loss weight extra"
WORDS = st.sampled_from([*FIELDS.split(), *VALUES.split(), "Thought: a\nAction: b", "Action: \0", "\ud800"])
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def changed(draw: st.DrawFn) -> bytes:
    """A good run with something else in one place, or cut."""
    row = deepcopy(draw(st.sampled_from([openai(TASKS[5]), sharegpt(TASKS[6])])))
    at: Any = row
    while True:
        keys = list(at) if isinstance(at, dict) else range(len(at))
        key = draw(st.sampled_from(keys))
        if not isinstance(at[key], dict | list) or not at[key] or draw(st.booleans()):
            break
        at = at[key]
    at[key] = draw(JSON)
    text = json.dumps(row).encode()
    return text[: draw(st.integers(0, len(text)))] if draw(st.booleans()) else text


JUNK = st.one_of(
    st.binary(max_size=30).map(lambda data: data.replace(b"\n", b" ").replace(b"\r", b" ")),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(WORDS, JSON, max_size=4).map(lambda value: json.dumps(value).encode()),
    changed(),
)
many = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@many
@given(st.lists(JUNK, max_size=6), st.randoms(use_true_random=False), st.booleans())
def test_good_lines_are_kept_and_no_line_is_lost(
    junk: list[bytes], order: random.Random, zipped: bool
) -> None:
    rest = [*GOOD[1:], *junk]
    order.shuffle(rest)
    with TemporaryDirectory() as folder:
        file, out = lines(Path(folder) / "in", [GOOD[0], *rest]), Path(folder) / "runs.jsonl"
        if zipped:
            file.write_bytes(gzip.compress(file.read_bytes()))
        found = imported(file, out)
        used = {row["source"]["line"] for row in kept(out)}
        aside = "\n".join(row["text"] for row in set_aside(out))
    assert len(used) == found.kept
    for number, line in enumerate([GOOD[0], *rest], start=1):
        if line in GOOD:
            assert number in used
        elif line.strip() and number not in used:
            assert line.decode("utf-8", "surrogateescape").rstrip("\r") in aside


@many
@given(
    st.lists(st.one_of(JUNK, st.sampled_from(GOOD))),
    st.sampled_from([b"\n", b",", b",\n", b"[", b""]),
    st.binary(max_size=6),
)
def test_any_bytes_are_read_or_refused_in_one_line(parts: list[bytes], between: bytes, before: bytes) -> None:
    with TemporaryDirectory() as folder:
        file, out = Path(folder) / "in", Path(folder) / "runs.jsonl"
        file.write_bytes(before + between.join(parts))
        try:
            found = imported(file, out)
        except EnvironmentFault:
            whole = file.read_bytes()
            binary = b"\x00" in whole and not any(
                line.lstrip().startswith(b"{") for line in whole.splitlines()
            )
            assert before[:2] in (b"\xff\xfe", b"\xfe\xff") or whole[:4] == b"PAR1" or binary
        else:
            assert found.read == len(kept(out)) + len(set_aside(out))
            assert all("\n" not in row["reason"] for row in set_aside(out))


@many
@given(st.lists(st.sampled_from(GOOD) | changed(), max_size=6).map(lambda rows: [GOOD[0], *rows]), st.data())
def test_a_flipped_byte_of_a_zipped_array_is_no_traceback(rows: list[bytes], data: st.DataObject) -> None:
    packed = bytearray(gzip.compress(b"[" + b",\n".join(rows) + b"]"))
    packed[data.draw(st.integers(2, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    with TemporaryDirectory() as folder:
        file, out = Path(folder) / "in", Path(folder) / "runs.jsonl"
        file.write_bytes(bytes(packed))
        found = imported(file, out)
        assert found.read >= 1


def test_what_is_made_up_is_mostly_broken() -> None:
    """Or these tests would see nothing."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / "runs.jsonl"
        junk = [*GOOD, b"{", b"\xff", b'{"messages": [{}]}', json.dumps(sharegpt(TASKS[5]))[:-30]]
        imported(lines(Path(folder) / "in", junk), out)
        assert len(set_aside(out)) == 4
        assert len(kept(out)) == 4
