"""Calibration (method section 2.5): from a deviated turn to an executed trajectory that repairs it.

    context   first observation, the expert's a_1..a_t, the deviated turn â_{t+1} and its real observation
    target    a reflective thought + the repair's first action, then the rest of the repair

The repair is the expert's own suffix a_{t+1}..a_T, or another plan from the deviated state. No repair is assumed to
work: `turns_through_deviation` gives the turns to replay, `rejection` judges the execution, and `calibrated_trajectory`
builds the trajectory from the observations that occurred. The world reads actions only, so the reflective thought is
written after the execution check, and only for repairs that passed it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from steca.action_formats import REACT, ActionFormat
from steca.exploration import Exploration
from steca.types import Step, Trajectory, Turn
from steca.vocabulary import RejectionReason


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a repair is rejected."""

    reason: RejectionReason
    detail: str


@dataclass(frozen=True, slots=True)
class CalibratedTrajectory:
    """A calibrated trajectory, executed to success.

    `trajectory` holds `deviated` expert steps, then the deviated step (index `deviated`), then the repair.
    Only the repair is a training target. `contrast` holds the agent's own actions after the deviated turn,
    for the distance.
    Raises ValueError if the origins are in another order, the repair is empty, or the run failed.
    """

    trajectory: Trajectory
    deviated: int
    contrast: tuple[str, ...]

    def __post_init__(self) -> None:
        where = f"calibrated trajectory of task {self.trajectory.task_id}"
        origins = [step.origin for step in self.trajectory.steps]
        repair = len(origins) - self.deviated - 1
        expected = ["expert"] * self.deviated + ["deviation"] + ["repair"] * repair
        if repair < 1 or origins != expected:
            raise ValueError(
                f"{where}: its steps must be {self.deviated} expert, 1 deviation, then the repair; "
                f"got {origins}"
            )
        if not self.trajectory.success:
            raise ValueError(f"{where}: its outcome is {self.trajectory.outcome}; only successes are kept")

    @property
    def target_from(self) -> int:
        """Index of the first target step, t + 1; the steps before it are context."""
        return self.deviated + 1

    @property
    def target_actions(self) -> tuple[str, ...]:
        return self.trajectory.actions[self.target_from :]

    @property
    def reflection(self) -> str:
        """The reflective thought: the thought of the first target step."""
        return self.trajectory.steps[self.target_from].thought


def reflected(repair: Sequence[Turn], thought: str) -> tuple[Turn, ...]:
    """The repair with the reflective thought in its first turn; its actions stay as they are.

    Line breaks in the thought become spaces, so that it cannot be read as further turns.
    Raises ValueError if the repair is empty or the thought blank.
    """
    if not repair:
        raise ValueError(
            "a repair needs at least one turn to carry the reflective thought; ask for a new plan"
        )
    if not thought.strip():
        raise ValueError(
            f"the reflective thought before {repair[0].action!r} is blank; ask the reflector again"
        )
    return (Turn(" ".join(thought.split()), repair[0].action), *repair[1:])


def turns_through_deviation(exploration: Exploration) -> tuple[str, ...]:
    """The texts of the turns to execute from the task's start: the prefix, and the deviated turn as it was written."""
    return tuple(step.text for step in (*exploration.prefix, exploration.explored_step))


def rejection(exploration: Exploration, executed: Trajectory) -> Rejection | None:
    """Why an executed repair is rejected; None if it is kept. `executed` is the run from the task's start."""
    start = exploration.step + 1
    diverged = _divergence(exploration, executed)
    if diverged is not None:
        return Rejection("replay_diverged", diverged)
    repair = executed.steps[start:]
    if not repair:
        return Rejection("nothing_repaired", f"the episode ended ({executed.end}) at the deviated turn")
    invalid = next((start + i for i, step in enumerate(repair) if not step.valid), None)
    if executed.success:
        if invalid is None:
            return None
        return Rejection("invalid_repair", f"step {invalid}, {executed.steps[invalid].action!r}, did nothing")
    reason: RejectionReason = "repair_failed"
    if executed.end == "step_cap":
        reason = "step_cap"
    elif executed.end == "done":
        reason = "not_a_success"
    first = "" if invalid is None else f"; step {invalid}, {executed.steps[invalid].action!r}, did nothing"
    return Rejection(reason, f"outcome {executed.outcome:g} after {len(executed.steps)} steps{first}")


def calibrated_trajectory(
    exploration: Exploration, executed: Trajectory, thought: str, form: ActionFormat = REACT
) -> CalibratedTrajectory:
    """The calibrated trajectory of an executed repair, with `thought` as its reflective thought. `form`: how turns
    are written.

    Steps are labelled expert, deviation, repair; actions and observations are those that occurred.
    Raises ValueError if `rejection` gives a reason.
    """
    rejected = rejection(exploration, executed)
    if rejected is not None:
        raise ValueError(
            f"task {exploration.task_id}, step {exploration.step}: the repair cannot be kept, "
            f"{rejected.reason}: {rejected.detail}"
        )
    start = exploration.step + 1
    played = executed.steps[start:]
    turns = reflected([Turn(step.thought, step.action) for step in played], thought)
    repair = [
        replace(step, text=form.text(turn), thought=turn.thought, origin="repair", tokens=0)
        for step, turn in zip(played, turns, strict=True)
    ]
    steps = (*exploration.prefix, replace(exploration.explored_step, origin="deviation"), *repair)
    trajectory = replace(executed, steps=steps, prefix=start)
    return CalibratedTrajectory(trajectory, exploration.step, exploration.continuation)


def _divergence(exploration: Exploration, executed: Trajectory) -> str | None:
    """How the replayed context differs from the recorded one; None if it does not."""
    recorded = (*exploration.prefix, exploration.explored_step)
    if len(executed.steps) < len(recorded):
        return f"the run ended after {len(executed.steps)} of {len(recorded)} replayed steps"
    if executed.task_id != exploration.task_id:
        return f"the run is of another task, {executed.task_id}"
    for index, (then, now) in enumerate(zip(recorded, executed.steps, strict=False)):
        if _effect(then) != _effect(now):
            return f"step {index} was {_effect(then)} when recorded and is {_effect(now)} now"
    return None


def _effect(step: Step) -> tuple[str, str]:
    return step.action, step.observation
