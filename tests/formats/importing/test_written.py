"""An import replaces nothing that is not its own, whenever it appears, and no other import writes the same file."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from environments.base import EnvironmentFault
from formats.importing.rows import Raw
from formats.importing.written import WrittenRuns, set_aside_path


def write(out: Path, kept: int = 1, aside: int = 0, meanwhile: Path | None = None) -> None:
    """An import; `meanwhile`: what another program writes."""
    with WrittenRuns(out) as written:
        for number in range(kept):
            written.keep({"n": number})
        for number in range(aside):
            written.set_aside(Raw(Path("in"), number), "no run", "why")
        if meanwhile:
            meanwhile.write_text("mine")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "k.jsonl"


@pytest.fixture(params=["links", "no links"], autouse=True)
def _file_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "no links":  # as exFAT

        def refused(*paths: object) -> None:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(os, "link", refused)


def test_only_what_has_lines_is_left(out: Path) -> None:
    write(out, aside=1)
    assert names(out.parent) == {"k.jsonl", "k.jsonl.set-aside.jsonl"}
    assert out.read_text() == '{"n": 0}\n'


def test_a_file_that_appears_during_an_import_is_not_replaced(out: Path) -> None:
    with pytest.raises(
        EnvironmentFault,
        match=r"k\.jsonl appeared during the import .* rename .*\.k\.jsonl\.part to k\.jsonl",
    ):
        write(out, meanwhile=out)
    assert out.read_text() == "mine"
    assert names(out.parent) == {"k.jsonl", ".k.jsonl.part"}
    assert (out.parent / ".k.jsonl.part").read_text() == '{"n": 0}\n'


def test_a_set_aside_file_that_appears_costs_neither_it_nor_the_runs(out: Path) -> None:
    aside = set_aside_path(out)
    with pytest.raises(EnvironmentFault, match=r"set-aside\.jsonl appeared"):
        write(out, aside=1, meanwhile=aside)
    assert aside.read_text() == "mine"
    assert names(out.parent) == {"k.jsonl", "k.jsonl.set-aside.jsonl", ".k.jsonl.set-aside.jsonl.part"}


def test_nothing_set_aside_leaves_a_file_of_that_name_that_appears(out: Path) -> None:
    write(out, meanwhile=set_aside_path(out))
    assert set_aside_path(out).read_text() == "mine"


def test_imports_to_files_of_one_stem_have_set_aside_files_of_their_own(out: Path) -> None:
    write(out, aside=1)
    write(out.with_suffix(".json"))
    assert names(out.parent) == {"k.jsonl", "k.jsonl.set-aside.jsonl", "k.json"}


def test_an_import_replaces_what_an_earlier_one_of_its_name_set_aside(out: Path) -> None:
    write(out, kept=0, aside=2)
    write(out, kept=0, aside=1)
    assert len(set_aside_path(out).read_text().splitlines()) == 1
    write(out)
    assert names(out.parent) == {"k.jsonl"}


@pytest.mark.parametrize("text", ["", "mine", "[1]", '{"kind": "no run"}', '{"kind": [], "text": ""}'])
def test_a_file_of_the_users_own_is_refused_before_the_work(text: str, out: Path) -> None:
    set_aside_path(out).write_text(text)
    with pytest.raises(
        EnvironmentFault, match=r"set-aside\.jsonl exists already, and no import has written it"
    ):
        WrittenRuns(out).__enter__()
    assert names(out.parent) == {"k.jsonl.set-aside.jsonl"}
    assert set_aside_path(out).read_text() == text


def test_a_link_that_leads_nowhere_is_not_replaced_either(out: Path) -> None:
    out.symlink_to("nowhere")
    with pytest.raises(EnvironmentFault, match="exists already: choose another --out"):
        WrittenRuns(out).__enter__()


def test_a_second_import_to_the_same_file_is_refused_at_once(out: Path) -> None:
    with WrittenRuns(out) as written:
        written.keep({"n": 0})
        with pytest.raises(EnvironmentFault, match=r"another import to .*k\.jsonl is running: wait for it"):
            WrittenRuns(out).__enter__()
        with WrittenRuns(out.with_suffix(".json")):  # another file
            pass
        written.keep({"n": 1})
    assert out.read_text() == '{"n": 0}\n{"n": 1}\n'
    assert names(out.parent) == {"k.jsonl"}


def test_after_an_error_the_file_can_be_written(out: Path) -> None:
    with pytest.raises(ZeroDivisionError), WrittenRuns(out) as written:
        written.keep({"n": 1 // 0})
    assert not names(out.parent)
    write(out)
