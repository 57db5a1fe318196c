-- The value of each scored turn from its rollouts, and the comparisons of these values.

-- Equal draws that were played twice (two runs at once, an emptied folder evidence/) may differ: one of them counts.
CREATE OR REPLACE VIEW distinct_rollouts AS
SELECT * FROM rollouts ANTI JOIN rollout_conflicts USING (rollout_id);
COMMENT ON VIEW distinct_rollouts IS
    'One rollout for each position in the random stream of a step reward: the table rollouts less rollout_conflicts';

CREATE OR REPLACE MACRO picked(compared_outcome, success, progress, score) AS
    CASE compared_outcome WHEN 'progress' THEN progress WHEN 'score' THEN score ELSE success END;
COMMENT ON MACRO picked IS 'Of three sums over rollouts, the one that a verdict compares (deviation.outcome)';

CREATE OR REPLACE VIEW step_rewards AS
WITH evidence AS (
    SELECT
        step_reward_id, count(*) AS n, count_if(outcome >= 1) AS successes, sum(outcome) AS total,
        avg(coalesce(progress, outcome)) AS progress, list(seed ORDER BY sample_index) AS seeds,
        sum(n_steps)::BIGINT AS n_steps, sum(tokens)::BIGINT AS tokens
    FROM distinct_rollouts GROUP BY ALL
)
SELECT
    t.step_reward_id, t.task_id, t.trajectory_id, t.trajectory_kind, t.step_index, t.checkpoint,
    coalesce(e.n, 0) AS n, coalesce(e.successes, 0) AS successes,
    coalesce(t.outcome, e.total / e.n) AS reward, coalesce(t.progress, e.progress) AS progress,
    coalesce(t.outcome, wilson_low(e.total, e.n)) AS low, coalesce(t.outcome, wilson_high(e.total, e.n)) AS high,
    t.outcome IS NOT NULL AS terminal, coalesce(e.seeds, []) AS seeds,
    coalesce(e.n_steps, 0) AS rollout_steps, coalesce(e.tokens, 0) AS rollout_tokens, t.provenance,
    t.trajectory_kind AS side  -- old name
FROM scored_turns t LEFT JOIN evidence e USING (step_reward_id);
COMMENT ON VIEW step_rewards IS
    'The value of every scored turn over all its stored rollouts: mean, 95 % Wilson interval, scorer, seeds and cost. Turns with equal histories share rollouts: sum costs over step_values';
COMMENT ON COLUMN step_rewards.n IS 'Rollouts after the turn; 0 where it ended the episode';
COMMENT ON COLUMN step_rewards.successes IS 'Rollouts that reached the goal';
COMMENT ON COLUMN step_rewards.reward IS 'Mean outcome of the rollouts, or the outcome of a turn that ended the episode; NULL where there is neither';
COMMENT ON COLUMN step_rewards.progress IS 'Mean share of the goal''s conditions that the rollouts reached';
COMMENT ON COLUMN step_rewards.low IS 'Lower end of the 95 % Wilson interval of the reward';
COMMENT ON COLUMN step_rewards.high IS 'Upper end of the 95 % Wilson interval of the reward';
COMMENT ON COLUMN step_rewards.terminal IS 'TRUE where the turn ended the episode, so that its value is known without rollouts';
COMMENT ON COLUMN step_rewards.seeds IS 'Seeds of the rollouts, in the order of their sample_index';
COMMENT ON COLUMN step_rewards.rollout_steps IS 'Steps played in all its rollouts';
COMMENT ON COLUMN step_rewards.rollout_tokens IS 'Tokens generated in all its rollouts';

-- Joined before it is summed up: a filter on the run then keeps the rollouts of all other runs out of the sums.
CREATE OR REPLACE VIEW run_step_rewards AS
WITH summed AS (
    SELECT
        t.run_id, t.round, t.step_reward_id, t.task_id, t.trajectory_id, t.trajectory_kind, t.step_index, t.checkpoint,
        t.outcome AS known, t.progress AS known_progress, t.provenance, count(o.rollout_id) AS n,
        count_if(o.outcome >= 1) AS successes, sum(o.outcome) AS total, avg(coalesce(o.progress, o.outcome)) AS progress,
        list(o.seed ORDER BY o.sample_index) FILTER (o.rollout_id IS NOT NULL) AS seeds,
        sum(o.n_steps)::BIGINT AS n_steps, sum(o.tokens)::BIGINT AS tokens
    FROM run_scored_turns t LEFT JOIN distinct_rollouts o ON o.step_reward_id = t.step_reward_id
    GROUP BY ALL
)
SELECT
    run_id, round, step_reward_id, task_id, trajectory_id, trajectory_kind, step_index, checkpoint, n,
    coalesce(successes, 0) AS successes, coalesce(known, total / n) AS reward,
    coalesce(known_progress, progress) AS progress, coalesce(known, wilson_low(total, n)) AS low,
    coalesce(known, wilson_high(total, n)) AS high, known IS NOT NULL AS terminal, coalesce(seeds, []) AS seeds,
    coalesce(n_steps, 0) AS rollout_steps, coalesce(tokens, 0) AS rollout_tokens, provenance
FROM summed;
COMMENT ON VIEW run_step_rewards IS
    'The rows of step_rewards that belong to each run: one a scored turn and round';

CREATE OR REPLACE VIEW step_values AS
SELECT
    step_reward_id, any_value(task_id) AS task_id, any_value(checkpoint) AS checkpoint, count(*) AS turns,
    any_value(n) AS n, any_value(successes) AS successes, any_value(reward) AS reward, any_value(progress) AS progress,
    any_value(low) AS low, any_value(high) AS high, any_value(terminal) AS terminal, any_value(seeds) AS seeds,
    any_value(rollout_steps) AS rollout_steps, any_value(rollout_tokens) AS rollout_tokens
FROM step_rewards GROUP BY step_reward_id;
COMMENT ON VIEW step_values IS
    'One row a step reward, where step_rewards has one a scored turn: its rollouts count once, so sums are right';
COMMENT ON COLUMN step_values.turns IS 'Scored turns that share the step reward, as their histories are equal';

CREATE OR REPLACE VIEW step_reward_gaps AS
SELECT
    run_id, round, deviation_id, task_id, step_index, expert_action, explored_action,
    explored_success, similarity, continues,
    reference_step_reward_id, reference_reward, reference_n, expert_step_reward_id, expert_reward, expert_n,
    explored_step_reward_id, explored_reward, explored_n,
    gap, gap_low, gap_high, error_rate, delta, preset, compared_outcome, verdict, rule, expert_beats_explored,
    selected, drop_probability,
    expert_is_better, outcome  -- old names
FROM deviations JOIN run_provenance USING (provenance);
COMMENT ON VIEW step_reward_gaps IS
    'ALL comparisons of a run, deviated or not (count with WHERE verdict = ''deviated'', or use deviated_turns): the rewards with the rollouts behind them, the gap with its interval, the verdict';

CREATE OR REPLACE VIEW deviated_turns AS
SELECT * EXCLUDE (expert_is_better, outcome) FROM step_reward_gaps WHERE verdict = 'deviated';
COMMENT ON VIEW deviated_turns IS
    'The comparisons of a run with the verdict deviated, selected for calibration or not; step_reward_gaps has all comparisons';

CREATE OR REPLACE VIEW compared_turns AS
WITH turns AS (
    SELECT
        *, 'reference' AS side, expert_trajectory_id AS trajectory_id, step_index - 1 AS turn,
        reference_step_reward_id AS step_reward_id, reference_reward AS reward, reference_n AS n
    FROM deviations
    UNION ALL
    SELECT
        *, 'expert', expert_trajectory_id, step_index, expert_step_reward_id, expert_reward, expert_n
    FROM deviations
    UNION ALL
    SELECT
        *, 'explored', explored_trajectory_id, step_index, explored_step_reward_id, explored_reward, explored_n
    FROM deviations
)
SELECT
    run_id, round, deviation_id, task_id, side, trajectory_id, turn AS step_index, step_reward_id, reward, n, verdict,
    selected
FROM turns JOIN run_provenance USING (provenance)
WHERE step_reward_id IS NOT NULL;
COMMENT ON VIEW compared_turns IS
    'The turns that each comparison of a run looked at, one row a turn: step_reward_gaps turned from columns into rows';
COMMENT ON COLUMN compared_turns.side IS
    'Which turn: reference (the expert''s turn before), expert (the expert''s turn at this step, for D_s) or explored; the columns of deviations begin with the same words';
COMMENT ON COLUMN compared_turns.trajectory_id IS 'The trajectory that holds the turn';
COMMENT ON COLUMN compared_turns.step_index IS 'The turn in its trajectory, 0-based';
COMMENT ON COLUMN compared_turns.step_reward_id IS 'The step reward of the turn; rollouts have it too';
COMMENT ON COLUMN compared_turns.reward IS 'The step reward that the verdict was made on';
COMMENT ON COLUMN compared_turns.n IS 'Rollouts behind the reward: the first so many; 0 where the turn ended the episode';

CREATE OR REPLACE VIEW repaired_turns AS
SELECT
    k.run_id, k.round, k.deviation_id, k.task_id, d.step_index, d.expert_action, d.explored_action, d.gap, d.verdict,
    d.rule, d.selected, coalesce(c.choose, 'verdict') AS choose, c.rank, c.expected_gap, c.drop_probability,
    k.calibration_id, k.kept, k.rejection, k.plan, x.n_steps - d.step_index - 1 AS repair_turns
FROM run_calibrations k
JOIN deviations d ON d.deviation_id = k.deviation_id
LEFT JOIN trajectories x ON x.trajectory_id = k.trajectory_id
LEFT JOIN run_repair_choices c
    ON c.run_id = k.run_id AND c.round = k.round AND c.deviation_id = k.deviation_id AND c.chosen;
COMMENT ON VIEW repaired_turns IS
    'The turns that a run repaired, kept or rejected, with the verdict on each and how it was chosen: one row a calibration';
COMMENT ON COLUMN repaired_turns.selected IS 'TRUE where the rule itself selects the turn: all, unless calibration.choose is set';
COMMENT ON COLUMN repaired_turns.choose IS 'How the turn was chosen: verdict, gap, value or random (calibration.choose)';
COMMENT ON COLUMN repaired_turns.rank IS 'Place among the turns that could be chosen, from 1; NULL where the rule''s deviations were all taken';
COMMENT ON COLUMN repaired_turns.repair_turns IS 'Turns that were executed after the repaired one, the reflection''s included';
