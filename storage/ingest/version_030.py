"""Bring rows of shards that version 0.3.0 or earlier wrote up to date, as migrations do with rows in the store."""

from __future__ import annotations

import duckdb

from storage.records import CalibrationRecord, CheckpointRecord, Record
from storage.sql.store_names import replace_values

RETIRED_TABLES = {
    "step_rewards": (
        "scored_turns",
        "step_reward_id, trajectory_id, step_index, task_id, side, checkpoint, "
        "CASE WHEN terminal THEN reward END AS outcome, CASE WHEN terminal THEN progress END AS progress",
    )
}
"""Tables that were replaced: the table that holds their rows now, and the columns to select for it (migration 0003)."""
DERIVED_COLUMNS = ("training_id",)
"""Columns that are never NULL but may be missing in shards: they are computed from the row."""


def current_table(table: str) -> str:
    """The table of the store that holds the rows of a shard's table."""
    return RETIRED_TABLES[table][0] if table in RETIRED_TABLES else table


def upgrade_rows(connection: duckdb.DuckDBPyConnection, record: type[Record]) -> None:
    """Bring the rows of one kind in the temporary table `incoming` up to date (migrations 0006 and 0008)."""
    replace_values(connection, record)
    if record is CheckpointRecord:
        _identify_trainings(connection)
    if record is CalibrationRecord:
        connection.execute(
            """UPDATE incoming SET rejection = split_part(rejection, ': ', 1),
                   rejection_detail = substr(rejection, strpos(rejection, ': ') + 2)
               WHERE rejection_detail IS NULL AND contains(rejection, ': ')"""
        )


def _identify_trainings(connection: duckdb.DuckDBPyConnection) -> None:
    names = [name for name in CheckpointRecord.model_fields if name not in DERIVED_COLUMNS]
    rows = connection.execute(
        f"SELECT rowid, {', '.join(names)} FROM incoming WHERE training_id IS NULL"
    ).fetchall()
    for place, *values in rows:  # one per training, so few
        row = CheckpointRecord.model_validate(dict(zip(names, values, strict=True)))
        connection.execute("UPDATE incoming SET training_id = ? WHERE rowid = ?", [row.training_id, place])
