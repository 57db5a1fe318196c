-- The rows, one table a record of storage/records.py, plus where each came from.

CREATE TABLE tasks (
    task_id VARCHAR NOT NULL,
    world VARCHAR NOT NULL,
    split VARCHAR NOT NULL,
    task_type VARCHAR NOT NULL,
    instruction VARCHAR NOT NULL,
    payload VARCHAR NOT NULL,
    provenance VARCHAR NOT NULL,
    PRIMARY KEY (task_id)
);
COMMENT ON TABLE tasks IS 'One task that a policy or the expert was asked to do';
COMMENT ON COLUMN tasks.task_id IS 'Content id of the task';
COMMENT ON COLUMN tasks.world IS 'Registered world that can rebuild the task';
COMMENT ON COLUMN tasks.split IS 'train, validation, seen or unseen';
COMMENT ON COLUMN tasks.task_type IS 'Kind of task, e.g. pick_and_place_simple';
COMMENT ON COLUMN tasks.instruction IS 'What the agent is asked to do';
COMMENT ON COLUMN tasks.payload IS 'What the world needs to rebuild the task';
COMMENT ON COLUMN tasks.provenance IS 'Which batches produced the row: join provenance_batches, or run_provenance for its runs';

CREATE TABLE trajectories (
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
    PRIMARY KEY (trajectory_id)
);
COMMENT ON TABLE trajectories IS 'One executed run of a task: expert, explored, calibrated or evaluated';
COMMENT ON COLUMN trajectories.trajectory_id IS 'Content id of the trajectory';
COMMENT ON COLUMN trajectories.task_id IS 'Task that was played';
COMMENT ON COLUMN trajectories.kind IS 'expert, explored, calibrated, rejected_repair, evaluation or forced_deviation';
COMMENT ON COLUMN trajectories.checkpoint IS 'Digest of the policy that played it; NULL for the expert';
COMMENT ON COLUMN trajectories.prefix_steps IS 'Leading steps replayed from the expert before the policy took over';
COMMENT ON COLUMN trajectories.first_observation IS 'What the agent saw before its first turn';
COMMENT ON COLUMN trajectories.n_steps IS 'Steps, replayed ones included';
COMMENT ON COLUMN trajectories.outcome IS 'Environment reward at the end, in [0, 1]';
COMMENT ON COLUMN trajectories.success IS 'TRUE where outcome reached 1';
COMMENT ON COLUMN trajectories.end_reason IS 'done, step_cap, invalid_streak, or running where it was not played to an end';
COMMENT ON COLUMN trajectories.invalid_actions IS 'Steps whose action the environment refused';
COMMENT ON COLUMN trajectories.progress IS 'Share of the goal''s conditions reached at the end';
COMMENT ON COLUMN trajectories.provenance IS 'Which batches produced the row: join provenance_batches, or run_provenance for its runs';

CREATE TABLE steps (
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
    PRIMARY KEY (trajectory_id, step_index)
);
COMMENT ON TABLE steps IS 'One turn of a trajectory and what the environment answered';
COMMENT ON COLUMN steps.trajectory_id IS 'Trajectory that the step belongs to';
COMMENT ON COLUMN steps.step_index IS '0-based; the paper''s t is step_index + 1';
COMMENT ON COLUMN steps.origin IS 'Who wrote the turn';
COMMENT ON COLUMN steps.text IS 'What was written, whole';
COMMENT ON COLUMN steps.thought IS 'Thought read out of the text; empty where none was found';
COMMENT ON COLUMN steps.action IS 'Action read out of the text; empty where none was found';
COMMENT ON COLUMN steps.observation IS 'The environment''s answer';
COMMENT ON COLUMN steps.valid IS 'FALSE where the environment refused the action';
COMMENT ON COLUMN steps.tokens IS 'Tokens the policy generated for the turn; 0 for the expert';
COMMENT ON COLUMN steps.provenance IS 'Which batches produced the row: join provenance_batches, or run_provenance for its runs';

CREATE TABLE rollouts (
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
    PRIMARY KEY (rollout_id)
);
COMMENT ON TABLE rollouts IS 'One Monte-Carlo continuation after a scored turn: the evidence of a step reward';
COMMENT ON COLUMN rollouts.rollout_id IS 'Content id of the rollout';
COMMENT ON COLUMN rollouts.step_reward_id IS 'Step reward that the rollout is evidence of';
COMMENT ON COLUMN rollouts.sample_index IS '0..N-1';
COMMENT ON COLUMN rollouts.checkpoint IS 'Digest of the scorer policy';
COMMENT ON COLUMN rollouts.seed IS 'Seed of the sampling';
COMMENT ON COLUMN rollouts.temperature IS 'Sampling temperature';
COMMENT ON COLUMN rollouts.top_p IS 'Nucleus sampling mass';
COMMENT ON COLUMN rollouts.outcome IS 'Environment reward at the end, in [0, 1]';
COMMENT ON COLUMN rollouts.progress IS 'Share of the goal''s conditions reached at the end';
COMMENT ON COLUMN rollouts.n_steps IS 'Steps played after the scored turn';
COMMENT ON COLUMN rollouts.tokens IS 'Tokens generated';
COMMENT ON COLUMN rollouts.end_reason IS 'done, step_cap, invalid_streak, or running where it was not played to an end';
COMMENT ON COLUMN rollouts.actions IS 'The actions played after the scored turn';
COMMENT ON COLUMN rollouts.provenance IS 'Which batches produced the row: join provenance_batches, or run_provenance for its runs';

CREATE TABLE step_rewards (
    step_reward_id VARCHAR NOT NULL,
    task_id VARCHAR NOT NULL,
    trajectory_id VARCHAR NOT NULL,
    step_index BIGINT NOT NULL,
    side VARCHAR NOT NULL,
    checkpoint VARCHAR NOT NULL,
    n BIGINT NOT NULL,
    successes BIGINT NOT NULL,
    reward DOUBLE NOT NULL,
    progress DOUBLE NOT NULL,
    low DOUBLE NOT NULL,
    high DOUBLE NOT NULL,
    terminal BOOLEAN NOT NULL,
    provenance VARCHAR NOT NULL,
    PRIMARY KEY (step_reward_id)
);
COMMENT ON TABLE step_rewards IS 'The Monte-Carlo value of one turn';
COMMENT ON COLUMN step_rewards.step_reward_id IS 'Content id of the step reward';
COMMENT ON COLUMN step_rewards.task_id IS 'Task of the scored turn';
COMMENT ON COLUMN step_rewards.trajectory_id IS 'Trajectory that holds the scored turn';
COMMENT ON COLUMN step_rewards.step_index IS 'The scored turn, 0-based';
COMMENT ON COLUMN step_rewards.side IS 'expert or explored: whose turn was scored';
COMMENT ON COLUMN step_rewards.checkpoint IS 'Digest of the scorer policy';
COMMENT ON COLUMN step_rewards.n IS 'Outcomes behind the mean; 0 where the turn ended the episode';
COMMENT ON COLUMN step_rewards.successes IS 'Rollouts that ended in success';
COMMENT ON COLUMN step_rewards.reward IS 'Mean outcome, or the true outcome of a turn that ended the episode';
COMMENT ON COLUMN step_rewards.progress IS 'Mean share of the goal''s conditions reached by the rollouts';
COMMENT ON COLUMN step_rewards.low IS 'Wilson 95 % interval, low end';
COMMENT ON COLUMN step_rewards.high IS 'Wilson 95 % interval, high end';
COMMENT ON COLUMN step_rewards.terminal IS 'TRUE where the turn ended the episode: no rollouts';
COMMENT ON COLUMN step_rewards.provenance IS 'Which batches produced the row: join provenance_batches, or run_provenance for its runs';

CREATE TABLE deviations (
    deviation_id VARCHAR NOT NULL,
    task_id VARCHAR NOT NULL,
    expert_trajectory_id VARCHAR NOT NULL,
    explored_trajectory_id VARCHAR NOT NULL,
    step_index BIGINT NOT NULL,
    expert_action VARCHAR NOT NULL,
    explored_action VARCHAR NOT NULL,
    reference_step_reward_id VARCHAR,
    expert_step_reward_id VARCHAR,
    explored_step_reward_id VARCHAR,
    reference_reward DOUBLE,
    explored_reward DOUBLE,
    gap DOUBLE,
    delta DOUBLE NOT NULL,
    preset VARCHAR NOT NULL,
    outcome VARCHAR NOT NULL,
    verdict VARCHAR NOT NULL,
    rule VARCHAR NOT NULL,
    selected BOOLEAN NOT NULL,
    provenance VARCHAR NOT NULL,
    PRIMARY KEY (deviation_id)
);
COMMENT ON TABLE deviations IS 'One comparison of an explored turn with the expert''s, deviated or not';
COMMENT ON COLUMN deviations.deviation_id IS 'Content id of the comparison';
COMMENT ON COLUMN deviations.task_id IS 'Task that was explored';
COMMENT ON COLUMN deviations.expert_trajectory_id IS 'The expert''s trajectory';
COMMENT ON COLUMN deviations.explored_trajectory_id IS 'The policy''s trajectory, from the expert prefix on';
COMMENT ON COLUMN deviations.step_index IS '0-based step of the explored turn';
COMMENT ON COLUMN deviations.expert_action IS 'The action of the expert at this step';
COMMENT ON COLUMN deviations.explored_action IS 'The action of the policy at this step';
COMMENT ON COLUMN deviations.reference_step_reward_id IS 'r(s_{t-1}, a_t): the previous expert turn; NULL where filtered before any rollout';
COMMENT ON COLUMN deviations.expert_step_reward_id IS 'The expert turn at the same step (for D_s)';
COMMENT ON COLUMN deviations.explored_step_reward_id IS 'r(s_t, explored turn); NULL where filtered before any rollout';
COMMENT ON COLUMN deviations.reference_reward IS 'Reward of the previous expert turn';
COMMENT ON COLUMN deviations.explored_reward IS 'Reward of the explored turn';
COMMENT ON COLUMN deviations.gap IS 'explored_reward - reference_reward';
COMMENT ON COLUMN deviations.delta IS 'Threshold of eq. 5';
COMMENT ON COLUMN deviations.preset IS 'Rule set that gave the verdict';
COMMENT ON COLUMN deviations.outcome IS 'Which mean of the rollouts was compared';
COMMENT ON COLUMN deviations.verdict IS 'deviated, not_deviated or filtered';
COMMENT ON COLUMN deviations.rule IS 'Why: the filter or the comparison that decided, in words';
COMMENT ON COLUMN deviations.selected IS 'TRUE where this deviation goes on to calibration';
COMMENT ON COLUMN deviations.provenance IS 'Which batches produced the row: join provenance_batches, or run_provenance for its runs';

CREATE TABLE calibrations (
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
    PRIMARY KEY (calibration_id)
);
COMMENT ON TABLE calibrations IS 'One attempt to repair a deviation, kept or rejected';
COMMENT ON COLUMN calibrations.calibration_id IS 'Content id of the attempt';
COMMENT ON COLUMN calibrations.deviation_id IS 'Deviation that was to be repaired';
COMMENT ON COLUMN calibrations.task_id IS 'Task of the deviation';
COMMENT ON COLUMN calibrations.trajectory_id IS 'The executed calibrated (or rejected) trajectory';
COMMENT ON COLUMN calibrations.reflector IS 'Who wrote the reflection, e.g. template';
COMMENT ON COLUMN calibrations.reflection IS 'The reflective thought';
COMMENT ON COLUMN calibrations.required_action IS 'The expert action that the reflection leads to';
COMMENT ON COLUMN calibrations.plan IS 'Where the repair''s turns came from';
COMMENT ON COLUMN calibrations.kept IS 'TRUE where the repair ran to success';
COMMENT ON COLUMN calibrations.rejection IS 'Why it was not kept; NULL where it was';
COMMENT ON COLUMN calibrations.provenance IS 'Which batches produced the row: join provenance_batches, or run_provenance for its runs';

CREATE TABLE training_examples (
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
    provenance VARCHAR NOT NULL,
    PRIMARY KEY (example_id)
);
COMMENT ON TABLE training_examples IS 'One weighted example of a training set';
COMMENT ON COLUMN training_examples.example_id IS 'Content id of the example';
COMMENT ON COLUMN training_examples.dataset IS 'calibrated (D_c), explored_success (D_e), expert_suffix (D_s) or expert';
COMMENT ON COLUMN training_examples.task_id IS 'Task of the example';
COMMENT ON COLUMN training_examples.trajectory_id IS 'Trajectory that is trained on';
COMMENT ON COLUMN training_examples.target_from IS 'First step whose tokens are targets; earlier ones are context';
COMMENT ON COLUMN training_examples.weight IS 'Weight in the training loss';
COMMENT ON COLUMN training_examples.distance IS 'nDTW(target, contrast)';
COMMENT ON COLUMN training_examples.contrast_trajectory_id IS 'Trajectory that the distance is measured to';
COMMENT ON COLUMN training_examples.calibration_id IS 'Calibration behind a D_c example';
COMMENT ON COLUMN training_examples.deviation_id IS 'Deviation behind a D_c or D_s example';
COMMENT ON COLUMN training_examples.provenance IS 'Which batches produced the row: join provenance_batches, or run_provenance for its runs';

CREATE TABLE checkpoints (
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
    provenance VARCHAR NOT NULL,
    PRIMARY KEY (digest)
);
COMMENT ON TABLE checkpoints IS 'One trained policy';
COMMENT ON COLUMN checkpoints.digest IS 'Content id of the weights';
COMMENT ON COLUMN checkpoints.path IS 'Folder of the checkpoint';
COMMENT ON COLUMN checkpoints.parent IS 'Digest it was trained from; NULL where from scratch';
COMMENT ON COLUMN checkpoints.role IS 'warmup or trained';
COMMENT ON COLUMN checkpoints.round IS 'Round that trained it; 0 for the warm-up';
COMMENT ON COLUMN checkpoints.examples IS 'Training examples seen at least once';
COMMENT ON COLUMN checkpoints.steps IS 'Optimizer steps';
COMMENT ON COLUMN checkpoints.target_tokens IS 'Tokens trained on';
COMMENT ON COLUMN checkpoints.final_loss IS 'Last logged training loss';
COMMENT ON COLUMN checkpoints.losses IS 'Training loss at each logged step';
COMMENT ON COLUMN checkpoints.parameters IS 'Trainable parameters';
COMMENT ON COLUMN checkpoints.provenance IS 'Which batches produced the row: join provenance_batches, or run_provenance for its runs';

CREATE TABLE evaluations (
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
    provenance VARCHAR NOT NULL,
    PRIMARY KEY (evaluation_id)
);
COMMENT ON TABLE evaluations IS 'One greedy test episode of a checkpoint';
COMMENT ON COLUMN evaluations.evaluation_id IS 'Content id of the test episode';
COMMENT ON COLUMN evaluations.checkpoint IS 'Digest of the policy that was tested';
COMMENT ON COLUMN evaluations.role IS 'warmup or trained';
COMMENT ON COLUMN evaluations.split IS 'validation, seen or unseen';
COMMENT ON COLUMN evaluations.start IS 'From the task, after a forced deviated turn, or the same point without the deviation';
COMMENT ON COLUMN evaluations.task_id IS 'Task that was played';
COMMENT ON COLUMN evaluations.task_type IS 'Kind of task';
COMMENT ON COLUMN evaluations.trajectory_id IS 'The episode itself';
COMMENT ON COLUMN evaluations.success IS 'TRUE where the task was solved';
COMMENT ON COLUMN evaluations.n_steps IS 'Steps of the episode';
COMMENT ON COLUMN evaluations.invalid_actions IS 'Steps whose action the environment refused';
COMMENT ON COLUMN evaluations.expert_steps IS 'Length of the expert''s run; NULL where there is none';
COMMENT ON COLUMN evaluations.provenance IS 'Which batches produced the row: join provenance_batches, or run_provenance for its runs';
