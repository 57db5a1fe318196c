"""The views `run_<table>`: the rows of each table that belong to runs, with the run and the round in front."""

from __future__ import annotations

from storage.records import Record
from storage.sql.store_names import store_columns

IN_FRONT = ("run_id", "round")


def run_view_sql(record: type[Record]) -> str:
    """The view `run_<table>` of a record's table. Needs the view run_provenance."""
    columns = [column for column in store_columns(record).values() if column not in IN_FRONT]
    own = ", ".join(f"t.{column}" for column in columns)
    return f"""
        CREATE OR REPLACE VIEW run_{record.table} AS
        SELECT p.run_id, p.round, {own}, t.provenance
        FROM run_provenance p JOIN {record.table} t USING (provenance);
        COMMENT ON VIEW run_{record.table} IS
            'The rows of {record.table} that belong to each run; a row that several rounds hold is there once for each';
    """
