-- From rows to runs. Every view run_<table> is made from run_provenance (storage/sql/run_views.py).

CREATE OR REPLACE VIEW run_provenance AS
SELECT DISTINCT run_id, round, provenance
FROM run_batches JOIN provenance_batches USING (stage_key, batch_id);
COMMENT ON VIEW run_provenance IS 'From the provenance of a row to the runs and rounds that it belongs to';

CREATE OR REPLACE VIEW stage_provenance AS
SELECT DISTINCT run_id, round, stage, provenance
FROM run_batches JOIN provenance_batches USING (stage_key, batch_id);
COMMENT ON VIEW stage_provenance IS 'From the provenance of a row to the stages of runs whose batches hold it';
COMMENT ON COLUMN stage_provenance.stage IS 'The stage';
