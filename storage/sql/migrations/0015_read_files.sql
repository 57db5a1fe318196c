-- The tables of rows have no primary key any more. The index of one is as large as the keys, and a new row may belong
-- anywhere in it, so every ingest wrote most of it again. What is loaded has each key once (storage/ingest/loading.py).
-- read_files: unchanged files are not read again.

CREATE TABLE read_files (
    file VARCHAR NOT NULL,
    signature VARCHAR NOT NULL
);
COMMENT ON TABLE read_files IS 'Manifests and run files that the tables were filled from: unchanged ones are not read again';
COMMENT ON COLUMN read_files.file IS 'The file, relative to the data folder';
COMMENT ON COLUMN read_files.signature IS 'Inode, size and times of change when it was read';

CREATE TABLE tasks_anew (
    task_id VARCHAR NOT NULL,
    world VARCHAR NOT NULL,
    split VARCHAR NOT NULL,
    task_type VARCHAR NOT NULL,
    instruction VARCHAR NOT NULL,
    payload VARCHAR NOT NULL,
    provenance VARCHAR NOT NULL
);
INSERT INTO tasks_anew BY NAME SELECT * FROM tasks;
DROP TABLE tasks;
ALTER TABLE tasks_anew RENAME TO tasks;
COMMENT ON TABLE tasks IS 'One task that a policy or the expert was asked to do';
COMMENT ON COLUMN tasks.provenance IS 'Which batches produced the row: join provenance_batches, or run_provenance for its runs';
COMMENT ON COLUMN tasks.task_id IS 'Content id of the task';
COMMENT ON COLUMN tasks.task_type IS 'Kind of task, e.g. pick_and_place_simple';
COMMENT ON COLUMN tasks.instruction IS 'What the agent is asked to do';

CREATE TABLE trajectories_anew (
    trajectory_id VARCHAR NOT NULL,
    task_id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    checkpoint VARCHAR,
    prefix_steps BIGINT NOT NULL,
    first_observation VARCHAR NOT NULL,
    n_steps BIGINT NOT NULL,
    outcome DOUBLE NOT NULL,
    success BOOLEAN NOT NULL,
    end_reason VARCHAR NOT NULL,
    invalid_actions BIGINT NOT NULL,
    progress DOUBLE,
    provenance VARCHAR NOT NULL,
    constrained BOOLEAN,
    sample_index BIGINT,
    temperature DOUBLE,
    seed BIGINT
);
INSERT INTO trajectories_anew BY NAME SELECT * FROM trajectories;
DROP TABLE trajectories;
ALTER TABLE trajectories_anew RENAME TO trajectories;
COMMENT ON TABLE trajectories IS 'One executed run of a task: expert, explored, calibrated or evaluated';
COMMENT ON COLUMN trajectories.provenance IS 'Which batches produced the row: join provenance_batches, or run_provenance for its runs';
COMMENT ON COLUMN trajectories.trajectory_id IS 'Content id of the trajectory';
COMMENT ON COLUMN trajectories.task_id IS 'Task that was played';
COMMENT ON COLUMN trajectories.first_observation IS 'What the agent saw before its first turn';
COMMENT ON COLUMN trajectories.n_steps IS 'Steps, replayed ones included';
COMMENT ON COLUMN trajectories.success IS 'TRUE where outcome reached 1';

CREATE TABLE steps_anew (
    trajectory_id VARCHAR NOT NULL,
    step_index BIGINT NOT NULL,
    origin VARCHAR NOT NULL,
    text VARCHAR NOT NULL,
    thought VARCHAR NOT NULL,
    action VARCHAR NOT NULL,
    observation VARCHAR NOT NULL,
    valid BOOLEAN NOT NULL,
    tokens BIGINT NOT NULL,
    provenance VARCHAR NOT NULL,
    thinking VARCHAR,
    thinking_tokens BIGINT
);
INSERT INTO steps_anew BY NAME SELECT * FROM steps;
DROP TABLE steps;
ALTER TABLE steps_anew RENAME TO steps;
COMMENT ON TABLE steps IS 'One turn of a trajectory and what the environment answered';
COMMENT ON COLUMN steps.provenance IS 'Which batches produced the row: join provenance_batches, or run_provenance for its runs';
COMMENT ON COLUMN steps.trajectory_id IS 'Trajectory that the step belongs to';
COMMENT ON COLUMN steps.thought IS 'Thought read out of the text; empty where none was found';
COMMENT ON COLUMN steps.action IS 'Action read out of the text; empty where none was found';
COMMENT ON COLUMN steps.observation IS 'The environment''s answer';

CREATE TABLE rollouts_anew (
    rollout_id VARCHAR NOT NULL,
    step_reward_id VARCHAR NOT NULL,
    sample_index BIGINT NOT NULL,
    checkpoint VARCHAR NOT NULL,
    seed BIGINT NOT NULL,
    temperature DOUBLE NOT NULL,
    top_p DOUBLE NOT NULL,
    outcome DOUBLE NOT NULL,
    progress DOUBLE,
    n_steps BIGINT NOT NULL,
    tokens BIGINT NOT NULL,
    end_reason VARCHAR NOT NULL,
    actions VARCHAR[] NOT NULL,
    provenance VARCHAR NOT NULL,
    constrained BOOLEAN,
    thinking_tokens BIGINT,
    first_turn VARCHAR
);
INSERT INTO rollouts_anew BY NAME SELECT * FROM rollouts;
DROP TABLE rollouts;
ALTER TABLE rollouts_anew RENAME TO rollouts;
COMMENT ON TABLE rollouts IS 'One Monte-Carlo continuation after a scored turn; the view distinct_rollouts has what step rewards are made of';
COMMENT ON COLUMN rollouts.provenance IS 'Which batches produced the row: join provenance_batches, or run_provenance for its runs';
COMMENT ON COLUMN rollouts.rollout_id IS 'Content id of the rollout';
COMMENT ON COLUMN rollouts.seed IS 'Seed of the sampling';
COMMENT ON COLUMN rollouts.temperature IS 'Sampling temperature';
COMMENT ON COLUMN rollouts.top_p IS 'Nucleus sampling mass';

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
    side VARCHAR GENERATED ALWAYS AS (trajectory_kind) VIRTUAL
);
INSERT INTO scored_turns_anew BY NAME SELECT * EXCLUDE (side) FROM scored_turns;
DROP TABLE scored_turns;
ALTER TABLE scored_turns_anew RENAME TO scored_turns;
COMMENT ON TABLE scored_turns IS 'A turn whose value was wanted; the view step_rewards has the values';
COMMENT ON COLUMN scored_turns.provenance IS 'Which batches produced the row: join provenance_batches, or run_provenance for its runs';
COMMENT ON COLUMN scored_turns.task_id IS 'Task of the scored turn';

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
    drop_probability DOUBLE
);
INSERT INTO deviations_anew BY NAME SELECT * EXCLUDE (expert_is_better, outcome) FROM deviations;
DROP TABLE deviations;
ALTER TABLE deviations_anew RENAME TO deviations;
COMMENT ON TABLE deviations IS 'ALL comparisons of an explored turn with the expert''s, deviated or not: count with WHERE verdict = ''deviated'', or use the view deviated_turns';
COMMENT ON COLUMN deviations.provenance IS 'Which batches produced the row: join provenance_batches, or run_provenance for its runs';
COMMENT ON COLUMN deviations.deviation_id IS 'Content id of the comparison';
COMMENT ON COLUMN deviations.task_id IS 'Task that was explored';
COMMENT ON COLUMN deviations.expert_trajectory_id IS 'The expert''s trajectory';
COMMENT ON COLUMN deviations.explored_trajectory_id IS 'The policy''s trajectory, from the expert prefix on';
COMMENT ON COLUMN deviations.expert_action IS 'The action of the expert at this step';
COMMENT ON COLUMN deviations.explored_action IS 'The action of the policy at this step';
COMMENT ON COLUMN deviations.explored_step_reward_id IS 'r(s_t, explored turn); NULL where filtered before any rollout';
COMMENT ON COLUMN deviations.reference_reward IS 'Reward of the previous expert turn';
COMMENT ON COLUMN deviations.explored_reward IS 'Reward of the explored turn';
COMMENT ON COLUMN deviations.delta IS 'Threshold of eq. 5';
COMMENT ON COLUMN deviations.preset IS 'Rule set that gave the verdict';

CREATE TABLE judgements_anew (
    judgement_id VARCHAR NOT NULL,
    task_id VARCHAR NOT NULL,
    trajectory_id VARCHAR NOT NULL,
    step_index BIGINT NOT NULL,
    label VARCHAR,
    reason VARCHAR NOT NULL,
    model VARCHAR NOT NULL,
    attempts BIGINT NOT NULL,
    provenance VARCHAR NOT NULL
);
INSERT INTO judgements_anew BY NAME SELECT * FROM judgements;
DROP TABLE judgements;
ALTER TABLE judgements_anew RENAME TO judgements;
COMMENT ON TABLE judgements IS 'What a language model says of an explored turn, good or bad, and why; empty unless deviation.preset is judge or judge.ask is always';
COMMENT ON COLUMN judgements.provenance IS 'Which batches produced the row: join provenance_batches, or run_provenance for its runs';
COMMENT ON COLUMN judgements.judgement_id IS 'Content id of the row';
COMMENT ON COLUMN judgements.task_id IS 'Task of the turn';

CREATE TABLE repair_choices_anew (
    choice_id VARCHAR NOT NULL,
    deviation_id VARCHAR NOT NULL,
    task_id VARCHAR NOT NULL,
    choose VARCHAR NOT NULL,
    rank BIGINT NOT NULL,
    chosen BOOLEAN NOT NULL,
    expected_gap DOUBLE,
    drop_probability DOUBLE,
    provenance VARCHAR NOT NULL
);
INSERT INTO repair_choices_anew BY NAME SELECT * FROM repair_choices;
DROP TABLE repair_choices;
ALTER TABLE repair_choices_anew RENAME TO repair_choices;
COMMENT ON TABLE repair_choices IS 'A turn that could be repaired, its rank, and whether it was chosen; empty where calibration.choose and calibration.repairs have their defaults';
COMMENT ON COLUMN repair_choices.provenance IS 'Which batches produced the row: join provenance_batches, or run_provenance for its runs';
COMMENT ON COLUMN repair_choices.choice_id IS 'Content id of the row';
COMMENT ON COLUMN repair_choices.task_id IS 'Task of the turn';

CREATE TABLE calibrations_anew (
    calibration_id VARCHAR NOT NULL,
    deviation_id VARCHAR NOT NULL,
    task_id VARCHAR NOT NULL,
    trajectory_id VARCHAR NOT NULL,
    reflector VARCHAR NOT NULL,
    reflection VARCHAR NOT NULL,
    required_action VARCHAR NOT NULL,
    plan VARCHAR NOT NULL,
    kept BOOLEAN NOT NULL,
    rejection VARCHAR,
    provenance VARCHAR NOT NULL,
    attempts BIGINT,
    rejection_detail VARCHAR
);
INSERT INTO calibrations_anew BY NAME SELECT * FROM calibrations;
DROP TABLE calibrations;
ALTER TABLE calibrations_anew RENAME TO calibrations;
COMMENT ON TABLE calibrations IS 'One attempt to repair a deviation, kept or rejected';
COMMENT ON COLUMN calibrations.provenance IS 'Which batches produced the row: join provenance_batches, or run_provenance for its runs';
COMMENT ON COLUMN calibrations.calibration_id IS 'Content id of the attempt';
COMMENT ON COLUMN calibrations.deviation_id IS 'Deviation that was to be repaired';
COMMENT ON COLUMN calibrations.task_id IS 'Task of the deviation';
COMMENT ON COLUMN calibrations.reflection IS 'The reflective thought';
COMMENT ON COLUMN calibrations.kept IS 'TRUE where the repair ran to success';

CREATE TABLE training_examples_anew (
    example_id VARCHAR NOT NULL,
    dataset VARCHAR NOT NULL,
    task_id VARCHAR NOT NULL,
    trajectory_id VARCHAR NOT NULL,
    target_from BIGINT NOT NULL,
    weight DOUBLE NOT NULL,
    distance DOUBLE,
    contrast_trajectory_id VARCHAR,
    calibration_id VARCHAR,
    deviation_id VARCHAR,
    provenance VARCHAR NOT NULL
);
INSERT INTO training_examples_anew BY NAME SELECT * FROM training_examples;
DROP TABLE training_examples;
ALTER TABLE training_examples_anew RENAME TO training_examples;
COMMENT ON TABLE training_examples IS 'One weighted example of a training set';
COMMENT ON COLUMN training_examples.provenance IS 'Which batches produced the row: join provenance_batches, or run_provenance for its runs';
COMMENT ON COLUMN training_examples.example_id IS 'Content id of the example';
COMMENT ON COLUMN training_examples.task_id IS 'Task of the example';
COMMENT ON COLUMN training_examples.weight IS 'Weight in the training loss';
COMMENT ON COLUMN training_examples.contrast_trajectory_id IS 'Trajectory that the distance is measured to';
COMMENT ON COLUMN training_examples.calibration_id IS 'Calibration behind a D_c example';
COMMENT ON COLUMN training_examples.deviation_id IS 'Deviation behind a D_c or D_s example';

CREATE TABLE preference_pairs_anew (
    pair_id VARCHAR NOT NULL,
    method VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    task_id VARCHAR NOT NULL,
    chosen_trajectory_id VARCHAR NOT NULL,
    chosen_from BIGINT NOT NULL,
    chosen_to BIGINT NOT NULL,
    chosen_rollout_id VARCHAR,
    rejected_trajectory_id VARCHAR NOT NULL,
    rejected_from BIGINT NOT NULL,
    rejected_to BIGINT NOT NULL,
    deviation_id VARCHAR,
    chosen_reward DOUBLE,
    rejected_reward DOUBLE,
    margin DOUBLE,
    provenance VARCHAR NOT NULL
);
INSERT INTO preference_pairs_anew BY NAME SELECT * FROM preference_pairs;
DROP TABLE preference_pairs;
ALTER TABLE preference_pairs_anew RENAME TO preference_pairs;
COMMENT ON TABLE preference_pairs IS 'One preference pair a row: after the same history, the steps of one side are preferred to those of the other';
COMMENT ON COLUMN preference_pairs.provenance IS 'Which batches produced the row: join provenance_batches, or run_provenance for its runs';
COMMENT ON COLUMN preference_pairs.pair_id IS 'Content id of the pair';
COMMENT ON COLUMN preference_pairs.task_id IS 'Task of both sides';

CREATE TABLE checkpoints_anew (
    training_id VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    path VARCHAR NOT NULL,
    parent VARCHAR,
    role VARCHAR NOT NULL,
    round BIGINT NOT NULL,
    examples BIGINT NOT NULL,
    steps BIGINT NOT NULL,
    target_tokens BIGINT NOT NULL,
    final_loss DOUBLE NOT NULL,
    losses DOUBLE[] NOT NULL,
    parameters BIGINT NOT NULL,
    learning_rates DOUBLE[],
    gradient_norms DOUBLE[],
    provenance VARCHAR NOT NULL,
    preference_accuracies DOUBLE[],
    preference_margins DOUBLE[]
);
INSERT INTO checkpoints_anew BY NAME SELECT * FROM checkpoints;
DROP TABLE checkpoints;
ALTER TABLE checkpoints_anew RENAME TO checkpoints;
COMMENT ON TABLE checkpoints IS 'One training and the policy that it gave. Trainings may give equal weights: the view policies has each once';
COMMENT ON COLUMN checkpoints.provenance IS 'Which batches produced the row: join provenance_batches, or run_provenance for its runs';
COMMENT ON COLUMN checkpoints.path IS 'Folder of the checkpoint';
COMMENT ON COLUMN checkpoints.round IS 'Round that trained it; 0 for the warm-up';
COMMENT ON COLUMN checkpoints.examples IS 'Training examples seen at least once';
COMMENT ON COLUMN checkpoints.target_tokens IS 'Tokens trained on';
COMMENT ON COLUMN checkpoints.final_loss IS 'Last logged training loss';
COMMENT ON COLUMN checkpoints.parameters IS 'Trainable parameters';

CREATE TABLE evaluations_anew (
    evaluation_id VARCHAR NOT NULL,
    checkpoint VARCHAR NOT NULL,
    role VARCHAR NOT NULL,
    split VARCHAR NOT NULL,
    start VARCHAR NOT NULL,
    task_id VARCHAR NOT NULL,
    task_type VARCHAR NOT NULL,
    trajectory_id VARCHAR NOT NULL,
    success BOOLEAN NOT NULL,
    n_steps BIGINT NOT NULL,
    invalid_actions BIGINT NOT NULL,
    expert_steps BIGINT,
    provenance VARCHAR NOT NULL
);
INSERT INTO evaluations_anew BY NAME SELECT * FROM evaluations;
DROP TABLE evaluations;
ALTER TABLE evaluations_anew RENAME TO evaluations;
COMMENT ON TABLE evaluations IS 'One greedy test episode of a checkpoint';
COMMENT ON COLUMN evaluations.provenance IS 'Which batches produced the row: join provenance_batches, or run_provenance for its runs';
COMMENT ON COLUMN evaluations.evaluation_id IS 'Content id of the test episode';
COMMENT ON COLUMN evaluations.checkpoint IS 'Digest of the policy that was tested';
COMMENT ON COLUMN evaluations.task_id IS 'Task that was played';
COMMENT ON COLUMN evaluations.task_type IS 'Kind of task';
COMMENT ON COLUMN evaluations.trajectory_id IS 'The episode itself';
COMMENT ON COLUMN evaluations.success IS 'TRUE where the task was solved';
COMMENT ON COLUMN evaluations.n_steps IS 'Steps of the episode';
COMMENT ON COLUMN evaluations.invalid_actions IS 'Steps whose action the environment refused';
COMMENT ON COLUMN evaluations.expert_steps IS 'Length of the expert''s run; NULL where there is none';

CREATE TABLE llm_calls_anew (
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
    provenance VARCHAR NOT NULL
);
INSERT INTO llm_calls_anew BY NAME SELECT * FROM llm_calls;
DROP TABLE llm_calls;
ALTER TABLE llm_calls_anew RENAME TO llm_calls;
COMMENT ON TABLE llm_calls IS 'One answered or given-up request to a language model behind an API; a reply that is used again is one row';
COMMENT ON COLUMN llm_calls.provenance IS 'Which batches produced the row: join provenance_batches, or run_provenance for its runs';
COMMENT ON COLUMN llm_calls.call_id IS 'Content id of the call';
