"""The questions of docs/queries.md: each runs, and its answer has the columns that the page shows."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from configs.schema import FactoryConfig
from docs.tools.queries import PAGE, answered
from docs.tools.query_pictures import DARK, PICTURES, draw
from flows.runs.run import run_id
from storage.faults import StorageFault
from storage.store import Store
from tests.support.pages import ROOT, shown_answers

TEXT = PAGE.read_text()
QUESTIONS = re.findall(r"^### ([^\n]*\?)$(.*?)(?=^#+ |\Z)", TEXT, re.M | re.S)
ANSWERS = shown_answers(TEXT)
IMAGES = ROOT / "docs" / "images" / "queries"
NO_ROWS = ("FROM comparison_pairs", "unnest(list_distinct")
"""In queries without rows: the tiny run is no comparison, and its policy writes no actions."""


@pytest.fixture(scope="module")
def store(finished: FactoryConfig) -> Iterator[tuple[Store, str]]:
    """The store of the finished tiny run, and the id of the run."""
    store = Store(finished.data_dir)
    with store.opened():
        yield store, run_id(finished)


def ask(store: tuple[Store, str], query: str) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
    opened, run = store
    return opened.query(query.replace("'RUN'", f"'{run}'"))


def test_every_question_has_a_query_an_answer_and_a_reading() -> None:
    assert len(QUESTIONS) >= 15
    for question, part in QUESTIONS:
        assert shown_answers(part), question
        prose = re.sub(r"^```.*?^```|^![^\n]*", "", part, flags=re.S | re.M).split()
        assert len(prose) >= 15, question


@pytest.mark.parametrize(("query", "columns"), ANSWERS, ids=[columns[0] for _, columns in ANSWERS])
def test_every_query_answers_with_the_columns_that_are_shown(
    store: tuple[Store, str], query: str, columns: list[str]
) -> None:
    assert list(ask(store, query)[0]) == columns
    _, rows = ask(store, re.sub(r"(HAVING \S+) >?= \d+", r"\1 >= 1", query))  # the tiny run has few rows
    assert rows or any(part in query for part in NO_ROWS)


def test_a_broken_query_would_be_noticed(store: tuple[Store, str]) -> None:
    query, columns = ANSWERS[0]
    with pytest.raises(StorageFault, match="verdikt"):
        ask(store, query.replace("verdict", "verdikt"))
    assert list(ask(store, query.replace("AS share", "AS portion"))[0]) != columns


def test_every_answer_and_picture_is_made_anew(store: tuple[Store, str], tmp_path: Path) -> None:
    page, shown = answered(TEXT, lambda query: ask(store, query))
    assert shown_answers(page) == ANSWERS  # the same queries and columns, with other rows
    assert page != TEXT
    assert answered(page, lambda query: ask(store, query))[0] == page
    assert shown.keys() == PICTURES.keys()
    for name, rows in shown.items():
        draw(PICTURES[name], rows, tmp_path / f"{name}.svg")
        ElementTree.fromstring((tmp_path / f"{name}.svg").read_text())


def test_pictures_are_for_light_and_dark() -> None:
    assert {file.stem for file in IMAGES.glob("*.svg")} == PICTURES.keys()
    for file in IMAGES.glob("*.svg"):
        drawn = file.read_text().partition("</style>")[2]
        assert "prefers-color-scheme: dark" in file.read_text()
        assert f"var(--c{next(iter(DARK))[1:]})" in drawn
        assert set(re.findall(r"(?:fill|stroke): (#\w+)", drawn)) == set(), "a colour of one scheme only"
