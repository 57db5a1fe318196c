-- Names that a reader can guess (storage/sql/store_names.py has the words of the shards). Old names are generated columns
-- until 0.5; what is said of them is in old_names.sql.

ALTER TABLE runs RENAME TO run_configs;
COMMENT ON TABLE run_configs IS 'The whole configuration of each run; the view runs has what tells them apart, run_settings each setting';

UPDATE evaluations SET start = CASE start
    WHEN 'task' THEN 'beginning' WHEN 'forced_deviation' THEN 'after_deviation' WHEN 'forced_control' THEN 'before_deviation'
    ELSE start END;
COMMENT ON COLUMN evaluations.start IS 'Where the episode starts: at the beginning of the task, after_deviation (a forced deviated turn), or before_deviation (the same point without the deviated turn: the control)';

-- deviations.outcome is a word, success or progress, while `outcome` is a number everywhere else: compared_outcome.
CREATE TABLE deviations_anew (
    deviation_id VARCHAR NOT NULL,
    task_id VARCHAR NOT NULL,
    expert_trajectory_id VARCHAR NOT NULL,
    explored_trajectory_id VARCHAR NOT NULL,
    step_index BIGINT NOT NULL,
    expert_action VARCHAR NOT NULL,
    explored_action VARCHAR NOT NULL,
    explored_success BOOLEAN,
    similarity DOUBLE,
    continues BOOLEAN,
    reference_step_reward_id VARCHAR,
    expert_step_reward_id VARCHAR,
    explored_step_reward_id VARCHAR,
    reference_reward DOUBLE,
    expert_reward DOUBLE,
    explored_reward DOUBLE,
    reference_n BIGINT,
    expert_n BIGINT,
    explored_n BIGINT,
    gap DOUBLE,
    gap_low DOUBLE,
    gap_high DOUBLE,
    error_rate DOUBLE,
    delta DOUBLE NOT NULL,
    preset VARCHAR NOT NULL,
    compared_outcome VARCHAR NOT NULL,
    verdict VARCHAR NOT NULL,
    rule VARCHAR NOT NULL,
    expert_beats_explored VARCHAR,
    selected BOOLEAN NOT NULL,
    provenance VARCHAR NOT NULL,
    expert_is_better VARCHAR GENERATED ALWAYS AS (
        CASE expert_beats_explored WHEN 'unknown' THEN 'undecided' ELSE expert_beats_explored END
    ) VIRTUAL,
    outcome VARCHAR GENERATED ALWAYS AS (compared_outcome) VIRTUAL,
    PRIMARY KEY (deviation_id)
);
INSERT INTO deviations_anew BY NAME
SELECT
    * EXCLUDE (expert_is_better, outcome), outcome AS compared_outcome,
    CASE expert_is_better WHEN 'undecided' THEN 'unknown' ELSE expert_is_better END AS expert_beats_explored
FROM deviations;
DROP TABLE deviations;
ALTER TABLE deviations_anew RENAME TO deviations;
COMMENT ON TABLE deviations IS 'One comparison of an explored turn with the expert''s, deviated or not';
COMMENT ON COLUMN deviations.deviation_id IS 'Content id of the comparison';
COMMENT ON COLUMN deviations.task_id IS 'Task that was explored';
COMMENT ON COLUMN deviations.expert_trajectory_id IS 'The expert''s trajectory';
COMMENT ON COLUMN deviations.explored_trajectory_id IS 'The policy''s trajectory, from the expert prefix on';
COMMENT ON COLUMN deviations.step_index IS '0-based step of the explored turn';
COMMENT ON COLUMN deviations.expert_action IS 'The action of the expert at this step';
COMMENT ON COLUMN deviations.explored_action IS 'The action of the policy at this step';
COMMENT ON COLUMN deviations.explored_success IS 'Whether the explored run reached the goal';
COMMENT ON COLUMN deviations.similarity IS '1 - distance of the two actions, in [0, 1]';
COMMENT ON COLUMN deviations.continues IS 'Whether the agent acted again after the explored turn';
COMMENT ON COLUMN deviations.reference_step_reward_id IS 'r(s_{t-1}, a_t): the previous expert turn; NULL where filtered before any rollout';
COMMENT ON COLUMN deviations.expert_step_reward_id IS 'The expert turn at the same step (for D_s)';
COMMENT ON COLUMN deviations.explored_step_reward_id IS 'r(s_t, explored turn); NULL where filtered before any rollout';
COMMENT ON COLUMN deviations.reference_reward IS 'Reward of the previous expert turn';
COMMENT ON COLUMN deviations.expert_reward IS 'Reward of the expert turn at the same step';
COMMENT ON COLUMN deviations.explored_reward IS 'Reward of the explored turn';
COMMENT ON COLUMN deviations.reference_n IS 'Rollouts behind reference_reward: the first so many';
COMMENT ON COLUMN deviations.expert_n IS 'Rollouts behind expert_reward: the first so many';
COMMENT ON COLUMN deviations.explored_n IS 'Rollouts behind explored_reward: the first so many';
COMMENT ON COLUMN deviations.gap IS 'explored_reward - reference_reward';
COMMENT ON COLUMN deviations.gap_low IS 'The true gap is above this, but for error_rate, whenever sampling stopped';
COMMENT ON COLUMN deviations.gap_high IS 'The true gap is below this, but for error_rate, whenever sampling stopped';
COMMENT ON COLUMN deviations.error_rate IS 'Error rate of each end of the gap''s interval';
COMMENT ON COLUMN deviations.delta IS 'Threshold of eq. 5';
COMMENT ON COLUMN deviations.preset IS 'Rule set that gave the verdict';
COMMENT ON COLUMN deviations.compared_outcome IS 'Which mean of the rollouts was compared';
COMMENT ON COLUMN deviations.verdict IS 'deviated, not_deviated, undecided or filtered';
COMMENT ON COLUMN deviations.rule IS 'Why: the filter or the comparison that decided, in words';
COMMENT ON COLUMN deviations.expert_beats_explored IS 'Whether the expert''s turn at the same step is better than the explored one, for D_s: yes, no, or unknown where the rollouts tell neither; NULL where nothing was compared';
COMMENT ON COLUMN deviations.selected IS 'TRUE where this deviation goes on to calibration';
COMMENT ON COLUMN deviations.provenance IS 'Which batches produced the row: join provenance_batches, or run_provenance for its runs';

CREATE TABLE scored_turns_anew (
    step_reward_id VARCHAR NOT NULL,
    trajectory_id VARCHAR NOT NULL,
    step_index BIGINT NOT NULL,
    task_id VARCHAR NOT NULL,
    trajectory_kind VARCHAR NOT NULL,
    checkpoint VARCHAR NOT NULL,
    outcome DOUBLE,
    progress DOUBLE,
    provenance VARCHAR NOT NULL,
    side VARCHAR GENERATED ALWAYS AS (trajectory_kind) VIRTUAL,
    PRIMARY KEY (step_reward_id, trajectory_id, step_index)
);
INSERT INTO scored_turns_anew BY NAME SELECT * EXCLUDE (side), side AS trajectory_kind FROM scored_turns;
DROP TABLE scored_turns;
ALTER TABLE scored_turns_anew RENAME TO scored_turns;
COMMENT ON TABLE scored_turns IS 'A turn whose value was wanted; the view step_rewards has the values';
COMMENT ON COLUMN scored_turns.step_reward_id IS 'Content id of the history up to the turn, the scorer and the sampling: equal histories share it';
COMMENT ON COLUMN scored_turns.trajectory_id IS 'Trajectory that holds the scored turn';
COMMENT ON COLUMN scored_turns.step_index IS 'The scored turn, 0-based';
COMMENT ON COLUMN scored_turns.task_id IS 'Task of the scored turn';
COMMENT ON COLUMN scored_turns.trajectory_kind IS 'Whose turn it is: expert or explored, as the kind of its trajectory';
COMMENT ON COLUMN scored_turns.checkpoint IS 'Digest of the scorer policy';
COMMENT ON COLUMN scored_turns.outcome IS 'True outcome of a turn that ended the episode, else NULL';
COMMENT ON COLUMN scored_turns.progress IS 'Progress at the end of an episode that the turn ended';
COMMENT ON COLUMN scored_turns.provenance IS 'Which batches produced the row: join provenance_batches, or run_provenance for its runs';
