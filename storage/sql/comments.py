"""Comments of columns: of tables as the records word them, of views where they mean what another column means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import duckdb

from storage.records import RECORDS
from storage.sql.store_names import column_comment, store_columns

SHARED = {
    "run_id": "Id of the run: its name and a digest of its settings",
    "round": "Round of the run; 0 for the stages before the rounds",
    "provenance": "Which batches produced the row: run_provenance leads to its runs",
}
"""Said of these columns in every view that does not say something else."""
ALIKE: dict[str, tuple[str, ...]] = {
    "run_provenance": (),
    "stage_provenance": (),
    "run_settings": (),
    **{f"run_{record.table}": (record.table,) for record in RECORDS},
    "policies": ("checkpoints",),
    "scored_evaluations": ("evaluations", "trajectories"),
    "distinct_rollouts": ("rollouts",),
    "step_rewards": ("scored_turns",),
    "run_step_rewards": ("step_rewards",),
    "step_values": ("step_rewards",),
    "scored_steps": ("run_step_rewards", "steps", "tasks"),
    "step_reward_gaps": ("deviations",),
    "deviated_turns": ("step_reward_gaps",),
    "compared_turns": ("deviations",),
    "repaired_turns": ("repair_choices", "deviations", "calibrations"),
    "judged_turns": ("judgements", "deviations"),
    "judge_agreement": ("judgements",),
    "judge_agreement_by_gap": ("judgements",),
    "success": ("evaluations",),
    "success_by_task_type": ("evaluations", "success"),
    "paired_evaluations": ("evaluations",),
    "success_change": ("evaluations",),
    "success_change_by_task_type": ("success_change", "evaluations"),
    "recovery_after_invalid": ("evaluations", "success"),
    "gigpo_advantages": ("trajectories", "steps"),
    "calibration_outcomes": ("calibrations",),
    "llm_costs": ("llm_calls",),
    "calibration_costs": ("calibration_outcomes", "llm_costs"),
    "stage_costs": ("run_stages",),
    "comparison_episodes": ("comparisons", "evaluations"),
    "comparison_pairs": ("comparison_episodes",),
    "comparison_success": ("comparison_episodes", "success"),
    "comparison_training_sets": ("comparisons", "training_examples"),
    "comparison_costs": ("comparisons", "stage_costs"),
    "runs": ("run_configs",),
    "run_summary": ("run_configs",),
}
"""By view, where its columns without a comment take theirs from: the first table or view that has a column so named.
In an order in which each view comes after those that it takes from."""


def record_comments_sql() -> str:
    """What the records say of their fields, said of the columns of the tables: in the words of the code, which may
    have changed since a migration made the column."""
    return "\n".join(
        f"COMMENT ON COLUMN {record.table}.{column} IS {_quoted(comment)};"
        for record in RECORDS
        for field, column in store_columns(record).items()
        if (comment := column_comment(record, field))
    )


def complete_comments(connection: duckdb.DuckDBPyConnection) -> None:
    """Give view columns that have no comment the one of the same column elsewhere."""
    known = _comments(connection)
    statements = []
    for view, alike in ALIKE.items():
        sources: list[Mapping[str, str | None]] = [*(known[source] for source in alike), SHARED]
        for column, comment in known[view].items():
            if comment is None and (found := _first(column, sources)):
                known[view][column] = found
                statements.append(f"COMMENT ON COLUMN {view}.{column} IS {_quoted(found)};")
    connection.execute("\n".join(statements))


def _comments(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str | None]]:
    rows = connection.execute(
        "SELECT table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal ORDER BY column_index"
    ).fetchall()
    found: dict[str, dict[str, str | None]] = {}
    for table, column, comment in rows:
        found.setdefault(table, {})[column] = comment
    return found


def _first(column: str, sources: Iterable[Mapping[str, str | None]]) -> str | None:
    return next((comment for source in sources if (comment := source.get(column))), None)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
