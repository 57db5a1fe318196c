-- FROM lineage('ID'): everything behind a training example, one row a rollout. ID may also be a preference pair's (its
-- trajectory is then the chosen side's), a calibration's or a deviation's. From left to right: example -> task, trajectory and runs -> calibration -> verdict -> exploration and
-- its checkpoint -> the three scored turns (`side`: reference, expert, explored) and their scorer -> the rollouts that
-- the verdict used. An example without a deviation (an expert run, a success of its own) has one row, NULL from the
-- verdict on. An unknown id is an error.
CREATE OR REPLACE MACRO lineage(id) AS TABLE
WITH found AS (
    SELECT
        e.example_id, e.dataset, e.weight, e.target_from, e.distance, e.contrast_trajectory_id,
        e.trajectory_id, e.task_id, e.calibration_id, coalesce(e.deviation_id, c.deviation_id) AS deviation_id, e.provenance
    FROM training_examples e LEFT JOIN calibrations c ON c.calibration_id = e.calibration_id
    WHERE e.example_id = id
    UNION ALL BY NAME
    SELECT
        p.pair_id, p.method, p.kind AS pair_kind, p.chosen_from, p.chosen_to, p.chosen_rollout_id,
        p.rejected_trajectory_id, p.rejected_from, p.rejected_to, p.chosen_reward, p.rejected_reward, p.margin,
        p.chosen_trajectory_id AS trajectory_id, p.rejected_trajectory_id AS contrast_trajectory_id, p.task_id,
        (
            SELECT min(c.calibration_id) FROM calibrations c
            WHERE c.trajectory_id = p.chosen_trajectory_id AND c.deviation_id = p.deviation_id
        ) AS calibration_id,
        p.deviation_id, p.provenance
    FROM preference_pairs p WHERE p.pair_id = id
    UNION ALL BY NAME
    SELECT c.trajectory_id, c.task_id, c.calibration_id, c.deviation_id, c.provenance
    FROM calibrations c WHERE c.calibration_id = id
    UNION ALL BY NAME
    SELECT d.explored_trajectory_id AS trajectory_id, d.task_id, d.deviation_id, d.provenance
    FROM deviations d WHERE d.deviation_id = id
), roots AS (
    FROM found
    UNION ALL BY NAME
    SELECT NULL::VARCHAR AS trajectory_id FROM (SELECT count(*) AS n FROM found) c
    WHERE CASE WHEN c.n = 0 THEN error(
        'no training example, preference pair, calibration or deviation has the id ' || id
        || ': give a whole id, or use `steca trace`, which takes its first letters'
    )::BOOLEAN ELSE false END
), scored AS (
    SELECT deviation_id, 'reference' AS side, expert_trajectory_id AS trajectory_id, step_index - 1 AS step_index,
        reference_step_reward_id AS step_reward_id, reference_reward AS reward, reference_n AS n
    FROM deviations WHERE reference_step_reward_id IS NOT NULL
    UNION ALL BY NAME
    SELECT deviation_id, 'expert' AS side, expert_trajectory_id AS trajectory_id, step_index,
        expert_step_reward_id AS step_reward_id, expert_reward AS reward, expert_n AS n
    FROM deviations WHERE expert_step_reward_id IS NOT NULL
    UNION ALL BY NAME
    SELECT deviation_id, 'explored' AS side, explored_trajectory_id AS trajectory_id, step_index,
        explored_step_reward_id AS step_reward_id, explored_reward AS reward, explored_n AS n
    FROM deviations WHERE explored_step_reward_id IS NOT NULL
), turns AS (
    FROM scored SEMI JOIN roots USING (deviation_id)
), evidence AS (  -- inner joins first: only they keep a query for one id from reading whole tables
    SELECT o.*, o.rollout_id IN (SELECT c.used FROM rollout_conflicts c) AS played_again
    FROM distinct_rollouts o SEMI JOIN turns USING (step_reward_id)
), written AS (
    SELECT a.trajectory_id, a.step_index, a.action FROM steps a SEMI JOIN turns USING (trajectory_id, step_index)
), decided AS (
    SELECT
        r.example_id, r.dataset, r.weight, r.target_from, r.distance,
        r.task_id, k.task_type, k.split, k.instruction,
        r.trajectory_id, t.kind AS trajectory_kind, t.checkpoint AS trajectory_checkpoint,
        (
            SELECT list({'run_id': p.run_id, 'round': p.round, 'config_digest': n.config_digest} ORDER BY p.run_id, p.round)
            FROM run_provenance p JOIN run_configs n ON n.run_id = p.run_id WHERE p.provenance = r.provenance
        ) AS runs,
        r.calibration_id, c.reflector, c.reflection, c.required_action, c.plan, c.kept, c.rejection, c.rejection_detail,
        (
            SELECT list(
                {'run_id': p.run_id, 'round': p.round, 'choose': q.choose, 'rank': q.rank, 'expected_gap': q.expected_gap}
                ORDER BY p.run_id, p.round
            )
            FROM repair_choices q JOIN run_provenance p ON p.provenance = q.provenance
            WHERE q.deviation_id = r.deviation_id AND q.chosen
        ) AS choices,
        (
            SELECT list({'label': g.label, 'reason': g.reason, 'model': g.model} ORDER BY g.model, g.judgement_id)
            FROM judgements g
            WHERE g.trajectory_id = d.explored_trajectory_id AND g.step_index = d.step_index
        ) AS judgements,
        r.deviation_id, d.step_index, d.expert_action, d.explored_action, d.preset, d.delta, d.compared_outcome AS compared,
        d.gap, d.gap_low, d.gap_high, d.error_rate, d.drop_probability, d.verdict, d.rule, d.expert_beats_explored, d.selected,
        d.expert_is_better,  -- old name
        d.expert_trajectory_id, x.trajectory_id AS explored_trajectory_id, x.prefix_steps, x.n_steps AS explored_steps,
        x.success AS explored_success, x.end_reason AS explored_end,
        x.checkpoint AS explorer, y.role AS explorer_role, y.round AS explorer_round,
        r.pair_id, r.method, r.pair_kind, r.chosen_from, r.chosen_to, r.chosen_rollout_id, r.rejected_trajectory_id,
        r.rejected_from, r.rejected_to, r.chosen_reward, r.rejected_reward, r.margin
    FROM roots r
    LEFT JOIN tasks k ON k.task_id = r.task_id
    LEFT JOIN trajectories t ON t.trajectory_id = r.trajectory_id
    LEFT JOIN calibrations c ON c.calibration_id = r.calibration_id
    LEFT JOIN deviations d ON d.deviation_id = r.deviation_id
    LEFT JOIN trajectories x ON x.kind = 'explored' AND x.trajectory_id = coalesce(
        d.explored_trajectory_id,
        CASE WHEN t.kind = 'explored' THEN r.trajectory_id ELSE r.contrast_trajectory_id END
    )
    LEFT JOIN policies y ON y.digest = x.checkpoint
)
SELECT
    d.* EXCLUDE (expert_is_better),
    w.side, w.step_reward_id, w.step_index AS turn_index, a.action AS turn_action, w.reward, w.n,
    s.outcome AS known_outcome, s.checkpoint AS scorer, z.role AS scorer_role, z.round AS scorer_round,
    o.rollout_id, o.sample_index, o.seed, o.temperature, o.top_p, o.outcome AS rollout_outcome,
    o.progress AS rollout_progress, o.n_steps AS rollout_steps, o.tokens AS rollout_tokens, o.end_reason, o.actions,
    o.played_again,
    d.expert_is_better  -- old name
FROM decided d
LEFT JOIN turns w ON w.deviation_id = d.deviation_id
LEFT JOIN written a ON a.trajectory_id = w.trajectory_id AND a.step_index = w.step_index
LEFT JOIN scored_turns s ON s.step_reward_id = w.step_reward_id
    AND s.trajectory_id = w.trajectory_id AND s.step_index = w.step_index
LEFT JOIN policies z ON z.digest = s.checkpoint
-- Later rollouts of the same turn may be there, made for another verdict. Rows of older versions used all.
LEFT JOIN evidence o ON o.step_reward_id = w.step_reward_id AND o.sample_index < coalesce(w.n, o.sample_index + 1)
ORDER BY w.step_index, w.side, o.sample_index;
COMMENT ON MACRO TABLE lineage IS 'Everything behind a training example, a preference pair, a calibration or a deviation, one row a rollout: task, runs, repair, verdict, exploration, the compared turns (side) and their rollouts';
