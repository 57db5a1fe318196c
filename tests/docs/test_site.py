"""The site of docs/: its pages in order, its links, and that a dead one ends the build. The slow ones: `make docs`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.tools.site import AT_ROOT, as_in_site, build, contents, prepare, title
from tests.support.pages import ROOT

INDEX = (ROOT / "docs" / "README.md").read_text()
FROM_ELSEWHERE = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*(?:src|href)=["']?(?:https?:)?//""")


def test_the_site_has_every_page_once() -> None:
    listed = [page for part in contents(INDEX) for pages in part.values() for page in [pages, *pages]]
    pages = [page for page in listed if isinstance(page, str) and page.endswith(".md")]
    there = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert len(pages) == len(set(pages))
    assert set(pages) == there | {"explore.md", *AT_ROOT.values()} - {"overview.md"}


def test_a_new_page_takes_its_place_by_a_line_in_the_index() -> None:
    more = INDEX.replace("| [queries.md]", "| [new.md](new.md) | Something new |\n| [queries.md]")
    [data] = [part["Data"] for part in contents(more) if "Data" in part]
    assert data[:3] == ["store.md", "new.md", "queries.md"]


@pytest.mark.parametrize(
    ("text", "folder", "shown"),
    [
        ("[the store](store.md#pitfalls)", "", "[the store](store.md#pitfalls)"),
        ("[store.md](store.md#pitfalls)", "", "[The store](store.md#pitfalls)"),
        ("[store.md](../store.md)", "", "[The store](../store.md)"),
        ("[explore.ipynb](explore.ipynb)", "", "[Explore a run](explore.md)"),
        ("[README](../README.md)", "", "[README](overview.md)"),
        ("[docs](README.md)", "", "[docs](README.md)"),
        ("[docs/store.md](docs/store.md)", "docs/", "[The store](store.md)"),
        ("![a picture](docs/images/chain.svg)", "docs/", "![a picture](images/chain.svg)"),
        ("[rules](CONTRIBUTING.md)", "docs/", "[rules](contributing.md)"),
        ("[Prefect](https://www.prefect.io)", "docs/", "[Prefect](https://www.prefect.io)"),
    ],
)
def test_links_lead_to_pages_of_the_site(text: str, folder: str, shown: str) -> None:
    assert as_in_site(text, folder) == shown


def test_a_page_has_its_heading_as_title() -> None:
    assert title("reference/settings.md") == "Settings"
    assert title("nowhere.md") == "nowhere.md"


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    assert build(prepare(tmp_path / "site")) == 0
    pages = list((tmp_path / "site" / "html").rglob("*.html"))
    assert len(pages) >= 20
    assert [page.name for page in pages if FROM_ELSEWHERE.search(page.read_text())] == []
    assert FROM_ELSEWHERE.search('<script src="https://example.org/a.js">')
    assert "<math" in (tmp_path / "site" / "html" / "method.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("link", ["[dead](nowhere.md)", "[dead](store.md#nowhere)"])
def test_a_dead_link_ends_the_build(link: str, tmp_path: Path) -> None:
    config = prepare(tmp_path / "site")
    page = tmp_path / "site" / "pages" / "speed.md"
    page.write_text(f"{page.read_text()}\n{link}\n")
    assert build(config) != 0
