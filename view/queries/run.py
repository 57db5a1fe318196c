"""The page of a run: what it made, how good its policies are, what it cost."""

from __future__ import annotations

from view.published import Published, Row
from view.queries.runs import check_known

POINTS = 400
"""A training curve of more steps is drawn by the means of so many parts."""
RUN = "SELECT * FROM runs WHERE run_id = $run"
QUERIES = {
    "settings": "SELECT setting, value FROM run_settings WHERE run_id = $run ORDER BY setting",
    "summary": "SELECT * EXCLUDE (run_id, name, created_at) FROM run_summary WHERE run_id = $run",
    "stages": "SELECT * EXCLUDE (run_id) FROM stage_costs WHERE run_id = $run",
    "success": """
        SELECT * EXCLUDE (run_id) FROM success WHERE run_id = $run AND (role = 'trained' OR round = 1)
        ORDER BY split, start_place(start), role DESC, round""",
    "by_type": """
        SELECT round, role, split, start, task_type, n, successes, rate, low, high FROM success_by_task_type
        WHERE run_id = $run AND start = 'beginning' AND (role = 'trained' OR round = 1)
        ORDER BY split, task_type, role DESC, round""",
    "change": "SELECT * EXCLUDE (run_id) FROM success_change WHERE run_id = $run",
    "verdicts": """
        SELECT round, verdict, rule, count(*) AS n, count_if(selected) AS selected,
            avg(reference_n + explored_n) AS rollouts
        FROM run_deviations WHERE run_id = $run GROUP BY ALL ORDER BY round, verdict, n DESC""",
    "gaps": """
        SELECT round(gap / 0.05) * 0.05 AS gap, verdict, count(*) AS n FROM run_deviations
        WHERE run_id = $run AND gap IS NOT NULL GROUP BY ALL ORDER BY ALL""",
    "repairs": """
        SELECT round, plan, kept, rejection, count(*) AS n FROM run_calibrations
        WHERE run_id = $run GROUP BY ALL ORDER BY round, kept DESC, n DESC""",
    "examples": """
        SELECT round, dataset, count(*) AS n, min(weight) AS least, avg(weight) AS mean, max(weight) AS most
        FROM run_training_examples WHERE run_id = $run GROUP BY ALL ORDER BY ALL""",
    "pairs": """
        SELECT round, method, kind, count(*) AS n, avg(margin) AS margin FROM run_preference_pairs
        WHERE run_id = $run GROUP BY ALL ORDER BY ALL""",
    "llm_costs": "SELECT * EXCLUDE (run_id) FROM llm_costs WHERE run_id = $run ORDER BY round, purpose, model",
    "repair_costs": "SELECT * EXCLUDE (run_id) FROM calibration_costs WHERE run_id = $run",
    "arms": "SELECT comparison, arm, seed, overrides FROM comparisons WHERE run_id = $run ORDER BY ALL",
}
"""The parts of the page, in the columns of the views that they come from."""
TRAININGS = """
SELECT round, role, digest, parent, examples, steps, target_tokens, parameters, final_loss, losses, learning_rates,
    gradient_norms
FROM run_checkpoints WHERE run_id = $run ORDER BY round, role DESC
"""


def run_page(published: Published, run: str) -> Row:
    """Everything on the page of a run. Raises StorageFault where there is no such run."""
    check_known(published, run)
    found = published.rows(RUN, run=run)[0]
    parts = {name: published.rows(sql, run=run) for name, sql in QUERIES.items()}
    trainings = [_training(row) for row in published.rows(TRAININGS, run=run)]
    return {**found, **parts, "summary": parts["summary"][0], "trainings": trainings}


def _training(row: Row) -> Row:
    curves = ("losses", "learning_rates", "gradient_norms")
    return {**row, **{name: _shortened(row[name]) for name in curves}}


def _shortened(values: list[float] | None) -> list[list[float]] | None:
    """(step from 1, value) of a curve, at most POINTS of them; None where it was not stored."""
    if values is None:
        return None
    size = -(-len(values) // POINTS) or 1
    parts = [(at, values[at : at + size]) for at in range(0, len(values), size)]
    return [[at + (len(part) + 1) / 2, sum(part) / len(part)] for at, part in parts]
