-- Preference pairs of the baselines, sampled runs, and the text that a rollout began with.

CREATE TABLE preference_pairs (
    pair_id VARCHAR NOT NULL,
    method VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    task_id VARCHAR NOT NULL,
    chosen_trajectory_id VARCHAR NOT NULL,
    chosen_from BIGINT NOT NULL,
    chosen_to BIGINT NOT NULL,
    chosen_rollout_id VARCHAR,
    rejected_trajectory_id VARCHAR NOT NULL,
    rejected_from BIGINT NOT NULL,
    rejected_to BIGINT NOT NULL,
    deviation_id VARCHAR,
    chosen_reward DOUBLE,
    rejected_reward DOUBLE,
    margin DOUBLE,
    provenance VARCHAR NOT NULL,
    PRIMARY KEY (pair_id)
);
COMMENT ON TABLE preference_pairs IS 'One preference pair a row: after the same history, the steps of one side are preferred to those of the other';
COMMENT ON COLUMN preference_pairs.pair_id IS 'Content id of the pair';
COMMENT ON COLUMN preference_pairs.task_id IS 'Task of both sides';
COMMENT ON COLUMN preference_pairs.provenance IS 'Which batches produced the row: join provenance_batches, or run_provenance for its runs';

ALTER TABLE trajectories ADD COLUMN sample_index BIGINT;
ALTER TABLE trajectories ADD COLUMN temperature DOUBLE;
ALTER TABLE trajectories ADD COLUMN seed BIGINT;
ALTER TABLE rollouts ADD COLUMN first_turn VARCHAR;
