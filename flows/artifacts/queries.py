"""Queries to paste: each with the run's id in it, and an answer for this run."""

from __future__ import annotations

import shlex

from flows.artifacts.markdown import block, code, joined
from flows.artifacts.page import RunSource
from flows.wording import in_folder

CHOICE = (
    (
        "Success by kind of task",
        "SELECT split, task_type, role, n, rate, low, high\nFROM success_by_task_type\n"
        "WHERE run_id = '{run}' AND start = 'beginning'\nORDER BY split, task_type, role DESC, round",
    ),
    (
        "The comparisons with the largest drops",
        "SELECT task_id, step_index, expert_action, explored_action,\n"
        "    gap, gap_low, gap_high, verdict, rule\n"
        "FROM step_reward_gaps\nWHERE run_id = '{run}' AND gap IS NOT NULL\nORDER BY gap LIMIT 20",
    ),
    (
        "Repaired turns, kept or rejected",
        "SELECT task_id, step_index, explored_action, expert_action, kept, rejection\n"
        "FROM repaired_turns\nWHERE run_id = '{run}'\nLIMIT 20",
    ),
    (
        "The preference pairs",
        "SELECT method, kind, count(*) AS pairs, avg(margin) AS margin\nFROM run_preference_pairs\n"
        "WHERE run_id = '{run}'\nGROUP BY ALL",
    ),
    (
        "The training set",
        "SELECT round, dataset, count(*) AS examples, min(weight), avg(weight), max(weight)\n"
        "FROM run_training_examples\nWHERE run_id = '{run}'\nGROUP BY ALL\nORDER BY ALL",
    ),
    (
        "What the trajectories came to",
        "SELECT round, kind, count(*) AS n, count_if(success) AS won, avg(n_steps) AS steps\n"
        "FROM run_trajectories\nWHERE run_id = '{run}'\nGROUP BY ALL\nORDER BY ALL",
    ),
    (
        "What each stage cost",
        "SELECT stage, round, status, seconds, episodes, tokens, usd\nFROM stage_costs\nWHERE run_id = '{run}'",
    ),
    ("The settings", "SELECT setting, value\nFROM run_settings\nWHERE run_id = '{run}'\nORDER BY setting"),
)
"""From the most telling query to those that every run answers."""
SHOWN = 3


def queries(source: RunSource) -> list[tuple[str, str]]:
    """(what it asks, SQL) of the first queries that have an answer. Raises StorageFault."""
    found: list[tuple[str, str]] = []
    for what, sql in CHOICE:
        filled = sql.format(run=source.run_id.replace("'", "''"))
        if source.store.query(f"SELECT 1 FROM ({filled}) LIMIT 1")[1]:
            found.append((what, filled))
        if len(found) == SHOWN:
            break
    return found


def ask(source: RunSource) -> str:
    """The queries, and how to ask them, as a section of a page. Raises StorageFault."""
    shell = f'steca sql{in_folder(source.folder.root)} "QUERY"\n'
    shell += (
        f"duckdb -readonly {shlex.quote(str(source.store.published))}  # if DuckDB's own program is installed"
    )
    asked = (f"{what}:\n\n{block(sql, 'sql')}" for what, sql in queries(source))
    return joined("## Ask the store", *asked, "Either of these asks it:", block(shell, "sh"), place(source))


def place(source: RunSource) -> str:
    """Which run this is, and where its rows are."""
    return f"Run {code(source.run_id)}, store {code(str(source.store.published))}."
