-- What language models say of explored turns.

CREATE TABLE judgements (
    judgement_id VARCHAR NOT NULL,
    task_id VARCHAR NOT NULL,
    trajectory_id VARCHAR NOT NULL,
    step_index BIGINT NOT NULL,
    label VARCHAR,
    reason VARCHAR NOT NULL,
    model VARCHAR NOT NULL,
    attempts BIGINT NOT NULL,
    provenance VARCHAR NOT NULL,
    PRIMARY KEY (judgement_id)
);
COMMENT ON TABLE judgements IS 'What a language model says of an explored turn, good or bad, and why; empty unless deviation.preset is judge or judge.ask is always';
COMMENT ON COLUMN judgements.judgement_id IS 'Content id of the row';
COMMENT ON COLUMN judgements.task_id IS 'Task of the turn';
COMMENT ON COLUMN judgements.provenance IS 'Which batches produced the row: join provenance_batches, or run_provenance for its runs';
