"""Trajectories as they were played, and beside each what is known of its turns: values, verdicts, repairs, examples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from storage.faults import StorageFault
from view.published import Published, Row

TRAJECTORY = """
WITH rounds AS (
    SELECT trajectory_id, list(DISTINCT round ORDER BY round) AS rounds FROM run_trajectories
    WHERE run_id = $run AND list_contains($ids, trajectory_id) GROUP BY ALL
)
SELECT DISTINCT ON (trajectory_id) t.* EXCLUDE (provenance), r.rounds, k.world, k.split, k.task_type, k.instruction
FROM trajectories t JOIN rounds r USING (trajectory_id) JOIN tasks k USING (task_id)
"""
STEPS = """
SELECT trajectory_id AS of, step_index, any_value(origin) AS origin, any_value(text) AS text,
    any_value(thought) AS thought, any_value(action) AS action, any_value(observation) AS observation,
    any_value(valid) AS valid, any_value(tokens) AS tokens, any_value(thinking) AS thinking
FROM steps WHERE list_contains($ids, trajectory_id) GROUP BY ALL ORDER BY of, step_index
"""
VALUES = """
WITH turns AS (
    SELECT trajectory_id, step_index, step_reward_id, checkpoint, outcome, min(round) AS round FROM run_scored_turns
    WHERE run_id = $run AND list_contains($ids, trajectory_id) GROUP BY ALL
), evidence AS (
    SELECT step_reward_id, count(*) AS n, count_if(outcome >= 1) AS successes, sum(outcome) AS total,
        sum(tokens)::BIGINT AS tokens
    FROM distinct_rollouts SEMI JOIN turns USING (step_reward_id) GROUP BY ALL
)
SELECT trajectory_id AS of, step_index, round, step_reward_id, checkpoint, coalesce(n, 0) AS n,
    coalesce(successes, 0) AS successes, coalesce(outcome, total / n) AS reward,
    coalesce(outcome, wilson_low(total, n)) AS low, coalesce(outcome, wilson_high(total, n)) AS high,
    outcome IS NOT NULL AS terminal, tokens
FROM turns LEFT JOIN evidence USING (step_reward_id) ORDER BY of, step_index, round, step_reward_id
"""
COMPARISONS = """
WITH repairs AS (
    SELECT deviation_id, round, list({'calibration_id': calibration_id, 'trajectory_id': trajectory_id,
        'reflector': reflector, 'reflection': reflection, 'required_action': required_action, 'plan': plan,
        'kept': kept, 'rejection': rejection, 'rejection_detail': rejection_detail, 'attempts': attempts}) AS repairs
    FROM run_calibrations WHERE run_id = $run GROUP BY ALL
), compared AS (
    FROM run_deviations WHERE run_id = $run
), named AS (
    SELECT expert_trajectory_id AS of, deviation_id, round FROM compared
    UNION SELECT explored_trajectory_id, deviation_id, round FROM compared
    UNION SELECT trajectory_id, deviation_id, round FROM run_calibrations WHERE run_id = $run
)
SELECT n.of, d.* EXCLUDE (provenance, run_id), coalesce(r.repairs, []) AS repairs
FROM named n JOIN compared d USING (deviation_id, round) LEFT JOIN repairs r USING (deviation_id, round)
WHERE list_contains($ids, n.of) ORDER BY n.of, d.round, d.step_index, d.deviation_id
"""
EXAMPLES = """
SELECT trajectory_id AS of, round, example_id, dataset, target_from, weight, distance, contrast_trajectory_id,
    calibration_id, deviation_id
FROM run_training_examples WHERE run_id = $run AND list_contains($ids, trajectory_id)
ORDER BY of, round, dataset, example_id
"""
PAIRS = """
WITH sides AS (
    SELECT unnest([chosen_trajectory_id, rejected_trajectory_id]) AS of, round, pair_id, method, kind, margin,
        deviation_id, chosen_trajectory_id, chosen_from, chosen_to, rejected_trajectory_id, rejected_from, rejected_to
    FROM run_preference_pairs WHERE run_id = $run
)
FROM sides WHERE list_contains($ids, of) ORDER BY of, round, pair_id
"""
JUDGEMENTS = """
SELECT trajectory_id AS of, step_index, model, label, reason FROM run_judgements
WHERE run_id = $run AND list_contains($ids, trajectory_id) ORDER BY of, step_index, model
"""
TESTED = """
SELECT trajectory_id AS of, round, role, split, start, checkpoint FROM run_evaluations
WHERE run_id = $run AND list_contains($ids, trajectory_id) ORDER BY ALL
"""
SAME_TASK = """
WITH mine AS (
    SELECT DISTINCT trajectory_id AS of, task_id FROM trajectories WHERE list_contains($ids, trajectory_id)
), others AS (
    SELECT task_id, trajectory_id, any_value(kind) AS kind, any_value(success) AS success,
        any_value(n_steps) AS n_steps, any_value(prefix_steps) AS prefix_steps, min(round) AS round
    FROM run_trajectories WHERE run_id = $run AND task_id IN (SELECT task_id FROM mine) GROUP BY ALL
)
SELECT of, o.* EXCLUDE (task_id) FROM mine JOIN others o USING (task_id)
WHERE o.trajectory_id <> of ORDER BY of, o.round, o.kind, o.prefix_steps, o.trajectory_id
"""
PARTS = {
    "steps": STEPS,
    "values": VALUES,
    "comparisons": COMPARISONS,
    "examples": EXAMPLES,
    "pairs": PAIRS,
    "judgements": JUDGEMENTS,
    "tested": TESTED,
    "same_task": SAME_TASK,
}
"""What is known of a trajectory, each a list of rows in the columns of the store."""


def trajectory(published: Published, run: str, id: str) -> Row:
    """The trajectory with its steps, and the run's annotations of it. Raises StorageFault where the run has no such
    trajectory."""
    found = trajectories(published, run, [id])
    if not found:
        raise StorageFault(f"run {run} has no trajectory {id}")
    return found[0]


def trajectories(published: Published, run: str, ids: Sequence[str]) -> list[Row]:
    """Several trajectories, as `trajectory` gives one; those that the run does not have are left out. Raises
    StorageFault."""
    asked = list(ids)
    known = {row["trajectory_id"]: row for row in published.rows(TRAJECTORY, run=run, ids=asked)}
    parts = {
        name: _by_trajectory(published.rows(sql, ids=asked, **({"run": run} if "$run" in sql else {})))
        for name, sql in PARTS.items()
    }
    return [
        {**known[id], **{name: found.get(id, []) for name, found in parts.items()}}
        for id in asked
        if id in known
    ]


def _by_trajectory(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found = defaultdict(list)
    for row in rows:
        found[row.pop("of")].append(row)
    return found
