-- How many rows of each kind a run holds.

CREATE OR REPLACE VIEW run_summary AS
WITH members AS (
    SELECT DISTINCT run_id, provenance FROM run_provenance
), counts AS (
    SELECT 'trajectory' AS kind, provenance, count(*) AS n FROM trajectories GROUP BY ALL
    UNION ALL SELECT 'lost', provenance, count(*) FROM trajectories WHERE end_reason = 'environment_fault' GROUP BY ALL
    UNION ALL SELECT 'lost', provenance, count(*) FROM rollouts WHERE end_reason = 'environment_fault' GROUP BY ALL
    UNION ALL SELECT 'step', provenance, count(*) FROM steps GROUP BY ALL
    UNION ALL SELECT 'rollout', provenance, count(*) FROM rollouts GROUP BY ALL
    UNION ALL SELECT 'step_reward', provenance, count(*) FROM scored_turns GROUP BY ALL
    UNION ALL SELECT verdict, provenance, count(*) FROM deviations GROUP BY ALL
    UNION ALL SELECT 'selected', provenance, count(*) FROM deviations WHERE selected GROUP BY ALL
    UNION ALL SELECT CASE WHEN kept THEN 'kept' ELSE 'rejected' END, provenance, count(*) FROM calibrations GROUP BY ALL
    UNION ALL SELECT 'set ' || dataset, provenance, count(*) FROM training_examples GROUP BY ALL
    UNION ALL SELECT 'pair', provenance, count(*) FROM preference_pairs GROUP BY ALL
    UNION ALL SELECT 'evaluation', provenance, count(*) FROM evaluations GROUP BY ALL
), sums AS (
    SELECT run_id, map_from_entries(list((kind, n))) AS n
    FROM (SELECT run_id, kind, sum(n)::BIGINT AS n FROM members JOIN counts USING (provenance) GROUP BY ALL)
    GROUP BY run_id
)
SELECT
    run_id, name, created_at,
    coalesce(n['trajectory'], 0) AS trajectories, coalesce(n['step'], 0) AS steps,
    coalesce(n['rollout'], 0) AS rollouts, coalesce(n['step_reward'], 0) AS step_rewards,
    coalesce(n['deviated'], 0) AS deviated, coalesce(n['not_deviated'], 0) AS not_deviated,
    coalesce(n['undecided'], 0) AS undecided, coalesce(n['filtered'], 0) AS filtered, coalesce(n['selected'], 0) AS selected,
    coalesce(n['kept'], 0) AS calibrations_kept, coalesce(n['rejected'], 0) AS calibrations_rejected,
    coalesce(n['set calibrated'], 0) AS examples_calibrated,
    coalesce(n['set explored_success'], 0) AS examples_explored_success,
    coalesce(n['set expert_suffix'], 0) AS examples_expert_suffix,
    coalesce(n['set expert'], 0) AS examples_expert,
    coalesce(n['evaluation'], 0) AS evaluations,
    coalesce(n['set sampled_success'], 0) AS examples_sampled_success,
    coalesce(n['pair'], 0) AS preference_pairs,
    coalesce(n['lost'], 0) AS lost_episodes
FROM run_configs LEFT JOIN sums USING (run_id);
COMMENT ON VIEW run_summary IS
    'One row a run: how many trajectories, rollouts, verdicts, calibrations and training examples it holds';
COMMENT ON COLUMN run_summary.trajectories IS 'Trajectories of any kind';
COMMENT ON COLUMN run_summary.steps IS 'Turns of these trajectories (checkpoints.steps: steps of the optimizer)';
COMMENT ON COLUMN run_summary.rollouts IS 'Monte-Carlo rollouts';
COMMENT ON COLUMN run_summary.step_rewards IS 'Scored turns';
COMMENT ON COLUMN run_summary.deviated IS 'Comparisons with the verdict deviated';
COMMENT ON COLUMN run_summary.not_deviated IS 'Comparisons with the verdict not_deviated';
COMMENT ON COLUMN run_summary.undecided IS 'Comparisons with the verdict undecided: the rollouts tell neither';
COMMENT ON COLUMN run_summary.filtered IS 'Comparisons that a filter excluded';
COMMENT ON COLUMN run_summary.selected IS 'Deviations that the rule selects for calibration: at most one a task where it takes only the first. What was repaired, if calibration.choose or calibration.repairs is set: repaired_turns';
COMMENT ON COLUMN run_summary.calibrations_kept IS 'Repairs that were executed to success';
COMMENT ON COLUMN run_summary.calibrations_rejected IS 'Repairs that were not kept';
COMMENT ON COLUMN run_summary.examples_calibrated IS 'Training examples of D_c: calibrated trajectories';
COMMENT ON COLUMN run_summary.examples_explored_success IS 'Training examples of D_e: explorations that succeeded';
COMMENT ON COLUMN run_summary.examples_expert_suffix IS 'Training examples of D_s: the expert''s turns where the exploration failed';
COMMENT ON COLUMN run_summary.examples_expert IS 'Training examples that are whole expert runs';
COMMENT ON COLUMN run_summary.evaluations IS 'Test episodes';
COMMENT ON COLUMN run_summary.examples_sampled_success IS 'Training examples that are successful sampled runs';
COMMENT ON COLUMN run_summary.preference_pairs IS 'Preference pairs';
COMMENT ON COLUMN run_summary.lost_episodes IS 'Trajectories and rollouts that the world could not continue (end_reason environment_fault)';
