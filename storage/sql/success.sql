-- How good each policy is on the test tasks, and what training changed.

CREATE OR REPLACE MACRO start_place(start) AS
    list_position(['beginning', 'before_deviation', 'after_deviation'], start);
COMMENT ON MACRO start_place IS 'Where a start of test episodes comes in tables: the beginning of the task first';

CREATE OR REPLACE VIEW scored_evaluations AS
SELECT e.*, coalesce(t.outcome, e.success::INTEGER) AS outcome
FROM run_evaluations e LEFT JOIN trajectories t USING (trajectory_id);
COMMENT ON VIEW scored_evaluations IS 'The test episodes of each run, with the reward at their end';

CREATE OR REPLACE VIEW success AS
SELECT
    run_id, round, split, start, role, count(*) AS n, count_if(success) AS successes, avg(success::INTEGER) AS rate,
    wilson_low(count_if(success), count(*)) AS low, wilson_high(count_if(success), count(*)) AS high, checkpoint,
    avg(outcome) AS reward, wilson_low(sum(outcome), count(*)) AS reward_low,
    wilson_high(sum(outcome), count(*)) AS reward_high
FROM scored_evaluations GROUP BY run_id, round, split, start, role, checkpoint
ORDER BY run_id, round, split, start_place(start), role DESC;
COMMENT ON VIEW success IS
    'Success rate of each evaluated policy over all test tasks of a split, with its 95 % Wilson interval. Every round tests the same warm-up policy again';
COMMENT ON COLUMN success.n IS 'Test episodes';
COMMENT ON COLUMN success.successes IS 'Test episodes that reached the goal';
COMMENT ON COLUMN success.rate IS 'successes / n';
COMMENT ON COLUMN success.low IS 'Lower end of the 95 % Wilson interval of the rate';
COMMENT ON COLUMN success.high IS 'Upper end of the 95 % Wilson interval of the rate';
COMMENT ON COLUMN success.reward IS 'Mean reward at the end of the test episodes; the rate where rewards are 0 or 1';
COMMENT ON COLUMN success.reward_low IS 'Lower end of the 95 % Wilson interval of the mean reward (conservative)';
COMMENT ON COLUMN success.reward_high IS 'Upper end of the 95 % Wilson interval of the mean reward (conservative)';

CREATE OR REPLACE VIEW success_by_task_type AS
SELECT
    run_id, round, checkpoint, role, split, start, task_type,
    count(*) AS n, count_if(success) AS successes, avg(success::INTEGER) AS rate,
    wilson_low(count_if(success), count(*)) AS low, wilson_high(count_if(success), count(*)) AS high,
    avg(outcome) AS reward, wilson_low(sum(outcome), count(*)) AS reward_low,
    wilson_high(sum(outcome), count(*)) AS reward_high
FROM scored_evaluations GROUP BY run_id, round, checkpoint, role, split, start, task_type
ORDER BY run_id, round, split, start_place(start), task_type, role DESC;
COMMENT ON VIEW success_by_task_type IS
    'Success rate of each evaluated policy on each kind of task, with its 95 % Wilson interval';

CREATE OR REPLACE VIEW paired_evaluations AS
SELECT
    run_id, round, split, start, task_id, task_type,
    bool_and(success) FILTER (role = 'warmup') AS warmup_won, bool_and(success) FILTER (role = 'trained') AS trained_won
FROM run_evaluations GROUP BY ALL
HAVING warmup_won IS NOT NULL AND trained_won IS NOT NULL;
COMMENT ON VIEW paired_evaluations IS
    'The test tasks that both policies of a round played, one row a task and start: which of the two won';
COMMENT ON COLUMN paired_evaluations.warmup_won IS 'TRUE where the warm-up policy reached the goal';
COMMENT ON COLUMN paired_evaluations.trained_won IS 'TRUE where the policy that was trained in the round reached the goal';

CREATE OR REPLACE VIEW success_change_by_task_type AS
WITH counts AS (
    SELECT
        run_id, round, split, start, task_type, count(*) AS n,
        count_if(warmup_won AND trained_won) AS both_won, count_if(warmup_won AND NOT trained_won) AS only_warmup_won,
        count_if(trained_won AND NOT warmup_won) AS only_trained_won,
        count_if(NOT warmup_won AND NOT trained_won) AS neither_won
    FROM paired_evaluations GROUP BY ALL
)
SELECT
    *, (both_won + only_warmup_won) / n AS warmup_rate, (both_won + only_trained_won) / n AS trained_rate,
    (only_trained_won - only_warmup_won) / n AS change,
    paired_low(n, both_won + only_warmup_won, both_won + only_trained_won, both_won) AS low,
    paired_high(n, both_won + only_warmup_won, both_won + only_trained_won, both_won) AS high
FROM counts
ORDER BY run_id, round, split, start_place(start), task_type;
COMMENT ON VIEW success_change_by_task_type IS
    'What training changed on each kind of task: success_change by task_type';

CREATE OR REPLACE VIEW success_change AS
WITH counts AS (
    SELECT
        run_id, round, split, start, sum(n)::BIGINT AS n, sum(both_won)::BIGINT AS both_won,
        sum(only_warmup_won)::BIGINT AS only_warmup_won, sum(only_trained_won)::BIGINT AS only_trained_won,
        sum(neither_won)::BIGINT AS neither_won
    FROM success_change_by_task_type GROUP BY ALL
)
SELECT
    *, (both_won + only_warmup_won) / n AS warmup_rate, (both_won + only_trained_won) / n AS trained_rate,
    (only_trained_won - only_warmup_won) / n AS change,
    paired_low(n, both_won + only_warmup_won, both_won + only_trained_won, both_won) AS low,
    paired_high(n, both_won + only_warmup_won, both_won + only_trained_won, both_won) AS high
FROM counts
ORDER BY run_id, round, split, start_place(start);
COMMENT ON VIEW success_change IS
    'What training changed: the trained policy of each round compared with the warm-up policy on the same tasks, with the 95 % interval of the difference for paired shares (Newcombe 1998, method 10)';
COMMENT ON COLUMN success_change.n IS 'Tasks that both policies played';
COMMENT ON COLUMN success_change.both_won IS 'Tasks that both policies won';
COMMENT ON COLUMN success_change.only_warmup_won IS 'Tasks that only the warm-up policy won';
COMMENT ON COLUMN success_change.only_trained_won IS 'Tasks that only the trained policy won';
COMMENT ON COLUMN success_change.neither_won IS 'Tasks that neither policy won';
COMMENT ON COLUMN success_change.warmup_rate IS 'Success rate of the warm-up policy on these tasks';
COMMENT ON COLUMN success_change.trained_rate IS 'Success rate of the trained policy on these tasks';
COMMENT ON COLUMN success_change.change IS 'trained_rate - warmup_rate';
COMMENT ON COLUMN success_change.low IS 'Lower end of the 95 % interval of the change';
COMMENT ON COLUMN success_change.high IS 'Upper end of the 95 % interval of the change';

CREATE OR REPLACE VIEW recovery_after_invalid AS
SELECT
    run_id, round, checkpoint, role, split, start, count(*) AS episodes,
    count_if(invalid_actions > 0) AS met_invalid,
    count_if(invalid_actions > 0 AND success) AS recovered,
    recovered / nullif(met_invalid, 0) AS rate,
    wilson_low(recovered, met_invalid) AS low, wilson_high(recovered, met_invalid) AS high
FROM run_evaluations GROUP BY run_id, round, checkpoint, role, split, start
ORDER BY run_id, round, split, start_place(start), role DESC;
COMMENT ON VIEW recovery_after_invalid IS
    'Test episodes that met an invalid action and were still won, with the 95 % Wilson interval of their share';
COMMENT ON COLUMN recovery_after_invalid.episodes IS 'Test episodes';
COMMENT ON COLUMN recovery_after_invalid.met_invalid IS 'Test episodes with at least one action that the environment refused';
COMMENT ON COLUMN recovery_after_invalid.recovered IS 'Of these, episodes that reached the goal';
COMMENT ON COLUMN recovery_after_invalid.rate IS 'recovered / met_invalid; NULL where no episode met an invalid action';
