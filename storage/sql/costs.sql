-- What the work came to: seconds, episodes, tokens, calls of language models, dollars.

CREATE OR REPLACE VIEW stage_costs AS
WITH parts AS (  -- what one set of batches holds
    SELECT provenance, count(*) AS episodes FROM trajectories GROUP BY ALL
    UNION ALL BY NAME
    SELECT provenance, count(*) AS turns, sum(tokens)::BIGINT AS tokens
    FROM steps WHERE origin = 'policy' GROUP BY ALL
    UNION ALL BY NAME
    SELECT provenance, count(*) AS episodes, sum(n_steps)::BIGINT AS turns, sum(tokens)::BIGINT AS tokens
    FROM rollouts GROUP BY ALL
    UNION ALL BY NAME
    SELECT provenance, sum(target_tokens)::BIGINT AS trained_tokens FROM checkpoints GROUP BY ALL
    UNION ALL BY NAME
    SELECT
        provenance, count(*) AS llm_calls, sum(prompt_tokens)::BIGINT AS llm_prompt_tokens,
        sum(completion_tokens)::BIGINT AS llm_completion_tokens, sum(usd) AS llm_usd
    FROM llm_calls GROUP BY ALL
), held AS (
    SELECT run_id, round, stage, sum(COLUMNS(* EXCLUDE (run_id, round, stage, provenance)))
    FROM stage_provenance JOIN parts USING (provenance) GROUP BY run_id, round, stage
), paid AS (  -- run_stages counts what a run had paid by then: a stage's own is what it added, in the order of time
    SELECT
        run_id, round, stage, rollouts_paid - coalesce(lag(rollouts_paid) OVER earlier, 0) AS rollouts_paid,
        nullif(rollout_usd - coalesce(lag(rollout_usd) OVER earlier, 0), 0) AS rollout_usd
    FROM run_stages WHERE rollouts_paid IS NOT NULL
    WINDOW earlier AS (PARTITION BY run_id, stage ORDER BY started_at, round)
)
SELECT
    run_id, round, stage, s.status, s.stopped, s.seconds, s.batches, s.cached_batches,
    coalesce(h.episodes, 0)::BIGINT AS episodes, coalesce(h.turns, 0)::BIGINT AS turns,
    coalesce(h.tokens, 0)::BIGINT AS tokens, h.trained_tokens::BIGINT AS trained_tokens, p.rollouts_paid,
    coalesce(h.llm_calls, 0)::BIGINT AS llm_calls, coalesce(h.llm_prompt_tokens, 0)::BIGINT AS llm_prompt_tokens,
    coalesce(h.llm_completion_tokens, 0)::BIGINT AS llm_completion_tokens,
    CASE WHEN p.rollout_usd IS NOT NULL OR h.llm_usd IS NOT NULL
        THEN coalesce(p.rollout_usd, 0) + coalesce(h.llm_usd, 0) END AS usd
FROM run_stages s
LEFT JOIN held h USING (run_id, round, stage)
LEFT JOIN paid p USING (run_id, round, stage)
ORDER BY run_id, round, stage_place(stage);
COMMENT ON VIEW stage_costs IS
    'What each stage of each run cost. Episodes, turns, tokens and calls are those of the rows that the stage holds, also where they came from the cache; seconds and rollouts_paid are what this run spent';
COMMENT ON COLUMN stage_costs.seconds IS 'Wall-clock time of the last time that the stage made something: short where another run had made its batches';
COMMENT ON COLUMN stage_costs.episodes IS 'Episodes in the stage''s rows: trajectories, and rollouts of step rewards';
COMMENT ON COLUMN stage_costs.turns IS 'Turns that a policy wrote in these episodes; the expert''s and replayed ones cost nothing';
COMMENT ON COLUMN stage_costs.tokens IS 'Tokens that the policy generated in these turns, thinking included. Reflections that a policy in the process writes itself are not counted';
COMMENT ON COLUMN stage_costs.trained_tokens IS 'Tokens trained on; NULL where the stage trains nothing';
COMMENT ON COLUMN stage_costs.rollouts_paid IS 'Rollouts that this run played itself in this round (run_stages.rollouts_paid: from the start of the run); NULL where the stage plays none';
COMMENT ON COLUMN stage_costs.llm_calls IS 'Requests to language models behind an API, as policy, reflector or judge';
COMMENT ON COLUMN stage_costs.llm_prompt_tokens IS 'Input tokens of these requests';
COMMENT ON COLUMN stage_costs.llm_completion_tokens IS 'Tokens that these requests generated; those of a policy are in tokens too';
COMMENT ON COLUMN stage_costs.usd IS 'Price of the rollouts by budget.usd_per_hour and budget.usd_per_million_tokens, plus that of the calls by budget.prices; NULL where nothing has a price';

CREATE OR REPLACE VIEW llm_costs AS
SELECT
    run_id, round, purpose, model, count(*) AS calls, count_if(NOT ok) AS given_up, sum(retries)::BIGINT AS retries,
    sum(prompt_tokens)::BIGINT AS prompt_tokens, sum(cached_tokens)::BIGINT AS cached_tokens,
    sum(completion_tokens)::BIGINT AS completion_tokens, sum(usd) AS usd, count_if(ok AND usd IS NULL) AS unpriced,
    median(latency) FILTER (ok) AS latency_median, quantile_cont(latency, 0.99) FILTER (ok) AS latency_p99
FROM run_llm_calls GROUP BY ALL;
COMMENT ON VIEW llm_costs IS
    'The language-model calls behind a run by purpose and model: tokens, dollars, retries, seconds. A call that several runs used is counted in each: the sum over the table llm_calls is what was paid';
COMMENT ON COLUMN llm_costs.calls IS 'Requests, given-up ones included';
COMMENT ON COLUMN llm_costs.given_up IS 'Requests that never got an answer';
COMMENT ON COLUMN llm_costs.retries IS 'Attempts that failed and were retried';
COMMENT ON COLUMN llm_costs.usd IS 'Price of the calls by budget.prices; NULL where no call has a price';
COMMENT ON COLUMN llm_costs.unpriced IS 'Answered calls whose model has no price: they are not in usd';
COMMENT ON COLUMN llm_costs.latency_median IS 'Median seconds from sending to the answer';
COMMENT ON COLUMN llm_costs.latency_p99 IS '99th percentile of the seconds from sending to the answer';

CREATE OR REPLACE VIEW calibration_outcomes AS
SELECT
    run_id, round, plan, count(*) AS attempts, count_if(kept) AS kept, count_if(NOT kept) AS rejected,
    avg((NOT kept)::INTEGER) AS rejection_rate, histogram(rejection) FILTER (NOT kept) AS rejections
FROM run_calibrations GROUP BY ALL;
COMMENT ON VIEW calibration_outcomes IS
    'Deviations to repair, kept and rejected, by the plan that succeeded or was tried last; `rejections` counts each reason (calibrations has the detail)';
COMMENT ON COLUMN calibration_outcomes.attempts IS 'Deviations to repair, by the plan that succeeded or was tried last: one row of calibrations each (calibrations.attempts counts replies of a language model)';
COMMENT ON COLUMN calibration_outcomes.kept IS 'Repairs that were executed to success';
COMMENT ON COLUMN calibration_outcomes.rejected IS 'Repairs that were not kept';
COMMENT ON COLUMN calibration_outcomes.rejection_rate IS 'rejected / attempts';
COMMENT ON COLUMN calibration_outcomes.rejections IS 'How many were rejected for each reason, as a map';

CREATE OR REPLACE VIEW calibration_costs AS
WITH paid AS (
    SELECT
        run_id, round, sum(calls - given_up)::BIGINT AS calls, sum(given_up)::BIGINT AS given_up,
        sum(prompt_tokens + completion_tokens)::BIGINT AS tokens, sum(usd) AS usd
    FROM llm_costs WHERE purpose = 'reflection' GROUP BY ALL
), made AS (
    SELECT
        run_id, round, count_if(kept) AS kept, count_if(NOT kept) AS rejected,
        coalesce(count_if(rejection = 'no_reflection'), 0) AS unusable
    FROM run_calibrations GROUP BY ALL
)
SELECT
    run_id, round, kept, rejected, unusable, calls, given_up, tokens, usd,
    calls / nullif(kept, 0) AS calls_per_kept, tokens / nullif(kept, 0) AS tokens_per_kept,
    usd / nullif(kept, 0) AS usd_per_kept
FROM made JOIN paid USING (run_id, round);
COMMENT ON VIEW calibration_costs IS
    'What the language model''s reflections cost for each calibration that was kept';
COMMENT ON COLUMN calibration_costs.unusable IS 'Of the rejected ones, those without a valid reflection';
COMMENT ON COLUMN calibration_costs.calls IS 'Requests for reflections that were answered';
COMMENT ON COLUMN calibration_costs.tokens IS 'Tokens of these requests, input and output';
COMMENT ON COLUMN calibration_costs.calls_per_kept IS 'calls / kept; NULL where none was kept';
COMMENT ON COLUMN calibration_costs.tokens_per_kept IS 'tokens / kept; NULL where none was kept';
COMMENT ON COLUMN calibration_costs.usd_per_kept IS 'usd / kept; NULL where none was kept or nothing has a price';
