"""What the README tells a user to type is what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from configs.load import load_config
from configs.schema import FactoryConfig
from storage.faults import StorageFault
from storage.store import Store

README = Path("README.md").read_text()
QUERIES = [
    query.strip()
    for block in re.findall(r"```sql\n(.*?)```", README, re.S)
    for query in block.split(";")
    if query.strip()
]


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_runs_on_a_finished_store(finished: FactoryConfig, query: str) -> None:
    columns, _ = Store(finished.data_dir).query(query)
    assert columns


def test_a_query_may_be_pasted_with_its_comment(finished: FactoryConfig) -> None:
    data = ["--data-dir", str(finished.data_dir)]
    answer = CliRunner().invoke(app, ["sql", *data, QUERIES[0], "--format", "csv"])
    assert QUERIES[0].startswith("--")
    assert answer.exit_code == 0, answer.output
    assert CliRunner().invoke(app, ["sql", *data, "SELECT 1", "--fromat", "csv"]).exit_code != 0


def test_a_query_about_a_column_that_is_not_there_would_be_noticed(finished: FactoryConfig) -> None:
    assert len(QUERIES) >= 4
    with pytest.raises(StorageFault):
        Store(finished.data_dir).query(QUERIES[0].replace("split", "spilt"))


def test_every_command_and_target_exists() -> None:
    known = {
        command.name or command.callback.__name__ for command in app.registered_commands if command.callback
    }
    assert set(re.findall(r"^steca ([a-z-]+)", README, re.M)) <= known
    targets = set(re.findall(r"^([a-z-]+):", Path("Makefile").read_text(), re.M))
    assert {"run", "test"} <= set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.M)) <= targets
    assert CliRunner().invoke(app, ["--help"]).exit_code == 0


@pytest.mark.parametrize("line", re.findall(r"^steca run (--config .*)$", README, re.M))
def test_every_run_that_is_shown_has_settings_that_are_accepted(line: str) -> None:
    words = line.split("#")[0].split()
    given = dict.fromkeys(("--config", "--set"), ())
    for option, value in zip(words[::2], words[1::2], strict=True):
        given[option] = (*given[option], value)
    load_config(*given["--config"], given["--set"])


@pytest.mark.parametrize("file", sorted(Path("configs").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_configuration_that_is_shipped_is_valid(file: Path) -> None:
    assert file.name in README
    load_config(file, [])
