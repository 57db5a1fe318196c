"""What the README and the pages in docs/ tell a reader is what there is."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from pydantic import BaseModel
from typer.testing import CliRunner

from cli.main import app
from configs.comparison import load_comparison
from configs.load import check, load_config
from configs.schema import FactoryConfig
from flows.runs.run import run_id
from storage.faults import StorageFault
from storage.sql.store_names import VALUES
from storage.store import Store
from tests.support.kept_open import finished
from tests.support.pages import (
    PAGES,
    ROOT,
    blocks,
    broken_links,
    commands,
    identifiers,
    missing_paths,
    missing_symbols,
    modules,
    name_of,
    named_commands,
    paths,
    queries,
    settings,
    shown_answers,
    targets,
    unknown_identifiers,
)

__all__ = ["finished"]  # the fixture
README = (ROOT / "README.md").read_text()
TEXTS = {name_of(page): page.read_text() for page in PAGES}
ALL = "\n".join(TEXTS.values())
QUERIES = [
    pytest.param(query, id=f"{name}-{number}")
    for name, text in TEXTS.items()
    for number, query in enumerate(queries(text))
]
COMMANDS = [
    pytest.param(words, id=f"{name}-{number}-{words[0]}")
    for name, text in TEXTS.items()
    for number, words in enumerate(commands(text))
]
STECA: Any = typer.main.get_command(app)
"""The group of commands, as the installed typer's own click makes it."""
each_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_runs_on_a_finished_store(finished: FactoryConfig, query: str) -> None:
    """Placeholders are replaced by ids of the store: of an unknown one the macros say that it is none."""
    store = Store(finished.data_dir)
    ((example,),) = store.query("SELECT min(example_id) FROM training_examples")[1]
    for placeholder, identity in (("'RUN'", run_id(finished)), ("'EXAMPLE_ID'", example)):
        query = query.replace(placeholder, f"'{identity}'")
    columns, _ = store.query(query)
    assert columns


@pytest.mark.parametrize(("query", "columns"), shown_answers(README))
def test_an_answer_is_shown_with_the_columns_that_it_has(
    finished: FactoryConfig, query: str, columns: list[str]
) -> None:
    assert Store(finished.data_dir).query(query)[0] == columns


def test_a_query_may_be_pasted_with_its_comment(finished: FactoryConfig) -> None:
    data = ["--data-dir", str(finished.data_dir)]
    query = next(query for query in queries(TEXTS["docs/store.md"]) if query.startswith("--"))
    answer = CliRunner().invoke(app, ["sql", *data, query, "--format", "csv"])
    assert answer.exit_code == 0, answer.output
    assert CliRunner().invoke(app, ["sql", *data, "SELECT 1", "--fromat", "csv"]).exit_code != 0


def test_a_query_about_a_column_that_is_not_there_would_be_noticed(finished: FactoryConfig) -> None:
    assert queries(README)
    assert shown_answers(README)
    assert len(QUERIES) >= 15
    with pytest.raises(StorageFault):
        Store(finished.data_dir).query(queries(README)[0].replace("split", "spilt"))


def test_every_name_in_the_page_about_the_store_is_in_the_store(finished: FactoryConfig) -> None:
    known = {
        name
        for rows in (
            Store(finished.data_dir).query(f"SELECT {column} FROM {catalog}")[1]
            for column, catalog in (
                ("table_name", "duckdb_tables()"),
                ("view_name", "duckdb_views()"),
                ("column_name", "duckdb_columns()"),
                ("function_name", "duckdb_functions()"),
            )
        )
        for (name,) in rows
    }
    prose = re.sub(r"^```.*?^```", "", TEXTS["docs/store.md"], flags=re.S | re.M)
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)[`(]", prose))
    assert len(named) >= 10
    assert named <= known | set(VALUES["evaluations"]["start"].values())


def test_every_command_and_target_exists() -> None:
    assert named_commands(ALL) <= set(STECA.commands)
    assert {"run", "sql", "what-if", "trace", "doctor"} <= named_commands(ALL)
    made = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert {"run", "test"} <= targets(README) <= made
    assert targets(ALL) <= made
    found = [ROOT / module.replace(".", "/") for module in modules(ALL)]
    assert all(path.with_suffix(".py").exists() or (path / "__main__.py").exists() for path in found)
    assert CliRunner().invoke(app, ["--help"]).exit_code == 0


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_that_is_shown_can_be_typed(words: list[str]) -> None:
    name, *rest = words
    STECA.commands[name].make_context(name, rest)  # raises where an option or a value is refused
    if "--config" in rest and name == "run" and rest[rest.index("--config") + 1] != "parcel.yaml":
        changes = [rest[at + 1] for at, word in enumerate(rest) if word == "--set"]
        load_config(rest[rest.index("--config") + 1], changes)


def test_the_tutorial_shows_the_world_that_is_written() -> None:
    [shown] = blocks(TEXTS["docs/own-world.md"], "python")
    assert shown == (ROOT / "environments" / "template" / "world.py").read_text()


def test_an_option_that_is_not_there_would_be_noticed() -> None:
    assert len(COMMANDS) >= 15
    with pytest.raises(Exception, match="No such option"):
        STECA.commands["what-if"].make_context("what-if", ["--run", "RUN", "--threshold", "0.1"])


def test_all_commands_are_on_the_page_about_running() -> None:
    assert {words[0] for words in commands(TEXTS["docs/running.md"])} == set(STECA.commands)


def is_setting(name: str) -> bool:
    """Whether the configuration has a field of this dotted name."""
    here: object = FactoryConfig()
    for part in name.split("."):
        if not isinstance(here, BaseModel) or part not in type(here).model_fields:
            return False
        here = getattr(here, part)
    return True


@each_page
def test_every_setting_exists(page: Path) -> None:
    named = settings(page.read_text(), set(FactoryConfig.model_fields))
    assert [name for name in sorted(named) if not is_setting(name)] == []


def test_a_setting_that_does_not_exist_would_be_noticed() -> None:
    sections = set(FactoryConfig.model_fields)
    assert settings("`rewards.worth=70`, `rewards.wroth` and `storage.py`", sections) == {
        "rewards.worth",
        "rewards.wroth",
    }
    assert is_setting("execution.server.in_flight")
    assert not is_setting("rewards.wroth")
    assert len(settings(ALL, sections)) >= 20


def test_every_section_is_on_the_page_about_the_configuration() -> None:
    table = TEXTS["docs/configuration.md"].split("## Sections")[1].split("##")[0]
    assert set(FactoryConfig.model_fields) <= set(re.findall(r"`(\w+)`", table))


@pytest.mark.parametrize("block", [block for text in TEXTS.values() for block in blocks(text, "yaml")])
def test_every_piece_of_configuration_that_is_shown_is_accepted(block: str, tmp_path: Path) -> None:
    settings = yaml.safe_load(block)
    if "arms" not in settings:
        check(settings, "the page")
        return
    settings["config"] = str(ROOT / "configs" / "compare" / settings["config"])
    (tmp_path / "shown.yaml").write_text(yaml.safe_dump(settings))
    load_comparison(tmp_path / "shown.yaml")


@each_page
def test_every_file_and_name_in_it_exists(page: Path) -> None:
    assert missing_paths(page.read_text()) == []
    assert missing_symbols(page.read_text()) == []
    assert unknown_identifiers(page.read_text()) == []


@each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    assert broken_links(page, page.read_text()) == []


def test_a_file_a_name_or_a_link_that_is_not_there_would_be_noticed() -> None:
    assert len(paths(ALL)) >= 40
    assert missing_paths("`steca/rewards.py` and `steca/reward.py`") == ["steca/reward.py"]
    text = "`decide` and `decode` in `steca/deviation.py`, `Nothing` in `steca/nowhere.py`"
    assert missing_symbols(text) == ["decode in steca/deviation.py", "Nothing in steca/nowhere.py"]
    assert missing_symbols("`decode` (`steca/deviation.py`)") == ["decode in steca/deviation.py"]
    text = "`_load_builtin` there, `make_world`, `BUILT_OUT`, `make_worlds(name)`, `YourWorld`, `word`"
    assert unknown_identifiers(text) == ["BUILT_OUT", "_load_builtin", "make_worlds"]
    assert len(identifiers(ALL)) >= 60
    link = "[a](docs/queries.md#more-queries) [b](docs/store.md#nowhere) [c](docs/nowhere.md) [d](https://example.org)"
    assert broken_links(ROOT / "README.md", link) == ["docs/store.md#nowhere", "docs/nowhere.md"]


@each_page
def test_every_page_can_be_found(page: Path) -> None:
    index = TEXTS["docs/README.md"]
    assert page.name in README or page == ROOT / "README.md" or page.parent == ROOT / "docs"
    assert page.name == "README.md" or f"{page.name})" in index


def test_the_readme_is_one_page_with_a_picture_for_light_and_dark() -> None:
    assert len(README.splitlines()) <= 130
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+\.svg)\)", README)
    assert pictures
    for picture in pictures:
        text = (ROOT / picture).read_text()
        ElementTree.fromstring(text)
        assert "prefers-color-scheme: dark" in text


@pytest.mark.parametrize("file", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_configuration_that_is_shipped_is_valid(file: Path) -> None:
    assert f"configs/{file.name}" in TEXTS["docs/configuration.md"]
    load_config(file, [])
