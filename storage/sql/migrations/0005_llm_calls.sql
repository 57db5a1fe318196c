-- Calls of language models behind an API, and what served policies and reflectors add to other rows.

CREATE TABLE llm_calls (
    call_id VARCHAR NOT NULL,
    purpose VARCHAR NOT NULL,
    request_id VARCHAR NOT NULL,
    model VARCHAR NOT NULL,
    served_model VARCHAR NOT NULL,
    server VARCHAR NOT NULL,
    started_at VARCHAR NOT NULL,
    latency DOUBLE NOT NULL,
    waited DOUBLE NOT NULL,
    retries BIGINT NOT NULL,
    faults VARCHAR[] NOT NULL,
    prompt_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    completion_tokens BIGINT NOT NULL,
    finish VARCHAR NOT NULL,
    ok BOOLEAN NOT NULL,
    usd DOUBLE,
    provenance VARCHAR NOT NULL,
    PRIMARY KEY (call_id)
);
COMMENT ON TABLE llm_calls IS 'One answered or given-up request to a language model behind an API; a reply that is used again is one row';
COMMENT ON COLUMN llm_calls.call_id IS 'Content id of the call';
COMMENT ON COLUMN llm_calls.purpose IS 'What the reply was for';
COMMENT ON COLUMN llm_calls.request_id IS 'Content id of model and request: equal requests share it';
COMMENT ON COLUMN llm_calls.model IS 'What was asked for: a checkpoint''s digest, or a provider''s model';
COMMENT ON COLUMN llm_calls.served_model IS 'What the server called itself';
COMMENT ON COLUMN llm_calls.server IS 'Host and port that answered last';
COMMENT ON COLUMN llm_calls.started_at IS 'When the first try began, UTC';
COMMENT ON COLUMN llm_calls.latency IS 'Seconds from sending to the answer, of the last try';
COMMENT ON COLUMN llm_calls.waited IS 'Seconds from the first try to the answer, pauses included';
COMMENT ON COLUMN llm_calls.retries IS 'Tries that failed before';
COMMENT ON COLUMN llm_calls.faults IS 'What each failed try met, in order';
COMMENT ON COLUMN llm_calls.prompt_tokens IS 'Input tokens, as the server counted them';
COMMENT ON COLUMN llm_calls.cached_tokens IS 'Of these, tokens that the server had cached';
COMMENT ON COLUMN llm_calls.completion_tokens IS 'Generated tokens';
COMMENT ON COLUMN llm_calls.finish IS 'stop or length; empty where there was no answer';
COMMENT ON COLUMN llm_calls.ok IS 'FALSE where the request was given up';
COMMENT ON COLUMN llm_calls.usd IS 'Price by budget.prices; NULL where the model has none';
COMMENT ON COLUMN llm_calls.provenance IS 'Which batches produced the row: join provenance_batches, or run_provenance for its runs';

ALTER TABLE trajectories ADD COLUMN constrained BOOLEAN;
ALTER TABLE rollouts ADD COLUMN constrained BOOLEAN;
ALTER TABLE calibrations ADD COLUMN attempts BIGINT;
COMMENT ON COLUMN trajectories.constrained IS 'TRUE where the policy could write admissible actions only; NULL where it wrote freely';
COMMENT ON COLUMN rollouts.constrained IS 'TRUE where the policy could write admissible actions only; NULL where it wrote freely';
COMMENT ON COLUMN calibrations.attempts IS 'Replies that a language model was asked for; NULL where none was';
