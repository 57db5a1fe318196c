"""The pages of docs/reference/ say what the code has: every setting, command, table and view."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from cli.main import app
from configs.form_fields import FIELDS
from configs.forms import field_schema
from configs.schema import FactoryConfig
from docs.tools import setting_reference
from docs.tools.command_reference import all_commands
from docs.tools.reference import FOLDER, PAGES, written
from docs.tools.setting_reference import all_settings, allowed
from docs.tools.store_reference import helped
from flows.factory import factory
from tests.support.pages import ROOT, blocks, broken_links

TEXT = {file: (FOLDER / file).read_text() for file in PAGES}
GUIDE = "".join((ROOT / "docs" / name).read_text() for name in ("store.md", "queries.md"))
HAS_NO_OWN = {"run_id", "round"}


@pytest.mark.parametrize("file", PAGES)
def test_a_page_is_what_the_code_says(file: str) -> None:
    assert written()[file] == TEXT[file], "run `make reference`"


@pytest.mark.parametrize("file", PAGES)
def test_the_links_of_a_page_lead_somewhere(file: str) -> None:
    assert broken_links(FOLDER / file, TEXT[file]) == []
    assert broken_links(FOLDER / file, "[a](../nowhere.md)") == ["../nowhere.md"]


def test_a_changed_meaning_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    deviation = setting_reference.SCHEMA["$defs"]["DeviationConfig"]["properties"]["delta"]
    monkeypatch.setitem(deviation, "description", "Something else.")
    assert written()["settings.md"] != TEXT["settings.md"]


def leaves(section: type[BaseModel], before: str = "") -> dict[str, Any]:
    """The settings of a section by their dotted names, found without the JSON schema that the page is made of."""
    found: dict[str, Any] = {}
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= leaves(kind, f"{before}{name}.")
        else:
            found[f"{before}{name}"] = field
    return found


def test_every_setting_is_there_with_its_meaning() -> None:
    shown = dict(re.findall(r"^\| `([a-z_.A-Z]+)` \| .* \| .* \| (.*) \|$", TEXT["settings.md"], re.M))
    settings = leaves(FactoryConfig)
    assert len(settings) > 100
    assert settings.keys() <= shown.keys()
    assert {"training.lora.rank", "budget.prices.NAME.input"} <= shown.keys()
    assert [name for name, meaning in shown.items() if not meaning.strip()] == []


@pytest.mark.parametrize("field", FIELDS)
def test_the_form_says_of_a_setting_what_the_page_says(field: str) -> None:
    """The form in the Prefect UI: `field_schema` is what the parameters of the flows are made of."""
    [row] = [line for line in TEXT["settings.md"].splitlines() if line.startswith(f"| `{FIELDS[field]}` |")]
    form = field_schema(field)
    assert row.endswith(f"*Form:* `{field}`. |")
    assert allowed(form) == allowed(all_settings()[FIELDS[field]])
    assert f"| {allowed(form)} |" in row
    assert form["description"].split(":")[0] in row
    assert field == "seed" or factory.parameters.properties[field]["description"] == form["description"]


def test_every_command_and_option_of_the_help_is_there() -> None:
    parts = dict(re.findall(r"^## `steca ([a-z -]+)`$(.*?)(?=^## |\Z)", TEXT["commands.md"], re.M | re.S))
    assert list(parts) == [name for name, _ in all_commands()]
    for name, part in parts.items():
        said = (
            CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": "300", "TERM": "dumb"}).output
        )
        options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", said)) - {"--help"}
        assert options <= set(re.findall(r"--[a-z][a-z-]+", part)), name
        assert blocks(part, "text")[0].startswith(f"steca {name}")


def test_every_view_and_column_of_the_help_is_there() -> None:
    parts = dict(re.findall(r"^### `(\w+)`$(.*?)(?=^#+ |\Z)", TEXT["store.md"], re.M | re.S))
    for name, kind, column, _, _ in helped():
        table = name.removeprefix("run_") if name not in parts else name
        if kind.endswith("macro") or column is None:
            assert f"`{name}`" in TEXT["store.md"]
        elif not (table != name and column in HAS_NO_OWN):
            assert f"| `{column}` |" in parts[table], f"{name}.{column}"


def test_every_view_is_explained_in_the_guide() -> None:
    """Those that hold one table's rows by run are explained together."""
    views = {
        name for name, kind, column, _, _ in helped() if kind in ("view", "table macro") and column is None
    }
    named = set(re.findall(r"\w+", GUIDE))
    assert {"success", "what_if"} <= {name.partition("(")[0] for name in views}
    assert (
        sorted(name for name in views if not name.startswith("run_") and name.partition("(")[0] not in named)
        == []
    )
