-- The runs: what each was asked to do, how far it came, what it holds.

CREATE OR REPLACE VIEW runs AS
WITH progress AS (
    SELECT
        run_id, count_if(status = 'completed') AS stages_done,
        count_if(status = 'completed' AND stage = 'evaluate') AS rounds_done,
        first(status ORDER BY round, stage_place(stage)) FILTER (status <> 'completed') AS unfinished
    FROM run_stages GROUP BY ALL
), settings AS (
    SELECT
        *, coalesce((config->>'$.rounds')::BIGINT, 1) AS rounds, len(stage_names()) + (rounds - 1) * stages_in_round() AS stages
    FROM run_configs
)
SELECT
    run_id, name, created_at,
    CASE
        WHEN unfinished IS NOT NULL THEN unfinished
        WHEN stages_done = stages THEN 'completed'
        ELSE 'incomplete'
    END AS status,
    coalesce(stages_done, 0) AS stages_done, stages,
    coalesce(rounds_done, 0) AS rounds_done, rounds, (config->>'$.seed')::BIGINT AS seed,
    config->>'$.environment.name' AS world, coalesce(config->>'$.policy.base', 'small') AS policy,
    config->>'$.rewards.mode' AS mode, config->>'$.deviation.preset' AS preset,
    package_version, config_digest
FROM settings LEFT JOIN progress USING (run_id)
ORDER BY created_at, run_id;
COMMENT ON VIEW runs IS 'One row a run: how far it came, and the settings that tell runs apart. run_settings has all settings';
COMMENT ON COLUMN runs.status IS 'completed, incomplete, or the status of the first stage that is not completed: running, failed, crashed or outdated. A killed run stays running here; steca status tells';
COMMENT ON COLUMN runs.stages_done IS 'Stages that are completed, over all rounds';
COMMENT ON COLUMN runs.stages IS 'Stages that the whole run has, over all rounds';
COMMENT ON COLUMN runs.rounds_done IS 'Rounds whose trained policy was evaluated';
COMMENT ON COLUMN runs.rounds IS 'Rounds of explore, rewards, calibrate, train and evaluate';
COMMENT ON COLUMN runs.seed IS 'Seed of the run';
COMMENT ON COLUMN runs.world IS 'The environment that tasks come from';
COMMENT ON COLUMN runs.policy IS 'Base model of the policy; small: the small model that is trained from scratch';
COMMENT ON COLUMN runs.mode IS 'rewards.mode: how many rollouts a comparison gets';
COMMENT ON COLUMN runs.preset IS 'deviation.preset: the rule that decides deviations';

CREATE OR REPLACE VIEW run_settings AS
SELECT
    run_id, replace(ltrim(t.fullkey, '$.'), '"', '') AS setting,
    CASE WHEN t.type = 'NULL' THEN NULL ELSE coalesce(t.atom->>'$', t.value::VARCHAR) END AS value
FROM run_configs, json_tree(config) t
WHERE t.type <> 'OBJECT' AND NOT regexp_matches(t.fullkey, '\[\d+\]')
ORDER BY run_id, setting;
COMMENT ON VIEW run_settings IS
    'Every setting of every run, as steca config names it; execution and budget are no part of what a run is';
COMMENT ON COLUMN run_settings.setting IS 'Name of the setting, e.g. rewards.mode';
COMMENT ON COLUMN run_settings.value IS 'Its value as text, lists as JSON; NULL where it is not set';

CREATE OR REPLACE VIEW policies AS
SELECT digest, path, parent, role, round, parameters, training_id, trainings FROM (
    SELECT *, count(*) OVER (PARTITION BY digest) AS trainings FROM checkpoints
    QUALIFY row_number() OVER (PARTITION BY digest ORDER BY round, role = 'trained', training_id) = 1
);
COMMENT ON VIEW policies IS
    'Every trained policy once, by its digest, as the first of the trainings that gave it';
COMMENT ON COLUMN policies.training_id IS 'The first training that gave these weights';
COMMENT ON COLUMN policies.trainings IS 'How many trainings gave these very weights';
