"""The rows of the store, one pydantic record a table.

Ids are content hashes (`storage.ids`) over everything in the row, so the same work done twice gives the same rows,
and different outcomes never share an id. A column `provenance` is added at ingest from the shard's manifest: it
leads every row to the batches, runs, configuration and checkpoint that produced it (`run_provenance`, `of_run`).
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from steca.vocabulary import (
    CallPurpose,
    DatasetName,
    Decision,
    EpisodeStart,
    GapConclusion,
    Origin,
    PolicyRole,
    RepairChoice,
    RepairPlan,
    RewardOutcome,
    Side,
    TrajectoryKind,
)
from storage.ids import content_id
from storage.judgement import JudgementRecord
from storage.preference_pair import PreferencePairRecord
from storage.record import Record

CONSTRAINED = "TRUE where the policy could write admissible actions only; NULL where it wrote freely"

THINKING_TOKENS = (
    "Of tokens, those of thinking (counted anew where a server wrote it); NULL where there was none"
)


class TaskRecord(Record):
    """One task that a policy or the expert was asked to do."""

    table: ClassVar[str] = "tasks"
    key: ClassVar[tuple[str, ...]] = ("task_id",)
    task_id: str
    world: str = Field(description="Registered world that can rebuild the task")
    split: str = Field(description="Split of the world's tasks")
    task_type: str
    instruction: str
    payload: str = Field(description="What the world needs to rebuild the task")


class TrajectoryRecord(Record):
    """One executed run of a task: expert, explored, sampled, calibrated or evaluated."""

    table: ClassVar[str] = "trajectories"
    key: ClassVar[tuple[str, ...]] = ("trajectory_id",)
    trajectory_id: str
    task_id: str
    kind: TrajectoryKind = Field(description="How the trajectory came about")
    checkpoint: str | None = Field(
        None, description="Digest of the policy that played it; NULL for the expert"
    )
    prefix_steps: int = Field(
        description="Leading steps replayed from the expert before the policy took over"
    )
    first_observation: str
    n_steps: int
    outcome: float = Field(description="Environment reward at the end, in [0, 1]")
    success: bool
    end_reason: str = Field(description="Why it stopped; running where it was not played to an end")
    invalid_actions: int = Field(description="Steps whose action the environment refused")
    progress: float | None = Field(None, description="Share of the goal's conditions reached at the end")
    constrained: bool | None = Field(None, description=CONSTRAINED)
    sample_index: int | None = Field(
        None, description="kind sampled: which of the task's sampled runs, from 0; NULL for other kinds"
    )
    temperature: float | None = Field(
        None, description="kind sampled: the temperature of sampling; NULL for other kinds"
    )
    seed: int | None = Field(None, description="kind sampled: seed of the run; NULL for other kinds")


class StepRecord(Record):
    """One turn of a trajectory and what the environment answered."""

    table: ClassVar[str] = "steps"
    key: ClassVar[tuple[str, ...]] = ("trajectory_id", "step_index")
    trajectory_id: str
    step_index: int = Field(description="0-based; the paper's t is step_index + 1")
    origin: Origin = Field(description="Who wrote the turn")
    text: str = Field(description="What was written, whole")
    thought: str
    action: str
    observation: str
    valid: bool = Field(description="FALSE where the environment refused the action")
    tokens: int = Field(
        description="Tokens the policy generated for the turn, thinking included; 0 for the expert"
    )
    thinking: str | None = Field(
        None,
        description="What the model thought before the turn, no part of any history; NULL where it did not",
    )
    thinking_tokens: int | None = Field(None, description=THINKING_TOKENS)


class RolloutRecord(Record):
    """One Monte-Carlo continuation after a scored turn: the evidence of a step reward."""

    table: ClassVar[str] = "rollouts"
    key: ClassVar[tuple[str, ...]] = ("rollout_id",)
    rollout_id: str
    step_reward_id: str = Field(description="The history that it continues, the scorer and the sampling")
    sample_index: int = Field(description="Position in the random stream of its step reward, from 0")
    checkpoint: str = Field(description="Digest of the scorer policy")
    seed: int
    temperature: float
    top_p: float
    outcome: float = Field(description="Environment reward at the end, in [0, 1]")
    progress: float | None = Field(None, description="Share of the goal's conditions reached at the end")
    n_steps: int = Field(description="Steps played after the scored turn")
    tokens: int = Field(description="Tokens generated, thinking included")
    thinking_tokens: int | None = Field(None, description=THINKING_TOKENS)
    end_reason: str = Field(description="Why it stopped")
    actions: list[str] = Field(description="The actions played after the scored turn")
    constrained: bool | None = Field(None, description=CONSTRAINED)
    first_turn: str | None = Field(
        None, description="The whole text of the first turn; NULL where a version before 0.4 played it"
    )


class ScoredTurnRecord(Record):
    """A turn whose value was wanted. Its step reward (the view step_rewards) is made of its rollouts; only where the
    turn ended the episode is the value its own."""

    table: ClassVar[str] = "scored_turns"
    key: ClassVar[tuple[str, ...]] = ("step_reward_id", "trajectory_id", "step_index")
    step_reward_id: str = Field(
        description="Content id of the history up to the turn, the scorer and the sampling: equal histories share it"
    )
    trajectory_id: str = Field(description="Trajectory that holds the scored turn")
    step_index: int = Field(description="The scored turn, 0-based")
    task_id: str
    side: Side = Field(description="Whose turn it is")
    checkpoint: str = Field(description="Digest of the scorer policy")
    outcome: float | None = Field(
        None, description="True outcome of a turn that ended the episode, else NULL"
    )
    progress: float | None = Field(None, description="Progress at the end of an episode that the turn ended")


class DeviationRecord(Record):
    """One comparison of an explored turn with the expert's, deviated or not, and what it was decided on."""

    table: ClassVar[str] = "deviations"
    key: ClassVar[tuple[str, ...]] = ("deviation_id",)
    deviation_id: str
    task_id: str
    expert_trajectory_id: str
    explored_trajectory_id: str
    step_index: int = Field(description="0-based step of the explored turn")
    expert_action: str
    explored_action: str
    explored_success: bool | None = Field(None, description="Whether the explored run reached the goal")
    similarity: float | None = Field(None, description="1 - distance of the two actions, in [0, 1]")
    continues: bool | None = Field(None, description="Whether the agent acted again after the explored turn")
    reference_step_reward_id: str | None = Field(
        None, description="r(s_{t-1}, a_t): the previous expert turn; NULL where filtered before any rollout"
    )
    expert_step_reward_id: str | None = Field(None, description="The expert turn at the same step (for D_s)")
    explored_step_reward_id: str | None = None
    reference_reward: float | None = None
    expert_reward: float | None = Field(None, description="Reward of the expert turn at the same step")
    explored_reward: float | None = None
    reference_n: int | None = Field(None, description="Rollouts behind reference_reward: the first so many")
    expert_n: int | None = Field(None, description="Rollouts behind expert_reward: the first so many")
    explored_n: int | None = Field(None, description="Rollouts behind explored_reward: the first so many")
    gap: float | None = Field(None, description="explored_reward - reference_reward")
    gap_low: float | None = Field(
        None, description="The true gap is above this, but for error_rate, whenever sampling stopped"
    )
    gap_high: float | None = Field(
        None, description="The true gap is below this, but for error_rate, whenever sampling stopped"
    )
    error_rate: float | None = Field(None, description="Error rate of each end of the gap's interval")
    delta: float
    preset: str
    outcome: RewardOutcome = Field(description="Which mean of the rollouts was compared")
    verdict: Decision = Field(description="What was decided: only deviated ones count as deviations")
    rule: str = Field(description="Why: the filter or the comparison that decided, in words")
    expert_is_better: GapConclusion | None = Field(
        None,
        description="D_s: whether the expert turn beats the explored one; NULL where nothing was compared",
    )
    selected: bool = Field(
        description="TRUE where the rule selects this deviation for calibration. Where calibration.choose or "
        "calibration.repairs is set, the view repaired_turns has what was chosen"
    )
    drop_probability: float | None = Field(
        None,
        description="P(the true gap is below delta), given the rollouts: what the preset probable decides on; NULL "
        "under another preset",
    )


class RepairChoiceRecord(Record):
    """A turn that could be repaired, and whether it was chosen: only where calibration.choose or calibration.repairs is
    set."""

    table: ClassVar[str] = "repair_choices"
    key: ClassVar[tuple[str, ...]] = ("choice_id",)
    choice_id: str
    deviation_id: str = Field(description="The comparison that holds the turn, whatever its verdict")
    task_id: str
    choose: RepairChoice = Field(description="How it was chosen: calibration.choose")
    rank: int = Field(description="Place among the turns of the run and round that could be chosen, from 1")
    chosen: bool = Field(description="TRUE where the turn goes on to calibration")
    expected_gap: float | None = Field(
        None,
        description="Expected true gap, explored - reference, given the rollouts (posterior means); NULL where a side "
        "has none",
    )
    drop_probability: float | None = Field(
        None, description="P(the true gap is below delta), given the rollouts; NULL where a side has none"
    )


class CalibrationRecord(Record):
    """The repair of a turn, kept or rejected: one row for each selected deviation, or for each chosen turn."""

    table: ClassVar[str] = "calibrations"
    key: ClassVar[tuple[str, ...]] = ("calibration_id",)
    calibration_id: str
    deviation_id: str
    task_id: str
    trajectory_id: str = Field(description="The executed calibrated (or rejected) trajectory")
    reflector: str = Field(
        description="Who wrote the reflection: template, policy (the one that explored) or a model's name"
    )
    reflection: str
    required_action: str = Field(description="The expert action that the reflection leads to")
    plan: RepairPlan = Field(
        description="The plan that succeeded or was tried last: where the repair's turns came from"
    )
    kept: bool
    rejection: str | None = Field(None, description="Why it was not kept; NULL where it was")
    rejection_detail: str | None = Field(None, description="The same in words; NULL where it was kept")
    attempts: int | None = Field(
        None, description="Replies that a language model was asked for; NULL where none was"
    )

    @model_validator(mode="before")
    @classmethod
    def _split(cls, row: Any) -> Any:
        """Up to version 0.3 both were one text, `rejection: detail`."""
        if isinstance(row, dict) and not row.get("rejection_detail"):
            reason, colon, detail = (row.get("rejection") or "").partition(": ")
            return row | {"rejection": reason, "rejection_detail": detail} if colon else row
        return row


class TrainingExampleRecord(Record):
    """One weighted example of a training set."""

    table: ClassVar[str] = "training_examples"
    key: ClassVar[tuple[str, ...]] = ("example_id",)
    example_id: str
    dataset: DatasetName = Field(
        description="Part of the training set: calibrated is D_c, explored_success D_e, sampled_success the "
        "successful sampled runs, expert_suffix D_s"
    )
    task_id: str
    trajectory_id: str = Field(description="Trajectory that is trained on")
    target_from: int = Field(description="First step whose tokens are targets; earlier ones are context")
    weight: float
    distance: float | None = Field(None, description="nDTW(target, contrast)")
    contrast_trajectory_id: str | None = None
    calibration_id: str | None = None
    deviation_id: str | None = None


class CheckpointRecord(Record):
    """One training and the policy that it gave. Trainings may give equal weights: the view policies has each once."""

    table: ClassVar[str] = "checkpoints"
    key: ClassVar[tuple[str, ...]] = ("training_id",)
    training_id: str = Field("", description="Content id of the row")
    digest: str = Field(description="Content id of the weights; trainings that gave the same ones share it")
    path: str
    parent: str | None = Field(None, description="Digest it was trained from; NULL where from scratch")
    role: PolicyRole = Field(description="Which training of the run gave it")
    round: int
    examples: int
    steps: int = Field(description="Steps of the optimizer")
    target_tokens: int
    final_loss: float
    losses: list[float] = Field(description="Training loss at each logged step")
    parameters: int
    learning_rates: list[float] | None = Field(
        None, description="Learning rate of each step; NULL where an older version trained"
    )
    gradient_norms: list[float] | None = Field(
        None, description="Norm of each step's gradient before clipping; NULL where an older version trained"
    )
    preference_accuracies: list[float] | None = Field(
        None,
        description="Share of each step's pairs with a positive margin; NULL where it did not learn preferences",
    )
    preference_margins: list[float] | None = Field(
        None,
        description="Mean margin of each step's pairs (beta * d); NULL where it did not learn preferences",
    )

    @model_validator(mode="after")
    def _identify(self) -> Self:
        """Rows of versions up to 0.3 have no id. What is None does not enter: columns may be added. As text, because a
        diverged training has losses that are no numbers."""
        if not self.training_id:
            row = {name: repr(value) for name, value in self if value is not None and name != "training_id"}
            object.__setattr__(self, "training_id", content_id("training", row))
        return self


class EvaluationRecord(Record):
    """One greedy test episode of a checkpoint."""

    table: ClassVar[str] = "evaluations"
    key: ClassVar[tuple[str, ...]] = ("evaluation_id",)
    evaluation_id: str
    checkpoint: str
    role: PolicyRole = Field(description="Which training gave the policy")
    split: str = Field(description="Split that the task belongs to")
    start: EpisodeStart = Field(
        description="From the task, after a forced deviated turn, or the same point without the deviation"
    )
    task_id: str
    task_type: str
    trajectory_id: str
    success: bool
    n_steps: int
    invalid_actions: int
    expert_steps: int | None = None


class LlmCallRecord(Record):
    """One answered or given-up request to a language model behind an API. A reply that is used again is not asked for
    again: its call is a row once, and belongs to every run that used it."""

    table: ClassVar[str] = "llm_calls"
    key: ClassVar[tuple[str, ...]] = ("call_id",)
    call_id: str
    purpose: CallPurpose = Field(description="What the reply was for")
    request_id: str = Field(description="Content id of model and request: equal requests share it")
    model: str = Field(description="What was asked for: a checkpoint's digest, or a provider's model")
    served_model: str = Field(description="What the server called itself")
    server: str = Field(description="Host and port that answered last")
    started_at: str = Field(description="When the first try began, UTC")
    latency: float = Field(description="Seconds from sending to the answer, of the last try")
    waited: float = Field(description="Seconds from the first try to the answer, pauses included")
    retries: int = Field(description="Tries that failed before")
    faults: list[str] = Field(description="What each failed try met, in order")
    prompt_tokens: int = Field(description="Input tokens, as the server counted them")
    cached_tokens: int = Field(description="Of these, tokens that the server had cached")
    completion_tokens: int = Field(description="Generated tokens")
    finish: str = Field(description="stop or length; empty where there was no answer")
    ok: bool = Field(description="FALSE where the request was given up")
    usd: float | None = Field(None, description="Price by budget.prices; NULL where the model has none")


RECORDS: tuple[type[Record], ...] = (
    TaskRecord,
    TrajectoryRecord,
    StepRecord,
    RolloutRecord,
    ScoredTurnRecord,
    DeviationRecord,
    JudgementRecord,
    RepairChoiceRecord,
    CalibrationRecord,
    TrainingExampleRecord,
    PreferencePairRecord,
    CheckpointRecord,
    EvaluationRecord,
    LlmCallRecord,
)
