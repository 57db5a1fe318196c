-- Questions a user asks. Made anew whenever the store is opened, so they always follow the code.

-- Wilson score interval of k successes in n trials, 95 % (z = 1.959963984540054); NULL where n = 0.
CREATE OR REPLACE MACRO wilson_centre(k, n) AS (k + 1.920729410347062) / (n + 3.841458820694124);
CREATE OR REPLACE MACRO wilson_half(k, n) AS
    1.959963984540054 * sqrt(k * (n - k) / n + 0.960364705173531) / (n + 3.841458820694124);
CREATE OR REPLACE MACRO wilson_low(k, n) AS
    CASE WHEN n = 0 THEN NULL WHEN k = 0 THEN 0.0 ELSE wilson_centre(k, n) - wilson_half(k, n) END;
CREATE OR REPLACE MACRO wilson_high(k, n) AS
    CASE WHEN n = 0 THEN NULL WHEN k = n THEN 1.0 ELSE wilson_centre(k, n) + wilson_half(k, n) END;

CREATE OR REPLACE VIEW run_provenance AS
SELECT DISTINCT run_id, round, provenance
FROM run_batches JOIN provenance_batches USING (stage_key, batch_id);
COMMENT ON VIEW run_provenance IS 'From the provenance of a row to the runs and rounds that it belongs to';

-- FROM of_run('trajectories', 'quickstart-ab12'): the rows of one run.
CREATE OR REPLACE MACRO of_run(rows_of, run) AS TABLE
SELECT rows.* FROM query_table(rows_of) AS rows
SEMI JOIN (SELECT provenance FROM run_provenance WHERE run_id = run) USING (provenance);

-- Which weights: trainings that left or found the same ones are one policy.
CREATE OR REPLACE VIEW policies AS
SELECT digest, path, parent, role, round, parameters, training_id, trainings FROM (
    SELECT *, count(*) OVER (PARTITION BY digest) AS trainings FROM checkpoints
    QUALIFY row_number() OVER (PARTITION BY digest ORDER BY round, role = 'trained', training_id) = 1
);
COMMENT ON VIEW policies IS
    'Every trained policy once, by its digest, as the first of the trainings that gave it; `trainings` counts them';

-- Equal draws that were played twice (two runs at once, an emptied folder evidence/) may differ: one of them counts.
CREATE OR REPLACE VIEW distinct_rollouts AS
SELECT * FROM rollouts ANTI JOIN rollout_conflicts USING (rollout_id);
COMMENT ON VIEW distinct_rollouts IS
    'One rollout for each position in the random stream of a step reward: the table rollouts less rollout_conflicts';

CREATE OR REPLACE VIEW step_rewards AS
WITH evidence AS (
    SELECT
        step_reward_id, count(*) AS n, count_if(outcome >= 1) AS successes, sum(outcome) AS total,
        avg(coalesce(progress, outcome)) AS progress, list(seed ORDER BY sample_index) AS seeds,
        sum(n_steps)::BIGINT AS n_steps, sum(tokens)::BIGINT AS tokens
    FROM distinct_rollouts GROUP BY ALL
)
SELECT
    t.step_reward_id, t.task_id, t.trajectory_id, t.step_index, t.side, t.checkpoint,
    coalesce(e.n, 0) AS n, coalesce(e.successes, 0) AS successes,
    coalesce(t.outcome, e.total / e.n) AS reward, coalesce(t.progress, e.progress) AS progress,
    coalesce(t.outcome, wilson_low(e.total, e.n)) AS low, coalesce(t.outcome, wilson_high(e.total, e.n)) AS high,
    t.outcome IS NOT NULL AS terminal, coalesce(e.seeds, []) AS seeds,
    coalesce(e.n_steps, 0) AS rollout_steps, coalesce(e.tokens, 0) AS rollout_tokens, t.provenance
FROM scored_turns t LEFT JOIN evidence e USING (step_reward_id);
COMMENT ON VIEW step_rewards IS
    'The value of every scored turn over all its stored rollouts: mean, 95 % Wilson interval, scorer, seeds and cost. Turns '
    'with equal histories share rollouts: sum costs over step_values';

CREATE OR REPLACE VIEW step_values AS
SELECT
    step_reward_id, any_value(task_id) AS task_id, any_value(checkpoint) AS checkpoint, count(*) AS turns,
    any_value(n) AS n, any_value(successes) AS successes, any_value(reward) AS reward, any_value(progress) AS progress,
    any_value(low) AS low, any_value(high) AS high, any_value(terminal) AS terminal, any_value(seeds) AS seeds,
    any_value(rollout_steps) AS rollout_steps, any_value(rollout_tokens) AS rollout_tokens
FROM step_rewards GROUP BY step_reward_id;
COMMENT ON VIEW step_values IS
    'One row a step reward, where step_rewards has one a scored turn: its rollouts count once, so sums are right. '
    '`turns` is how many scored turns share it';

CREATE OR REPLACE VIEW step_reward_gaps AS
SELECT
    p.run_id, p.round, d.deviation_id, d.task_id, d.step_index, d.expert_action, d.explored_action,
    d.explored_success, d.similarity, d.continues,
    d.reference_step_reward_id, d.reference_reward, d.reference_n, d.expert_step_reward_id, d.expert_reward, d.expert_n,
    d.explored_step_reward_id, d.explored_reward, d.explored_n,
    d.gap, d.gap_low, d.gap_high, d.error_rate, d.delta, d.preset, d.outcome, d.verdict, d.rule, d.expert_is_better,
    d.selected
FROM deviations d
JOIN run_provenance p USING (provenance);
COMMENT ON VIEW step_reward_gaps IS
    'Every comparison of a run: the rewards with the rollouts behind them, the gap with its interval, the verdict';

CREATE OR REPLACE VIEW success_by_task_type AS
SELECT
    run_id, round, checkpoint, role, split, start, task_type,
    count(*) AS n, count_if(success) AS successes, avg(success::INTEGER) AS rate,
    wilson_low(count_if(success), count(*)) AS low, wilson_high(count_if(success), count(*)) AS high
FROM evaluations JOIN run_provenance USING (provenance)
GROUP BY ALL;
COMMENT ON VIEW success_by_task_type IS
    'Success rate of each evaluated policy on each kind of task, with its 95 % Wilson interval';

CREATE OR REPLACE VIEW calibration_outcomes AS
SELECT
    run_id, round, plan, count(*) AS attempts, count_if(kept) AS kept, count_if(NOT kept) AS rejected,
    avg((NOT kept)::INTEGER) AS rejection_rate, histogram(rejection) FILTER (NOT kept) AS rejections
FROM calibrations JOIN run_provenance USING (provenance)
GROUP BY ALL;
COMMENT ON VIEW calibration_outcomes IS
    'Repairs kept and rejected, by where their turns came from; `rejections` counts each reason (calibrations has the detail)';

CREATE OR REPLACE VIEW llm_costs AS
SELECT
    run_id, round, purpose, model, count(*) AS calls, count_if(NOT ok) AS given_up, sum(retries)::BIGINT AS retries,
    sum(prompt_tokens)::BIGINT AS prompt_tokens, sum(cached_tokens)::BIGINT AS cached_tokens,
    sum(completion_tokens)::BIGINT AS completion_tokens, sum(usd) AS usd, count_if(ok AND usd IS NULL) AS unpriced,
    median(latency) FILTER (ok) AS latency_median, quantile_cont(latency, 0.99) FILTER (ok) AS latency_p99
FROM llm_calls JOIN run_provenance USING (provenance)
GROUP BY ALL;
COMMENT ON VIEW llm_costs IS
    'The language-model calls behind a run by purpose and model: tokens, dollars, retries, seconds. A call that several '
    'runs used is counted in each: the sum over the table llm_calls is what was paid';

CREATE OR REPLACE VIEW calibration_costs AS
WITH paid AS (
    SELECT run_id, round, sum(calls - given_up)::BIGINT AS calls, sum(given_up)::BIGINT AS given_up, sum(prompt_tokens + completion_tokens)::BIGINT AS tokens, sum(usd) AS usd
    FROM llm_costs WHERE purpose = 'reflection' GROUP BY ALL
), made AS (
    SELECT run_id, round, count_if(kept) AS kept, count_if(NOT kept) AS rejected, coalesce(count_if(rejection = 'no_reflection'), 0) AS unusable
    FROM calibrations JOIN run_provenance USING (provenance) GROUP BY ALL
)
SELECT
    run_id, round, kept, rejected, unusable, calls, given_up, tokens, usd,
    calls / nullif(kept, 0) AS calls_per_kept, tokens / nullif(kept, 0) AS tokens_per_kept, usd / nullif(kept, 0) AS usd_per_kept
FROM made JOIN paid USING (run_id, round);
COMMENT ON VIEW calibration_costs IS
    'What the language model''s reflections cost for each calibration that was kept; `unusable` had no valid reflection';

CREATE OR REPLACE VIEW recovery_after_invalid AS
SELECT
    run_id, round, checkpoint, role, split, start, count(*) AS episodes,
    count_if(invalid_actions > 0) AS met_invalid,
    count_if(invalid_actions > 0 AND success) AS recovered,
    recovered / nullif(met_invalid, 0) AS rate,
    wilson_low(recovered, met_invalid) AS low, wilson_high(recovered, met_invalid) AS high
FROM evaluations JOIN run_provenance USING (provenance)
GROUP BY ALL;
COMMENT ON VIEW recovery_after_invalid IS
    'Test episodes that met an invalid action and were still won, with the 95 % Wilson interval of their share';

CREATE OR REPLACE VIEW run_summary AS
WITH members AS (
    SELECT DISTINCT run_id, provenance FROM run_provenance
), counts AS (
    SELECT 'trajectory' AS kind, provenance, count(*) AS n FROM trajectories GROUP BY ALL
    UNION ALL SELECT 'step', provenance, count(*) FROM steps GROUP BY ALL
    UNION ALL SELECT 'rollout', provenance, count(*) FROM rollouts GROUP BY ALL
    UNION ALL SELECT 'step_reward', provenance, count(*) FROM scored_turns GROUP BY ALL
    UNION ALL SELECT verdict, provenance, count(*) FROM deviations GROUP BY ALL
    UNION ALL SELECT 'selected', provenance, count(*) FROM deviations WHERE selected GROUP BY ALL
    UNION ALL SELECT CASE WHEN kept THEN 'kept' ELSE 'rejected' END, provenance, count(*) FROM calibrations GROUP BY ALL
    UNION ALL SELECT 'set ' || dataset, provenance, count(*) FROM training_examples GROUP BY ALL
    UNION ALL SELECT 'evaluation', provenance, count(*) FROM evaluations GROUP BY ALL
), sums AS (
    SELECT run_id, map_from_entries(list((kind, n))) AS n
    FROM (SELECT run_id, kind, sum(n)::BIGINT AS n FROM members JOIN counts USING (provenance) GROUP BY ALL)
    GROUP BY run_id
)
SELECT
    run_id, name, created_at,
    coalesce(n['trajectory'], 0) AS trajectories, coalesce(n['step'], 0) AS steps,
    coalesce(n['rollout'], 0) AS rollouts, coalesce(n['step_reward'], 0) AS step_rewards,
    coalesce(n['deviated'], 0) AS deviated, coalesce(n['not_deviated'], 0) AS not_deviated,
    coalesce(n['undecided'], 0) AS undecided, coalesce(n['filtered'], 0) AS filtered, coalesce(n['selected'], 0) AS selected,
    coalesce(n['kept'], 0) AS calibrations_kept, coalesce(n['rejected'], 0) AS calibrations_rejected,
    coalesce(n['set calibrated'], 0) AS examples_calibrated,
    coalesce(n['set explored_success'], 0) AS examples_explored_success,
    coalesce(n['set expert_suffix'], 0) AS examples_expert_suffix,
    coalesce(n['set expert'], 0) AS examples_expert,
    coalesce(n['evaluation'], 0) AS evaluations
FROM runs LEFT JOIN sums USING (run_id);
COMMENT ON VIEW run_summary IS
    'One row a run: how many trajectories, rollouts, verdicts, calibrations and training examples it holds';
