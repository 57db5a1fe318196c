"""What a file is, is seen from its bytes; each kind gives the same rows, and damage costs only what is damaged."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from environments.base import EnvironmentFault
from environments.recorded.forms import NotARun
from formats.importing import files
from formats.importing.files import raw_rows
from formats.importing.rows import TOO_LONG, Raw, row_of

ROWS = [{"id": str(n), "messages": [{"role": "user", "content": f"é\n{n}"}]} for n in range(3)]
JSONL = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS).encode()


def written(folder: Path, data: bytes) -> Path:
    path = folder / "runs"
    path.write_bytes(data)
    return path


def rows(path: Path) -> list[Any]:
    return [row_of(raw) for raw in raw_rows(path)]


@pytest.mark.parametrize(
    "data",
    [
        JSONL,
        JSONL + b"\n",
        JSONL.replace(b"\n", b"\r\n"),
        JSONL.replace(b"\n", b"\n\n  \n"),
        files.BOM + JSONL,
        json.dumps(ROWS).encode(),
        files.BOM + json.dumps(ROWS, indent=2).encode(),
        gzip.compress(JSONL),
        gzip.compress(json.dumps(ROWS).encode()),
    ],
    ids=["jsonl", "ended", "crlf", "blanks", "bom", "array", "pretty", "gzip", "gzip-array"],
)
def test_each_kind_gives_the_same_rows(data: bytes, tmp_path: Path) -> None:
    assert rows(written(tmp_path, data)) == ROWS


def test_parquet_gives_the_same_rows_without_what_is_null(tmp_path: Path) -> None:
    more = [{**ROWS[0], "note": "x"}, *ROWS[1:]]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(more), tmp_path / "runs")
    assert rows(tmp_path / "runs") == more


def test_one_object_over_several_lines_is_one_row(tmp_path: Path) -> None:
    assert rows(written(tmp_path, json.dumps(ROWS[0], indent=2).encode())) == ROWS[:1]
    found = list(
        raw_rows(written(tmp_path, b"{\n" + JSONL))
    )  # but here the first line is broken, and no other
    assert [raw.line for raw in found] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\xff\xfe[\x00]\x00", "is UTF-16LE and not UTF-8: convert it, e.g. iconv -f UTF-16LE -t UTF-8"),
        (b"PAR1xxxx", "is no Parquet file that can be read"),
        (b"PK\x03\x04\x00\x00\n\n", r"is not text \(it begins with the bytes 50 4b 03 04\)"),
        (gzip.compress(b"\x93NUMPY\x00\n\n", mtime=0), r"is not text \(it begins with the bytes 93 4e 55 4d"),
    ],
)
def test_a_file_that_is_nothing_of_this_is_refused(data: bytes, why: str, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match=why):
        list(raw_rows(written(tmp_path, data)))


def test_a_zero_byte_in_a_line_is_a_fault_of_that_line_only(tmp_path: Path) -> None:
    first, second = raw_rows(written(tmp_path, b'{"a": "\x00"}\n{"a": 1}'))
    with pytest.raises(NotARun):
        row_of(first)
    assert row_of(second) == {"a": 1}


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="none: cannot be read: No such file"):
        list(raw_rows(tmp_path / "none"))


def test_a_damaged_gzip_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    import random

    noise = random.Random(0)
    many = "\n".join(json.dumps({"n": n, "x": noise.randbytes(50).hex()}) for n in range(2000)).encode()
    found = list(raw_rows(written(tmp_path, gzip.compress(many)[:-3000])))
    assert len(found) > 100
    assert [row_of(raw)["n"] for raw in found[:-1]] == list(range(len(found) - 1))
    assert found[-1].problem.startswith("cannot be unpacked: ")
    assert found[-1].line == len(found)


def test_a_line_that_is_too_long_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_BYTES", 100)
    found = list(raw_rows(written(tmp_path, b"x" * 5000 + b'\n{"a": 1}')))
    assert [(raw.line, raw.problem) for raw in found] == [(1, TOO_LONG), (2, "")]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "is not JSON: Expecting value"),
        (b"[1]", "is a list and not an object"),
        (b"null", "is null and not an object"),
        (b"true", "is true and not an object"),
        (b"1.5", "is a number and not an object"),
        (b'{"a": "b', "its end is missing"),
        (b'{"a"', "its end is missing"),
        (b'{"a": 1}}', r"Extra data \(character 9 of the run\)$"),
        (b'{"a": \xff}', "is not UTF-8: byte 0xff at place 7"),
        (b'{"a": {"b": 1, "b": 2}}', "has an object with the key 'b' twice"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too many digits"),
    ],
)
def test_text_that_is_no_row_is_told_with_its_place(text: bytes, why: str) -> None:
    with pytest.raises(NotARun, match=why):
        row_of(Raw(Path("x"), 1, text))


def test_bytes_that_are_no_text_are_kept(tmp_path: Path) -> None:
    kept = json.loads(json.dumps(Raw(Path("x"), 1, b"\xff\x00a").kept()))
    assert kept.encode("utf-8", "surrogateescape") == b"\xff\x00a"
