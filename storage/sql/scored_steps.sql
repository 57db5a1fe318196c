-- The scored turns with what was written in them, and how their rollouts went.

CREATE OR REPLACE VIEW scored_steps AS
WITH ended AS (
    SELECT step_reward_id, histogram(end_reason) AS ends FROM distinct_rollouts GROUP BY ALL
), written AS (
    SELECT
        trajectory_id, step_index, action, thought,
        lead(action) OVER turns AS next_action, count(*) OVER whole - 1 - step_index AS steps_left
    FROM steps
    WINDOW turns AS (PARTITION BY trajectory_id ORDER BY step_index), whole AS (PARTITION BY trajectory_id)
)
SELECT
    r.run_id, r.round, r.task_id, k.task_type, r.trajectory_id, r.trajectory_kind, r.step_index, w.steps_left,
    w.thought, w.action, w.next_action, r.reward, r.low, r.high, r.n, r.successes, r.terminal,
    coalesce(e.ends, MAP {}) AS ends, r.step_reward_id
FROM run_step_rewards r
JOIN written w USING (trajectory_id, step_index)
JOIN tasks k USING (task_id)
LEFT JOIN ended e USING (step_reward_id);
COMMENT ON VIEW scored_steps IS
    'The scored turns of each run with their thought and action: step reward, interval, and how the rollouts after the turn ended. distinct_rollouts has each of them, by step_reward_id';
COMMENT ON COLUMN scored_steps.steps_left IS 'Turns that follow in the trajectory; 0 for the last one';
COMMENT ON COLUMN scored_steps.next_action IS 'Action of the next turn in the trajectory; NULL after the last one';
COMMENT ON COLUMN scored_steps.ends IS 'How many rollouts ended for each reason, as a map: done, step_cap, invalid_streak ...';
