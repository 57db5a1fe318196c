-- Step rewards become a view over the stored rollouts; verdicts say which evidence they were decided on.

CREATE TABLE scored_turns (
    step_reward_id VARCHAR NOT NULL,
    trajectory_id VARCHAR NOT NULL,
    step_index BIGINT NOT NULL,
    task_id VARCHAR NOT NULL,
    side VARCHAR NOT NULL,
    checkpoint VARCHAR NOT NULL,
    outcome DOUBLE,
    progress DOUBLE,
    provenance VARCHAR NOT NULL,
    PRIMARY KEY (step_reward_id, trajectory_id, step_index)
);
COMMENT ON TABLE scored_turns IS 'A turn whose value was wanted; the view step_rewards has the values';
COMMENT ON COLUMN scored_turns.step_reward_id IS 'Content id of the history up to the turn, the scorer and the sampling: equal histories share it';
COMMENT ON COLUMN scored_turns.trajectory_id IS 'Trajectory that holds the scored turn';
COMMENT ON COLUMN scored_turns.step_index IS 'The scored turn, 0-based';
COMMENT ON COLUMN scored_turns.task_id IS 'Task of the scored turn';
COMMENT ON COLUMN scored_turns.side IS 'Whose turn it is';
COMMENT ON COLUMN scored_turns.checkpoint IS 'Digest of the scorer policy';
COMMENT ON COLUMN scored_turns.outcome IS 'True outcome of a turn that ended the episode, else NULL';
COMMENT ON COLUMN scored_turns.progress IS 'Progress at the end of an episode that the turn ended';
COMMENT ON COLUMN scored_turns.provenance IS 'Which batches produced the row: join provenance_batches, or run_provenance for its runs';

INSERT INTO scored_turns BY NAME
SELECT
    step_reward_id, trajectory_id, step_index, task_id, side, checkpoint,
    CASE WHEN terminal THEN reward END AS outcome, CASE WHEN terminal THEN progress END AS progress, provenance
FROM step_rewards;
DROP VIEW IF EXISTS step_reward_gaps;
DROP TABLE step_rewards;

COMMENT ON COLUMN rollouts.step_reward_id IS 'The history that it continues, the scorer and the sampling';
COMMENT ON COLUMN rollouts.sample_index IS 'Position in the random stream of its step reward, from 0';

ALTER TABLE deviations ADD COLUMN explored_success BOOLEAN;
ALTER TABLE deviations ADD COLUMN similarity DOUBLE;
ALTER TABLE deviations ADD COLUMN continues BOOLEAN;
ALTER TABLE deviations ADD COLUMN expert_reward DOUBLE;
ALTER TABLE deviations ADD COLUMN reference_n BIGINT;
ALTER TABLE deviations ADD COLUMN expert_n BIGINT;
ALTER TABLE deviations ADD COLUMN explored_n BIGINT;
ALTER TABLE deviations ADD COLUMN gap_low DOUBLE;
ALTER TABLE deviations ADD COLUMN gap_high DOUBLE;
ALTER TABLE deviations ADD COLUMN error_rate DOUBLE;
ALTER TABLE deviations ADD COLUMN expert_is_better VARCHAR;
COMMENT ON COLUMN deviations.explored_success IS 'Whether the explored run reached the goal';
COMMENT ON COLUMN deviations.similarity IS '1 - distance of the two actions, in [0, 1]';
COMMENT ON COLUMN deviations.continues IS 'Whether the agent acted again after the explored turn';
COMMENT ON COLUMN deviations.expert_reward IS 'Reward of the expert turn at the same step';
COMMENT ON COLUMN deviations.reference_n IS 'Rollouts behind reference_reward: the first so many';
COMMENT ON COLUMN deviations.expert_n IS 'Rollouts behind expert_reward: the first so many';
COMMENT ON COLUMN deviations.explored_n IS 'Rollouts behind explored_reward: the first so many';
COMMENT ON COLUMN deviations.gap_low IS 'The true gap is above this, but for error_rate, whenever sampling stopped';
COMMENT ON COLUMN deviations.gap_high IS 'The true gap is below this, but for error_rate, whenever sampling stopped';
COMMENT ON COLUMN deviations.error_rate IS 'Error rate of each end of the gap''s interval';
COMMENT ON COLUMN deviations.expert_is_better IS 'D_s: whether the expert turn beats the explored one; NULL where nothing was compared';
COMMENT ON COLUMN deviations.verdict IS 'deviated, not_deviated, undecided or filtered';

ALTER TABLE run_stages ADD COLUMN stopped VARCHAR;
ALTER TABLE run_stages ADD COLUMN rollouts_paid BIGINT;
ALTER TABLE run_stages ADD COLUMN rollout_tokens BIGINT;
ALTER TABLE run_stages ADD COLUMN rollout_seconds DOUBLE;
ALTER TABLE run_stages ADD COLUMN rollout_usd DOUBLE;
COMMENT ON COLUMN run_stages.stopped IS 'Which budget ended the stage early; NULL where it did all its work';
COMMENT ON COLUMN run_stages.rollouts_paid IS 'Rollouts that the run has paid for so far; reused ones cost nothing';
COMMENT ON COLUMN run_stages.rollout_tokens IS 'Tokens that these rollouts generated';
COMMENT ON COLUMN run_stages.rollout_seconds IS 'Wall-clock time of these rollouts';
COMMENT ON COLUMN run_stages.rollout_usd IS 'Their price, by budget.usd_per_hour and budget.usd_per_million_tokens';
