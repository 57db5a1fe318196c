-- No run can spoil the store: what cannot be ingested is set aside, equal weights and rollouts may be made twice.

CREATE TABLE set_aside_batches (
    stage_key VARCHAR NOT NULL,
    batch_id VARCHAR NOT NULL,
    manifest VARCHAR NOT NULL,
    sha256 VARCHAR,
    reason VARCHAR NOT NULL,
    PRIMARY KEY (manifest)
);
COMMENT ON TABLE set_aside_batches IS 'Batches that could not be ingested: none of their rows are in the tables. Every ingest tries them again';
COMMENT ON COLUMN set_aside_batches.stage_key IS 'Stage inputs of the batch';
COMMENT ON COLUMN set_aside_batches.batch_id IS 'Which part of the work of the stage';
COMMENT ON COLUMN set_aside_batches.manifest IS 'Manifest file, relative to the data folder';
COMMENT ON COLUMN set_aside_batches.sha256 IS 'Digest of the manifest; NULL where it cannot be read';
COMMENT ON COLUMN set_aside_batches.reason IS 'What is wrong, and what to do';

CREATE TABLE set_aside_files (
    file VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    PRIMARY KEY (file)
);
COMMENT ON TABLE set_aside_files IS 'Run files, and manifests of replaced batches, that could not be read: the tables lack what they say';
COMMENT ON COLUMN set_aside_files.file IS 'The file, relative to the data folder';
COMMENT ON COLUMN set_aside_files.reason IS 'What is wrong, and what to do';

CREATE TABLE rollout_conflicts (
    rollout_id VARCHAR NOT NULL,
    step_reward_id VARCHAR NOT NULL,
    sample_index BIGINT NOT NULL,
    used VARCHAR NOT NULL,
    PRIMARY KEY (rollout_id)
);
COMMENT ON TABLE rollout_conflicts IS 'Rollouts that were played again with another result: step rewards, lineage and what_if use the other one';
COMMENT ON COLUMN rollout_conflicts.rollout_id IS 'The rollout that is not used; the table rollouts has it';
COMMENT ON COLUMN rollout_conflicts.step_reward_id IS 'The step reward that both are of';
COMMENT ON COLUMN rollout_conflicts.sample_index IS 'Their position in its random stream';
COMMENT ON COLUMN rollout_conflicts.used IS 'The rollout that is used: of equal draws, the one with the smallest id';

COMMENT ON TABLE rollouts IS 'One Monte-Carlo continuation after a scored turn; the view distinct_rollouts has what step rewards are made of';

-- Trainings get an id of their own, as several may give equal weights. It is made of the rows, so the next ingest loads
-- them again.
DELETE FROM ingested_batches WHERE (stage_key, batch_id) IN (
    SELECT (stage_key, batch_id) FROM provenance_batches SEMI JOIN checkpoints USING (provenance)
);
DROP TABLE checkpoints;
CREATE TABLE checkpoints (
    training_id VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    path VARCHAR NOT NULL,
    parent VARCHAR,
    role VARCHAR NOT NULL,
    round BIGINT NOT NULL,
    examples BIGINT NOT NULL,
    steps BIGINT NOT NULL,
    target_tokens BIGINT NOT NULL,
    final_loss DOUBLE NOT NULL,
    losses DOUBLE[] NOT NULL,
    parameters BIGINT NOT NULL,
    learning_rates DOUBLE[],
    gradient_norms DOUBLE[],
    provenance VARCHAR NOT NULL,
    PRIMARY KEY (training_id)
);
COMMENT ON TABLE checkpoints IS 'One training and the policy that it gave. Trainings may give equal weights: the view policies has each once';
COMMENT ON COLUMN checkpoints.training_id IS 'Content id of the row';
COMMENT ON COLUMN checkpoints.digest IS 'Content id of the weights; trainings that gave the same ones share it';
COMMENT ON COLUMN checkpoints.path IS 'Folder of the checkpoint';
COMMENT ON COLUMN checkpoints.parent IS 'Digest it was trained from; NULL where from scratch';
COMMENT ON COLUMN checkpoints.role IS 'warmup or trained';
COMMENT ON COLUMN checkpoints.round IS 'Round that trained it; 0 for the warm-up';
COMMENT ON COLUMN checkpoints.examples IS 'Training examples seen at least once';
COMMENT ON COLUMN checkpoints.steps IS 'Optimizer steps';
COMMENT ON COLUMN checkpoints.target_tokens IS 'Tokens trained on';
COMMENT ON COLUMN checkpoints.final_loss IS 'Last logged training loss';
COMMENT ON COLUMN checkpoints.losses IS 'Training loss at each logged step';
COMMENT ON COLUMN checkpoints.parameters IS 'Trainable parameters';
COMMENT ON COLUMN checkpoints.learning_rates IS 'Learning rate of each step; NULL where an older version trained';
COMMENT ON COLUMN checkpoints.gradient_norms IS 'Norm of each step''s gradient before clipping; NULL where an older version trained';
COMMENT ON COLUMN checkpoints.provenance IS 'Which batches produced the row: join provenance_batches, or run_provenance for its runs';

-- Why a repair was rejected was one text, `reason: detail`.
ALTER TABLE calibrations ADD COLUMN rejection_detail VARCHAR;
UPDATE calibrations SET
    rejection = split_part(rejection, ': ', 1), rejection_detail = substr(rejection, strpos(rejection, ': ') + 2)
WHERE contains(rejection, ': ');
COMMENT ON COLUMN calibrations.rejection IS 'Why it was not kept, as one word, e.g. no_plan; NULL where it was';
COMMENT ON COLUMN calibrations.rejection_detail IS 'The same in words; NULL where it was kept';

COMMENT ON COLUMN run_stages.stage_key IS 'Digest of the name of the stage and of its batches'' stage keys: equal where two runs do the same work. It is no stage key of run_batches';
COMMENT ON COLUMN run_stages.status IS 'running, completed, failed, crashed or outdated';
COMMENT ON COLUMN run_stages.ended_at IS 'UTC; NULL while it runs, and where its process was killed';
