-- Where rows come from. A migration that was published is never edited: add the next number instead.
-- Ids are content hashes. `provenance` leads from every row to the batches, stages and runs that produced it.

CREATE TABLE schema_version (version INTEGER PRIMARY KEY);
COMMENT ON TABLE schema_version IS 'Migrations that this database has';
COMMENT ON COLUMN schema_version.version IS 'Number of the migration';

CREATE TABLE ingested_batches (
    stage_key VARCHAR NOT NULL,
    batch_id VARCHAR NOT NULL,
    manifest VARCHAR NOT NULL,
    sha256 VARCHAR NOT NULL,
    PRIMARY KEY (stage_key, batch_id)
);
COMMENT ON TABLE ingested_batches IS 'Batches of shards that are in the tables';
COMMENT ON COLUMN ingested_batches.stage_key IS 'Digest of everything that decides what the stage gives';
COMMENT ON COLUMN ingested_batches.batch_id IS 'Which part of the work of the stage';
COMMENT ON COLUMN ingested_batches.manifest IS 'Manifest file, relative to the data folder';
COMMENT ON COLUMN ingested_batches.sha256 IS 'Digest of the manifest';

CREATE TABLE superseded_batches (
    stage_key VARCHAR NOT NULL,
    batch_id VARCHAR NOT NULL,
    manifest VARCHAR NOT NULL,
    sha256 VARCHAR NOT NULL,
    PRIMARY KEY (stage_key, batch_id, sha256)
);
COMMENT ON TABLE superseded_batches IS 'Batches whose rows a forced redo replaced; their shards are still on disk';
COMMENT ON COLUMN superseded_batches.stage_key IS 'Stage inputs of the batch';
COMMENT ON COLUMN superseded_batches.batch_id IS 'Which part of the work of the stage';
COMMENT ON COLUMN superseded_batches.manifest IS 'Where the replaced manifest was kept';
COMMENT ON COLUMN superseded_batches.sha256 IS 'Digest of the replaced manifest';

CREATE TABLE provenance_batches (
    provenance VARCHAR NOT NULL,
    stage_key VARCHAR NOT NULL,
    batch_id VARCHAR NOT NULL,
    PRIMARY KEY (provenance, stage_key, batch_id)
);
COMMENT ON TABLE provenance_batches IS 'The batches behind a provenance: one, or several that gave the very same row';
COMMENT ON COLUMN provenance_batches.provenance IS 'The provenance column of the rows';
COMMENT ON COLUMN provenance_batches.stage_key IS 'Stage inputs of the batch';
COMMENT ON COLUMN provenance_batches.batch_id IS 'Which part of the work of the stage';

CREATE TABLE runs (
    run_id VARCHAR PRIMARY KEY,
    name VARCHAR NOT NULL,
    config JSON NOT NULL,
    config_digest VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL,
    package_version VARCHAR NOT NULL
);
COMMENT ON TABLE runs IS 'One configuration, run once or many times';
COMMENT ON COLUMN runs.run_id IS 'Name of the run';
COMMENT ON COLUMN runs.name IS 'Name in the configuration';
COMMENT ON COLUMN runs.config IS 'The whole configuration';
COMMENT ON COLUMN runs.config_digest IS 'Content id of the configuration';
COMMENT ON COLUMN runs.created_at IS 'When the run was first begun, UTC';
COMMENT ON COLUMN runs.package_version IS 'Version of the project that began it';

CREATE TABLE run_stages (
    run_id VARCHAR NOT NULL,
    round BIGINT NOT NULL,
    stage VARCHAR NOT NULL,
    stage_key VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    started_at TIMESTAMP NOT NULL,
    ended_at TIMESTAMP,
    seconds DOUBLE,
    batches BIGINT NOT NULL,
    cached_batches BIGINT NOT NULL,
    checkpoint VARCHAR,
    error VARCHAR,
    flow_run_id VARCHAR,
    PRIMARY KEY (run_id, round, stage)
);
COMMENT ON TABLE run_stages IS 'How far each stage of each run came';
COMMENT ON COLUMN run_stages.run_id IS 'The run';
COMMENT ON COLUMN run_stages.round IS 'Round of explore, calibrate and train';
COMMENT ON COLUMN run_stages.stage IS 'Name of the stage';
COMMENT ON COLUMN run_stages.stage_key IS 'Digest of everything that decides what the stage gives';
COMMENT ON COLUMN run_stages.status IS 'running, completed, failed or crashed';
COMMENT ON COLUMN run_stages.started_at IS 'UTC';
COMMENT ON COLUMN run_stages.ended_at IS 'UTC; NULL while it runs';
COMMENT ON COLUMN run_stages.seconds IS 'Wall-clock time';
COMMENT ON COLUMN run_stages.batches IS 'Batches of the stage, cached ones included';
COMMENT ON COLUMN run_stages.cached_batches IS 'Batches that came from the cache';
COMMENT ON COLUMN run_stages.checkpoint IS 'Digest of the policy that the stage trained or used';
COMMENT ON COLUMN run_stages.error IS 'Why it failed';
COMMENT ON COLUMN run_stages.flow_run_id IS 'Prefect flow run';

CREATE TABLE run_batches (
    run_id VARCHAR NOT NULL,
    round BIGINT NOT NULL,
    stage VARCHAR NOT NULL,
    stage_key VARCHAR NOT NULL,
    batch_id VARCHAR NOT NULL,
    sha256 VARCHAR NOT NULL,
    PRIMARY KEY (run_id, round, stage, stage_key, batch_id)
);
COMMENT ON TABLE run_batches IS 'Batches that each run is made of; runs share cached ones';
COMMENT ON COLUMN run_batches.run_id IS 'The run';
COMMENT ON COLUMN run_batches.round IS 'Round of explore, calibrate and train';
COMMENT ON COLUMN run_batches.stage IS 'Name of the stage';
COMMENT ON COLUMN run_batches.stage_key IS 'Stage inputs of the batch';
COMMENT ON COLUMN run_batches.batch_id IS 'Which part of the work of the stage';
COMMENT ON COLUMN run_batches.sha256 IS 'Manifest the run saw; another one in ingested_batches means redone since';
