-- The scored turns with what was written in them, and how their rollouts went.

CREATE OR REPLACE VIEW scored_steps AS
WITH ended AS (
    SELECT t.run_id, t.step_reward_id, histogram(o.end_reason) AS ends
    FROM (SELECT DISTINCT run_id, step_reward_id FROM run_scored_turns) t JOIN distinct_rollouts o USING (step_reward_id)
    GROUP BY ALL
)
SELECT
    r.run_id, r.round, r.task_id, k.task_type, r.trajectory_id, r.trajectory_kind, r.step_index,
    t.n_steps - 1 - r.step_index AS steps_left, w.thought, w.action, n.action AS next_action, r.reward, r.low, r.high, r.n,
    r.successes, r.terminal, coalesce(e.ends, MAP {}) AS ends, r.step_reward_id
FROM run_step_rewards r
JOIN tasks k USING (task_id)
JOIN trajectories t ON t.trajectory_id = r.trajectory_id
JOIN steps w ON w.trajectory_id = r.trajectory_id AND w.step_index = r.step_index
LEFT JOIN steps n ON n.trajectory_id = r.trajectory_id AND n.step_index = r.step_index + 1
LEFT JOIN ended e ON e.run_id = r.run_id AND e.step_reward_id = r.step_reward_id;
COMMENT ON VIEW scored_steps IS
    'The scored turns of each run with their thought and action: step reward, interval, and how the rollouts after the turn ended. distinct_rollouts has each of them, by step_reward_id';
COMMENT ON COLUMN scored_steps.steps_left IS 'Turns that follow in the trajectory; 0 for the last one';
COMMENT ON COLUMN scored_steps.next_action IS 'Action of the next turn in the trajectory; NULL after the last one';
COMMENT ON COLUMN scored_steps.ends IS 'How many rollouts ended for each reason, as a map: done, step_cap, invalid_streak ...';
