-- Names of version 0.3, kept until 0.5. Every comment here begins with "Old name of": FROM help WHERE about LIKE 'Old name%'
-- lists them. The columns themselves are marked `-- old name` where they are made.
-- Two things have no old name: `start` in evaluations has other values, and `config` of runs is in run_configs.

-- FROM of_run('trajectories', 'quickstart-ab12'): the rows of one run.
CREATE OR REPLACE MACRO of_run(rows_of, run) AS TABLE
SELECT rows.* FROM query_table(rows_of) AS rows
SEMI JOIN (SELECT provenance FROM run_provenance WHERE run_id = run) USING (provenance);
COMMENT ON MACRO TABLE of_run IS 'Old name of the views run_<table>, until 0.5: FROM run_steps WHERE run_id = ... has the rows of FROM of_run(''steps'', ...), once for each round that holds them';

COMMENT ON COLUMN deviations.expert_is_better IS 'Old name of expert_beats_explored (unknown was undecided), until 0.5';
COMMENT ON COLUMN step_reward_gaps.expert_is_better IS 'Old name of expert_beats_explored (unknown was undecided), until 0.5';
COMMENT ON COLUMN deviations.outcome IS 'Old name of compared_outcome, until 0.5';
COMMENT ON COLUMN step_reward_gaps.outcome IS 'Old name of compared_outcome, until 0.5';
COMMENT ON COLUMN scored_turns.side IS 'Old name of trajectory_kind, until 0.5';
COMMENT ON COLUMN step_rewards.side IS 'Old name of trajectory_kind, until 0.5; compared_turns.side is the side of a comparison';
