-- What is said of tables that no record describes, in the words of today: a migration's words stay as they were written.

COMMENT ON TABLE deviations IS 'ALL comparisons of an explored turn with the expert''s, deviated or not: count with WHERE verdict = ''deviated'', or use the view deviated_turns';

COMMENT ON COLUMN run_configs.run_id IS 'Id of the run: its name and a digest of its settings';
COMMENT ON COLUMN run_batches.run_id IS 'Id of the run: its name and a digest of its settings';
COMMENT ON COLUMN run_stages.run_id IS 'Id of the run: its name and a digest of its settings';

COMMENT ON COLUMN run_batches.round IS 'Round of explore, rewards, calibrate, train and evaluate; 0 for the stages before the rounds';
COMMENT ON COLUMN run_stages.round IS 'Round of explore, rewards, calibrate, train and evaluate; 0 for the stages before the rounds';

COMMENT ON COLUMN ingested_batches.stage_key IS 'Digest of the task''s name and version, its settings, checkpoint and world; not of its input rows. run_stages.stage_key is another one';
COMMENT ON COLUMN superseded_batches.stage_key IS 'As ingested_batches.stage_key';
COMMENT ON COLUMN provenance_batches.stage_key IS 'As ingested_batches.stage_key';
COMMENT ON COLUMN run_batches.stage_key IS 'As ingested_batches.stage_key; run_stages.stage_key is another one';
COMMENT ON COLUMN set_aside_batches.stage_key IS 'As ingested_batches.stage_key';
COMMENT ON COLUMN run_stages.stage_key IS 'Digest of the stage''s name and of the stage keys of its batches: equal where two runs do the same work. Not the stage_key of ingested_batches and run_batches';

COMMENT ON COLUMN run_stages.rollouts_paid IS 'Rollouts that the run has paid for from its start to the end of this stage (stage_costs.rollouts_paid: in this round only); reused ones cost nothing';
