"""The literal types that settings, records and the method share, each defined once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

TRAIN = "train"
"""The split that training tasks come from. A world names the others."""
ActionFormatName = Literal["react", "tool_call", "code", "text"]
"""How a turn holds its action (steca/action_formats.py)."""

TrajectoryKind = Literal[
    "expert", "explored", "sampled", "calibrated", "rejected_repair", "evaluation", "forced_deviation"
]
Origin = Literal["expert", "policy", "deviation", "repair"]
"""Who wrote a turn: the expert, the policy under study, the policy at a calibrated trajectory's deviated
step, or the repair after it (the reflected turn and what follows)."""
End = Literal["done", "step_cap", "invalid_streak", "running", "replay_diverged", "environment_fault"]
"""Why a trajectory stopped. replay_diverged: recorded expert turns did not lead to the recorded observations;
environment_fault: the world could not continue it."""
END_WITHOUT_SUCCESS: dict[str, str] = {
    "running": "the expert had no further turn",
    "step_cap": "environment.step_cap was reached",
    "invalid_streak": "too many actions in a row had no effect",
    "done": "the world ended the episode before the goal",
    "replay_diverged": "the world answered otherwise than before",
    "environment_fault": "the world could not continue the episode",
}
"""Why the expert's run of a task is no success, by its end."""
Finish = Literal["stop", "length"]
"""Why a model stopped generating: it was done, or reached its token limit."""

Side = Literal["expert", "explored"]
"""Whose turn was scored."""
RewardOutcome = Literal["success", "progress", "score"]
"""Which value of a rollout is compared: whether it reached reward 1, the share of the goal, or the reward."""
Decision = Literal["deviated", "not_deviated", "undecided", "filtered"]
JudgedLabel = Literal["good", "bad"]
"""What a language model says of a turn."""
GapConclusion = Literal["yes", "no", "undecided"]
"""Whether the anytime-valid test has shown the expert's turn to be better."""
RepairChoice = Literal["verdict", "gap", "value", "random"]
"""Which turns are repaired: those that the rule selects, random ones, those with the largest expected drop."""
RepairPlan = Literal["expert_suffix", "expert_continuation", "planner"]
"""Where the turns of a repair come from."""
RejectionReason = Literal[
    "no_plan",  # the expert has no plan from the deviated state (nothing was executed)
    "replay_diverged",  # replaying the prefix or the deviated turn gave another result than recorded
    "nothing_repaired",  # the episode ended at the deviated turn
    "invalid_repair",  # it succeeded, but an action of the repair had no effect: not a turn to teach
    "repair_failed",  # the repair's turns ran out before the goal, or too many in a row were invalid
    "step_cap",  # the episode reached its step cap first
    "not_a_success",  # the world ended the episode before the goal
]
"""Why an executed repair is rejected."""
CalibrationRejection = Literal[RejectionReason, "no_reflection"]
"""Why a calibration is rejected; no_reflection: the repair succeeded, but no valid reflection was written."""

DatasetName = Literal["calibrated", "explored_success", "sampled_success", "expert_suffix", "expert"]
PreferenceMethod = Literal["dpo", "eto", "ipr", "step_dpo"]
"""The methods that train on preference pairs."""
TrainingMethod = Literal["likelihood", PreferenceMethod]
PairKind = Literal["outcome", "step"]
"""What a preference pair was chosen by: outcome, whole runs from the start of the task; step, turns or suffixes after a
shared history."""
ReferenceModel = Literal["current", "warmup"]
"""The reference model of a preference loss: the model that the training starts from, or the warm-up model."""
IprPreset = Literal["paper", "release"]
ChosenTurn = Literal["rollout", "expert"]
"""Whose turn Step-DPO prefers to a deviated turn: that of a successful rollout, or the expert's."""
PolicyRole = Literal["warmup", "trained"]
EpisodeStart = Literal["task", "forced_deviation", "forced_control"]
"""What a test episode starts from."""
CallPurpose = Literal["policy", "reflection", "judgement"]
"""The purpose of a call to a language model."""
PromptStyle = Literal["plain", "react", "one_shot"]
"""plain: no prompt before an episode; react: the world's instruction; one_shot: that and a worked example."""
Device = Literal["auto", "cpu", "cuda"]

Progress = Callable[[int, int], None]
"""Called with (done, total) as work proceeds."""
