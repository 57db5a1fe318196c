"""Errors of queries: short, and with what to do."""

from __future__ import annotations

import duckdb
import pytest

from storage.sql.query_errors import LISTED, query_error


def said(query: str) -> str:
    connection = duckdb.connect()
    connection.execute("CREATE TABLE deviations (verdict VARCHAR, success BOOLEAN, step_index BIGINT)")
    with pytest.raises(duckdb.Error) as caught:
        connection.execute(query)
    return query_error(caught.value)


def test_a_boolean_where_a_number_is_wanted_is_to_be_cast() -> None:
    words = said("SELECT avg(success) FROM deviations")
    assert words.endswith("'avg(BOOLEAN)'; cast it: success::INT")
    assert said("SELECT success + 1 FROM deviations").endswith("cast it: success::INT")
    assert "Candidate" not in said("SELECT avg(verdict) FROM deviations")


@pytest.mark.parametrize(
    "query", ["SELECT config FROM deviations", "FROM deviations d WHERE d.config IS NULL"]
)
def test_a_column_that_moved_leads_to_its_new_place(query: str) -> None:
    assert said(query).endswith("configurations are in run_configs, and each setting in run_settings")


@pytest.mark.parametrize(
    ("query", "near"),
    [
        ("FROM deviatons", "did you mean deviations?"),
        ("SELECT verdct FROM deviations", "did you mean verdict?"),
        ("SELECT d.verdct FROM deviations d", "did you mean verdict?"),
        ("FROM zzzz", None),
        ("SELECT zzz FROM deviations", None),
    ],
)
def test_an_unknown_name_leads_to_help(query: str, near: str | None) -> None:
    words = said(query)
    assert words.endswith(LISTED)
    assert near in words if near else "did you mean" not in words
    assert "Candidate" not in words


def test_other_errors_are_in_duckdbs_words() -> None:
    assert said("SELEC 1").startswith("Parser Error: syntax error")
