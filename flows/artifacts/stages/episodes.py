"""Of the stages that play episodes: demonstrate and explore."""

from __future__ import annotations

from flows.artifacts.markdown import joined, table
from flows.artifacts.page import RunSource
from flows.summary.table import Table

EXPERT = """
SELECT t.split, count(DISTINCT e.task_id), count(*), count_if(e.success), avg(e.n_steps)
FROM run_trajectories e JOIN tasks t USING (task_id)
WHERE e.run_id = $run AND e.kind = 'expert' AND e.round = 0 GROUP BY t.split ORDER BY t.split
"""
KINDS = """
SELECT t.task_type, count(*), count_if(e.success), avg(e.n_steps)
FROM run_trajectories e JOIN tasks t USING (task_id)
WHERE e.run_id = $run AND e.kind = 'expert' AND e.round = 0 GROUP BY t.task_type ORDER BY count(*) DESC, t.task_type
LIMIT 20
"""
PLAYED = """
SELECT kind, count(*), count_if(success), avg(success::INTEGER), wilson_low(count_if(success), count(*)),
    wilson_high(count_if(success), count(*)), avg(n_steps - prefix_steps), count_if(invalid_actions > 0)
FROM run_trajectories
WHERE run_id = $run AND round = $round AND kind IN ('explored', 'sampled') GROUP BY kind ORDER BY kind
"""
ENDS = """
SELECT kind, end_reason, count(*), count_if(success) FROM run_trajectories
WHERE run_id = $run AND round = $round AND kind IN ('explored', 'sampled')
GROUP BY ALL ORDER BY kind, count(*) DESC, end_reason
"""
DIFFERING = """
WITH first_turns AS (  -- the explored turn after each expert prefix, beside the expert's at the same step
    SELECT e.success, s.action <> x.action AS differs
    FROM run_trajectories e
    JOIN steps s ON s.trajectory_id = e.trajectory_id AND s.step_index = e.prefix_steps
    JOIN run_trajectories t ON t.run_id = e.run_id AND t.kind = 'expert' AND t.round = 0 AND t.task_id = e.task_id
    JOIN steps x ON x.trajectory_id = t.trajectory_id AND x.step_index = e.prefix_steps
    WHERE e.run_id = $run AND e.round = $round AND e.kind = 'explored'
)
SELECT differs, count(*), count_if(success) FROM first_turns GROUP BY differs ORDER BY differs
"""


def demonstrate(source: RunSource, round: int) -> str:
    """Tasks by split, and how the expert does on them."""
    splits = tuple(
        (split, f"{tasks:,}", f"{runs:,}", f"{won:,}", f"{steps:.1f}")
        for split, tasks, runs, won, steps in source.rows(EXPERT)
    )
    kinds = tuple(
        (kind, f"{runs:,}", f"{won:,}", f"{steps:.1f}") for kind, runs, won, steps in source.rows(KINDS)
    )
    return joined(
        table(Table("Expert runs by split", ("split",), ("tasks", "runs", "won", "mean steps"), splits)),
        table(Table("By kind of task", ("kind",), ("runs", "won", "mean steps"), kinds)),
    )


def explore(source: RunSource, round: int) -> str:
    """Episodes and their success, how they ended, and how often the policy left the expert's way."""
    played = tuple(
        (kind, f"{n:,}", f"{won:,}", f"{rate:.3f}", f"{low:.3f} - {high:.3f}", f"{turns:.1f}", f"{invalid:,}")
        for kind, n, won, rate, low, high, turns, invalid in source.rows(PLAYED, round=round)
    )
    headings = ("episodes", "won", "rate", "95 % interval", "mean turns", "with invalid actions")
    ends = tuple(
        (kind, end.replace("_", " "), f"{n:,}", f"{won:,}")
        for kind, end, n, won in source.rows(ENDS, round=round)
    )
    turns = tuple(
        ("another action than the expert" if differs else "the expert's action", f"{n:,}", f"{won:,}")
        for differs, n, won in source.rows(DIFFERING, round=round)
    )
    note = "A failed run that begins with another action is a candidate: stage rewards tells which ones deviated."
    first = Table(
        "First turn after the expert's steps", ("the policy chose",), ("runs", "won"), turns, (note,)
    )
    return joined(
        table(Table("Episodes", ("kind",), headings, played)),
        table(Table("How they ended", ("kind", "end"), ("episodes", "won"), ends)),
        table(first) if turns else "",
    )
