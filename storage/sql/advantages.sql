-- GiGPO (Feng et al. 2025): advantages of the turns of sampled runs, from what one policy did in the same task.
--
--     A = A_episode + 1.0 * A_step
--     A_episode = (R - mean) / (std + 1e-6) over all turns of the group's runs, each with the outcome R of its run
--     A_step    = (G - mean) / (std + 1e-6) over an anchor group: turns of the group that saw the same observation
--     G         = sum over k >= t of 0.95^(k-t) r_k, the turn's discounted return
--
-- A group is the sampled runs of one task by one checkpoint at one temperature, in one round of one run. r_k is 0 but for
-- the last turn, whose reward is R, so G = 0.95^(n-1-t) R. std has n - 1 in its denominator, as the authors' code. A turn
-- that nothing can be compared with has advantage 0.

CREATE OR REPLACE VIEW gigpo_advantages AS
WITH turns AS (
    SELECT
        r.run_id, r.round, r.task_id, r.checkpoint, r.temperature, r.trajectory_id, r.sample_index, s.step_index,
        coalesce(b.observation, r.first_observation) AS observation, s.action, r.outcome,
        pow(0.95, r.n_steps - 1 - s.step_index) * r.outcome AS step_return
    FROM run_trajectories r
    JOIN steps s ON s.trajectory_id = r.trajectory_id
    LEFT JOIN steps b ON b.trajectory_id = s.trajectory_id AND b.step_index = s.step_index - 1
    WHERE r.kind = 'sampled'
), compared AS (
    SELECT
        *, count(*) OVER anchor AS anchor_turns,
        coalesce((outcome - avg(outcome) OVER episodes) / (stddev_samp(outcome) OVER episodes + 1e-6), 0)
            AS episode_advantage,
        coalesce((step_return - avg(step_return) OVER anchor) / (stddev_samp(step_return) OVER anchor + 1e-6), 0)
            AS step_advantage
    FROM turns
    WINDOW
        episodes AS (PARTITION BY run_id, round, task_id, checkpoint, temperature),
        anchor AS (PARTITION BY run_id, round, task_id, checkpoint, temperature, observation)
)
SELECT
    run_id, round, task_id, checkpoint, temperature, trajectory_id, sample_index, step_index, action, outcome, step_return,
    anchor_turns, episode_advantage, step_advantage, episode_advantage + 1.0 * step_advantage AS advantage
FROM compared;
COMMENT ON VIEW gigpo_advantages IS
    'One row a turn of a sampled run: its advantage by GiGPO, within the runs of the same task by the same policy. Needs exploration.samples of 2 or more';
COMMENT ON COLUMN gigpo_advantages.outcome IS 'Outcome R of the run that the turn is in';
COMMENT ON COLUMN gigpo_advantages.step_return IS 'Discounted return of the turn: 0.95 to the power of the turns after it, times R';
COMMENT ON COLUMN gigpo_advantages.anchor_turns IS 'Turns of the group that saw the same observation, this one included';
COMMENT ON COLUMN gigpo_advantages.episode_advantage IS 'Normalised R among all turns of the group';
COMMENT ON COLUMN gigpo_advantages.step_advantage IS 'Normalised return among the turns that saw the same observation; 0 where there is no other';
COMMENT ON COLUMN gigpo_advantages.advantage IS 'episode_advantage + step_advantage';
