"""Where `steca serve` offers the pages of the store, and what the pages of runs link to."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from cli.serve import pages_of
from flows.artifacts.follows import PAGES, look_at_it
from flows.artifacts.page import RunSource


def test_they_are_served_beside_the_prefect_ui(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PAGES, raising=False)
    with pages_of(tmp_path, pool="") as address:
        assert httpx.get(address, verify=False).status_code == 200


def test_a_worker_of_a_pool_offers_none_because_its_runs_are_looked_at_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PAGES, raising=False)
    with pages_of(tmp_path, pool="steca") as address:
        assert address == ""


@pytest.mark.parametrize("pool", ["", "steca"])
def test_pages_that_others_serve_are_linked_to(
    pool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PAGES, "http://factory:4300")
    with pages_of(tmp_path, pool) as address:
        assert address == "http://factory:4300/"
    assert "(http://factory:4300/#/run/x)" in look_at_it(RunSource(tmp_path, "x"))


def test_without_an_address_the_commands_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PAGES, "")
    assert "steca view --data-dir" in look_at_it(RunSource(tmp_path, "x"))
