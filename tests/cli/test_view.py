"""`steca view --bundle` and `steca report` as a user starts them: files, and one line for what goes wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from configs.schema import FactoryConfig
from flows.runs.run import run_id
from tests.support.kept_open import finished

__all__ = ["finished"]  # the fixture


def steca(*words: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    return done.exit_code, " ".join(done.output.split())


@pytest.mark.parametrize("command", [("report", "--out"), ("view", "--bundle")])
def test_a_page_replaces_no_file_but_an_older_page(
    command: tuple[str, str], finished: FactoryConfig, tmp_path: Path
) -> None:
    name, option = command
    data, file = ("--data-dir", finished.data_dir), tmp_path / "run.html"
    for _ in range(2):
        code, said = steca(name, option, file, *data)
        assert (code, run_id(finished) in said) == (0, True)
    mine = tmp_path / "mine.html"
    mine.write_text("<html>my notes</html>")
    code, said = steca(name, option, mine, *data)
    assert code == 1
    assert "is there already, and is no page that this command wrote" in said
    assert mine.read_text() == "<html>my notes</html>"
    code, said = steca(name, option, tmp_path / "none" / "run.html", *data)
    assert (code, f"there is no folder {tmp_path / 'none'}" in said) == (1, True)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--trajectories", "5"), "--trajectories is for --bundle"),
        (("--run", "x"), "--run is for --bundle"),
        (("--bundle", "x.html", "--port", "4400"), "a file needs none"),
        (("--bundle", "x.html", "--host", "h"), "a file needs none"),
    ],
)
def test_options_without_a_meaning_are_refused(words: tuple[str, ...], why: str, tmp_path: Path) -> None:
    code, said = steca("view", *words, "--data-dir", tmp_path)
    assert code == 2
    assert why in said


def test_a_folder_that_is_not_there_has_no_pages(tmp_path: Path) -> None:
    code, said = steca("view", "--data-dir", tmp_path / "none")
    assert code == 1
    assert "no runs in" in said
