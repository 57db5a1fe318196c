"""Words of the shards that the store replaces by ones that a reader can guess.

Rows in shards never change: their values enter content ids, batch digests and cache keys. So a word that proved hard to
read is replaced while rows are ingested (`storage.ingest.version_030.upgrade_rows`), and a migration does the same to
rows that are in the store already. The records in `storage.records` keep the words of the shards.
"""

from __future__ import annotations

import re
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import duckdb

from steca.vocabulary import CalibrationRejection, End
from storage.records import Record

COLUMNS: dict[str, dict[str, str]] = {
    "deviations": {"expert_is_better": "expert_beats_explored", "outcome": "compared_outcome"},
    "scored_turns": {"side": "trajectory_kind"},
}
"""By table: a record's field, and the column of the store that holds it. All other columns are named as the fields."""
VALUES: dict[str, dict[str, dict[str, str]]] = {
    "evaluations": {
        "start": {
            "task": "beginning",
            "forced_deviation": "after_deviation",
            "forced_control": "before_deviation",
        }
    },
    "deviations": {"expert_is_better": {"undecided": "unknown"}},  # undecided is a verdict
}
"""By table and field: values of the shards, and what the store has in their place. Others stay as they are."""
DESCRIPTIONS: dict[str, dict[str, str]] = {
    "evaluations": {
        "start": "Where the episode starts: at the beginning of the task, after_deviation (a forced deviated turn), or "
        "before_deviation (the same point without the deviated turn: the control)"
    },
    "scored_turns": {"side": "Whose turn it is: expert or explored, as the kind of its trajectory"},
    "deviations": {
        "expert_is_better": "Whether the expert's turn at the same step is better than the explored one, for D_s: yes, "
        "no, or unknown where the rollouts tell neither; NULL where nothing was compared"
    },
}
"""Comments of such columns where the field's description speaks of the shards' words."""


LISTED: dict[str, dict[str, Any]] = {
    "trajectories": {"end_reason": End},
    "rollouts": {"end_reason": End},
    "calibrations": {"rejection": CalibrationRejection},
}
"""Fields that are plain texts, as old shards may hold others, and the values that today's code writes."""


def store_columns(record: type[Record]) -> dict[str, str]:
    """The column of the store for each field of a record, in the order of the fields."""
    renamed = COLUMNS.get(record.table, {})
    return {name: renamed.get(name, name) for name in record.model_fields}


def column_comment(record: type[Record], field: str) -> str | None:
    """What the store says of a field's column, with the values of a Literal; None where the record says nothing."""
    text = DESCRIPTIONS.get(record.table, {}).get(field) or record.model_fields[field].description
    words = LISTED.get(record.table, {}).get(field, record.model_fields[field].annotation)
    replaced = VALUES.get(record.table, {}).get(field, {})
    if not (values := [replaced.get(value, value) for value in _literals(words)]):
        return text
    return f"{text + '; ' if text else ''}one of: {', '.join(values)}"


def _literals(annotation: Any) -> list[str]:
    """The values of a Literal, or of one that may be None; none for any other type."""
    if get_origin(annotation) in (Union, UnionType):
        return [value for part in get_args(annotation) for value in _literals(part)]
    return [str(value) for value in get_args(annotation)] if get_origin(annotation) is Literal else []


def replace_values(connection: duckdb.DuckDBPyConnection, record: type[Record]) -> None:
    """Give the rows in the temporary table `incoming` the store's values."""
    for field, values in VALUES.get(record.table, {}).items():
        for old, new in values.items():
            connection.execute(f"UPDATE incoming SET {field} = ? WHERE {field} = ?", [new, old])


_OLD_START = re.compile(r"'(task|forced[\w%]*)'", re.IGNORECASE)
_START = re.compile(r"\bstart\b", re.IGNORECASE)


def renamed_in(query: str) -> str | None:
    """What a query asks for by a name of version 0.3 that no longer answers, and its name now; None where it does not.
    All other old names answer until 0.5 (old_names.sql)."""
    if _START.search(query) and _OLD_START.search(query):
        return "since version 0.4 `start` is " + ", ".join(
            f"{new} (was {old})" for old, new in VALUES["evaluations"]["start"].items()
        )
    return None
