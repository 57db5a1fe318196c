-- What the arms of a comparison came to: episodes, success, training sets, costs.

CREATE OR REPLACE VIEW comparison_episodes AS
WITH played AS (  -- each round tests its own trained policy: the last one counts
    SELECT e.* FROM scored_evaluations e JOIN runs r USING (run_id) WHERE r.status = 'completed' AND e.round = r.rounds
)
SELECT
    c.comparison, CASE WHEN p.role = 'trained' THEN c.arm ELSE 'warm-up' END AS arm, c.seed, c.run_id, p.checkpoint,
    p.split, p.start, p.task_id, p.task_type, p.success, p.n_steps, p.expert_steps, p.invalid_actions,
    p.outcome
FROM comparisons c JOIN played p USING (run_id)
WHERE p.role = 'trained' OR c.is_reference
ORDER BY comparison, arm, seed, split, start_place(start), task_id;
COMMENT ON VIEW comparison_episodes IS
    'The test episodes of each arm and seed of a comparison whose run is completed: those of the policy that was trained last, and as arm warm-up those of the reference''s warm-up policy';
COMMENT ON COLUMN comparison_episodes.outcome IS 'Reward at the end of the episode, in [0, 1]';

CREATE OR REPLACE VIEW comparison_pairs AS
SELECT
    e.comparison, e.arm, r.arm AS reference, e.seed, e.split, e.start, e.task_id, e.task_type, e.success AS won,
    r.success AS reference_won, e.n_steps, r.n_steps AS reference_steps
FROM comparison_episodes e
JOIN comparison_episodes r USING (comparison, seed, split, start, task_id)
JOIN (SELECT DISTINCT comparison, arm FROM comparisons WHERE is_reference) a
    ON a.comparison = r.comparison AND a.arm = r.arm
WHERE e.arm <> r.arm
ORDER BY comparison, e.arm, seed, split, start_place(start), task_id;
COMMENT ON VIEW comparison_pairs IS
    'The test episodes of each arm beside those of the reference on the same task and seed: comparison_differences sums them up';
COMMENT ON COLUMN comparison_pairs.reference IS 'The arm that it is compared with';
COMMENT ON COLUMN comparison_pairs.won IS 'TRUE where the arm reached the goal';
COMMENT ON COLUMN comparison_pairs.reference_won IS 'TRUE where the reference reached the goal';
COMMENT ON COLUMN comparison_pairs.reference_steps IS 'Steps of the reference''s episode';

-- The design effect of tasks that several seeds played: steca.paired.pooled_interval.
CREATE OR REPLACE MACRO design_effect(n, tasks, rate, spread) AS
    CASE WHEN rate IN (0, 1) THEN n / tasks ELSE greatest(1.0, spread / (n * rate * (1 - rate))) END;
COMMENT ON MACRO design_effect IS 'By what n counts for less where n outcomes of so many tasks have this mean and this sum over tasks of squared deviations (Kish, Survey Sampling, 1965)';

CREATE OR REPLACE VIEW comparison_success AS
WITH by_task AS (
    SELECT
        comparison, arm, split, start, task_id, list(seed) AS seeds, count(*) AS n, count_if(success) AS won,
        sum(outcome) AS gained
    FROM comparison_episodes GROUP BY ALL
), rated AS (
    SELECT *, sum(won) OVER pooled / sum(n) OVER pooled AS rate, sum(gained) OVER pooled / sum(n) OVER pooled AS reward
    FROM by_task
    WINDOW pooled AS (PARTITION BY comparison, arm, split, start)
), pooled AS (
    SELECT
        comparison, arm, split, start, len(list_distinct(flatten(list(seeds)))) AS seeds, sum(n)::BIGINT AS n,
        sum(won)::BIGINT AS successes, rate, sum(gained) AS gained, reward,
        design_effect(sum(n), count(*), rate, sum((won - n * rate) ** 2)) AS effect,
        design_effect(sum(n), count(*), reward, sum((gained - n * reward) ** 2)) AS reward_effect
    FROM rated GROUP BY comparison, arm, split, start, rate, reward
)
SELECT
    comparison, arm, split, start, seeds, n, successes, rate,
    wilson_low(successes / effect, n / effect) AS low, wilson_high(successes / effect, n / effect) AS high,
    reward, wilson_low(gained / reward_effect, n / reward_effect) AS reward_low,
    wilson_high(gained / reward_effect, n / reward_effect) AS reward_high
FROM pooled
ORDER BY comparison, split, start_place(start), arm;
COMMENT ON VIEW comparison_success IS
    'Success rate and mean reward of each arm of a comparison, pooled over its seeds, with the 95 % Wilson interval, wider where several seeds played the same tasks. The interval leaves out the variance between seeds: comparison_differences has it';
COMMENT ON COLUMN comparison_success.seeds IS 'Seeds with test episodes';
COMMENT ON COLUMN comparison_success.reward IS 'Mean reward at the end of the test episodes; the rate where rewards are 0 or 1';

CREATE OR REPLACE VIEW comparison_training_sets AS
WITH parts AS (
    SELECT run_id, round, dataset FROM run_training_examples
    UNION ALL SELECT run_id, round, 'pairs' FROM run_preference_pairs
)
SELECT c.comparison, c.arm, c.seed, run_id, p.dataset, count(*) AS examples
FROM comparisons c JOIN runs r USING (run_id) JOIN parts p USING (run_id)
WHERE r.status = 'completed' AND p.round = r.rounds
GROUP BY ALL
ORDER BY c.comparison, c.arm, c.seed, p.dataset;
COMMENT ON VIEW comparison_training_sets IS
    'Size of each part of the training set of each arm and seed; of the last round where there are several';
COMMENT ON COLUMN comparison_training_sets.dataset IS 'Part of the training set, as in training_examples; pairs: the preference pairs of an arm that trains on pairs';
COMMENT ON COLUMN comparison_training_sets.examples IS 'Training examples of this part, or preference pairs';

CREATE OR REPLACE VIEW comparison_costs AS
WITH made AS (  -- what takes a stage its time; verdicts, choices, training sets and pairs are computed in a moment
    SELECT provenance FROM trajectories UNION SELECT provenance FROM rollouts
    UNION SELECT provenance FROM scored_turns UNION SELECT provenance FROM judgements
    UNION SELECT provenance FROM calibrations UNION SELECT provenance FROM checkpoints
), work AS (  -- equal lists are equal rows: a provenance is whole in every run that has it
    SELECT run_id, round, stage, list(provenance ORDER BY provenance) AS rows_made
    FROM stage_provenance SEMI JOIN made USING (provenance) GROUP BY ALL
), longest AS (  -- a stage takes no time where another run has made the rows: that run's time counts if it did the same
    SELECT run_id, round, stage, max(s.seconds) OVER (PARTITION BY stage, w.rows_made) AS seconds
    FROM work w JOIN run_stages s USING (run_id, round, stage)
), repaired AS (  -- a reflection is asked for once the repair has been executed to success
    SELECT
        run_id, round, 'calibrate' AS stage,
        count_if(kept OR coalesce(rejection = 'no_reflection', FALSE)) AS reflections
    FROM run_calibrations GROUP BY ALL
)
SELECT
    c.comparison, c.arm, c.seed, run_id, round, stage, s.episodes, s.turns, s.tokens,
    coalesce(r.reflections, 0)::BIGINT AS reflections,
    s.llm_calls, s.llm_prompt_tokens + s.llm_completion_tokens AS llm_tokens, s.usd,
    coalesce(l.seconds, s.seconds) AS seconds
FROM comparisons c
JOIN stage_costs s USING (run_id)
LEFT JOIN longest l USING (run_id, round, stage)
LEFT JOIN repaired r USING (run_id, round, stage)
ORDER BY c.comparison, c.arm, c.seed, round, stage_place(stage);
COMMENT ON VIEW comparison_costs IS
    'What each stage of each arm and seed cost. Rows that another run had made are charged as well. Its seconds count only where it made exactly the same rows in the stage';
COMMENT ON COLUMN comparison_costs.reflections IS 'Repairs that a reflection was asked for: those that were executed to success, whether the reflection was usable or not';
COMMENT ON COLUMN comparison_costs.llm_tokens IS 'Tokens of the requests to language models, input and output';
COMMENT ON COLUMN comparison_costs.seconds IS 'Wall-clock time of the stage: the longest of all runs that made the same rows in it. Too small where no such run made all of them itself: some came from a run that did other work too, the stage was interrupted, or it found rollouts in the pool';
