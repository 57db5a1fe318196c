"""Rows of shards that older versions wrote, as this one keeps them. Migrations do the same to rows in the store."""

from __future__ import annotations

import duckdb

from storage.records import CalibrationRecord, CheckpointRecord, Record
from storage.sql.store_names import replace_values

FORMER = {
    "step_rewards": (
        "scored_turns",
        "step_reward_id, trajectory_id, step_index, task_id, side, checkpoint, "
        "CASE WHEN terminal THEN reward END AS outcome, CASE WHEN terminal THEN progress END AS progress",
    )
}
"""Tables that are no more: the table that their rows are in now, and how (migration 0003)."""
MADE_HERE = ("training_id",)
"""Columns that shards may lack although they are never NULL: they are made of the row."""


def present_table(table: str) -> str:
    """Where the rows of a shard's table are kept."""
    return FORMER[table][0] if table in FORMER else table


def complete(connection: duckdb.DuckDBPyConnection, record: type[Record]) -> None:
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
    names = [name for name in CheckpointRecord.model_fields if name not in MADE_HERE]
    rows = connection.execute(
        f"SELECT rowid, {', '.join(names)} FROM incoming WHERE training_id IS NULL"
    ).fetchall()
    for place, *values in rows:  # one a training: few
        row = CheckpointRecord.model_validate(dict(zip(names, values, strict=True)))
        connection.execute("UPDATE incoming SET training_id = ? WHERE rowid = ?", [row.training_id, place])
