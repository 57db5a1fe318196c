"""Commands with a URL as data folder: what needs a folder is refused in a line, before anything is asked of a store."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from configs.data_folder import MIRRORS
from tests.support.comparisons import comparison_file
from tests.support.tiny_factory import TINY

URL = "s3://bucket/data"


@pytest.fixture(autouse=True)
def _own_mirrors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(MIRRORS, str(tmp_path / "mirrors"))


@pytest.mark.parametrize("command", ["doctor", "gc", "serve"])
def test_what_needs_a_folder_is_refused(command: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [command, "--data-dir", URL])
    assert result.exit_code == 2
    assert f"`steca {command}` needs a data folder on this machine, and {URL} is a URL" in _words(
        result.output
    )
    assert not (tmp_path / "mirrors").exists()


def test_a_comparison_is_refused(tmp_path: Path) -> None:
    file = comparison_file(tmp_path)
    result = CliRunner().invoke(app, ["compare", str(file), "--set", f"data_dir={URL}"])
    assert result.exit_code == 2
    assert "`steca compare` needs a data folder on this machine" in _words(result.output)


def test_a_store_that_offers_no_conditions_is_refused() -> None:
    result = CliRunner().invoke(app, ["run", "--config", str(TINY), "--set", "data_dir=gs://bucket/data"])
    assert result.exit_code == 1
    assert "gs offers no conditional writes here" in _words(result.output)


def test_a_url_with_a_password_is_refused_without_showing_it() -> None:
    result = CliRunner().invoke(app, ["sql", "FROM runs", "--data-dir", "s3://id:secret@bucket/data"])
    assert result.exit_code == 2
    assert "credentials come from the environment" in _words(result.output)
    assert "secret@" not in result.output


def _words(output: str) -> str:
    return " ".join(output.replace("│", " ").split())
