"""The views `run_<table>`: the rows of each table that belong to runs, with the run and the round in front."""

from __future__ import annotations

from storage.records import Record
from storage.sql.store_names import store_columns

IN_FRONT = ("run_id", "round")


ABOUT = {
    "deviations": "ALL comparisons of each run, deviated or not: count with WHERE verdict = ''deviated'', or use the "
    "view deviated_turns",
}
"""By table, what is said of its view in place of the usual words. Quoted for SQL."""


def run_view_sql(record: type[Record]) -> str:
    """The view `run_<table>` of a record's table. Needs the view run_provenance."""
    columns = [column for column in store_columns(record).values() if column not in IN_FRONT]
    own = ", ".join(f"t.{column}" for column in columns)
    return f"""
        CREATE OR REPLACE VIEW run_{record.table} AS
        SELECT p.run_id, p.round, {own}, t.provenance
        FROM run_provenance p JOIN {record.table} t USING (provenance);
        COMMENT ON VIEW run_{record.table} IS
            '{_about(record)}';
    """


def _about(record: type[Record]) -> str:
    usual = f"The rows of {record.table} that belong to each run"
    return f"{ABOUT.get(record.table, usual)}; a row that several rounds hold appears once per round"
