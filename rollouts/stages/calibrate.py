"""Stage calibrate: execute a repair of every selected deviation, and reflect on it (method section 2.5). Where
`rollouts.stages.choose` has chosen turns, these are repaired instead.

Plans are tried in order until one succeeds: the expert's own remaining turns, the exploring expert from the deviated
history, the planner. One row is stored for each deviation: the plan that succeeded, else the one tried last, kept or
rejected with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from configs.schema import FactoryConfig
from environments.complete import CompleteWorld
from models.reflectors.reflector import NoReflection, Reflection, ReflectionRequest, Reflector
from rollouts.play import EpisodeSettings, PlayedEpisode, Start, execute, start_of, with_origin
from rollouts.rows import Demonstration, demonstrations, of_type, stored_trajectories, trajectory_records
from rollouts.stages.demonstrate import continue_expert
from steca.action_formats import ActionFormat
from steca.calibration import Rejection, calibrated_trajectory, rejection, turns_through_deviation
from steca.exploration import Exploration
from steca.vocabulary import Progress, RepairPlan
from storage.ids import content_id
from storage.records import CalibrationRecord, DeviationRecord, Record


@dataclass(frozen=True, slots=True)
class RepairAttempt:
    """One executed plan, and why it is rejected (None if it is kept)."""

    plan: RepairPlan
    played: PlayedEpisode
    rejection: Rejection | None


def calibrate(
    world: CompleteWorld,
    reflector: Reflector,
    records: Sequence[Record],
    config: FactoryConfig,
    progress: Progress | None = None,
    chosen: Collection[str] | None = None,
) -> list[Record]:
    """Rows of the calibrations of all selected deviations, and of the executed trajectories. `chosen`: ids of the
    deviations to repair instead."""
    settings = EpisodeSettings(config.environment)
    demos = {demo.task.task_id: demo for demo in demonstrations(records)}
    runs = {run.id: run.trajectory for run in stored_trajectories(records)}
    repairs = []
    for deviation in of_type(records, DeviationRecord):
        if deviation.selected if chosen is None else deviation.deviation_id in chosen:
            demo, explored = demos[deviation.task_id], runs[deviation.explored_trajectory_id]
            exploration = Exploration(demo.expert.trajectory, explored, deviation.step_index)
            attempt = best_attempt(world, demo, exploration, settings, config.calibration.replan)
            repairs.append(Repair(deviation, demo, exploration, attempt))
    executed = [repair for repair in repairs if repair.attempt.rejection is None]
    thoughts = reflector.reflect([repair.request() for repair in executed], progress)
    outcome = {
        repair.deviation.deviation_id: thought for repair, thought in zip(executed, thoughts, strict=True)
    }
    return [
        row
        for repair in repairs
        for row in _rows(repair, outcome.get(repair.deviation.deviation_id), reflector.label, world.form)
    ]


@dataclass(frozen=True, slots=True)
class Repair:
    """A deviation with the best attempt at its repair."""

    deviation: DeviationRecord
    demo: Demonstration
    exploration: Exploration
    attempt: RepairAttempt

    @property
    def played(self) -> PlayedEpisode:
        """The attempt, its steps attributed to expert, deviation and repair."""
        return _labelled(self.attempt.played, self.exploration.step)

    @property
    def required_action(self) -> str:
        """The repair's first action; "" if none was executed."""
        repair = self.attempt.played.trajectory.steps[self.exploration.step + 1 :]
        return repair[0].action if repair else ""

    def request(self) -> ReflectionRequest:
        """The reflector's input: the history up to the deviated turn and its observation, and the action that must
        follow."""
        return ReflectionRequest(
            instruction=self.demo.task.instruction,
            first_observation=self.demo.expert.trajectory.first_observation,
            steps=self.played.trajectory.steps[: self.exploration.step + 1],
            required_action=self.required_action,
        )


def best_attempt(
    world: CompleteWorld,
    demo: Demonstration,
    exploration: Exploration,
    settings: EpisodeSettings,
    replan: bool,
) -> RepairAttempt:
    """The first plan that succeeds, else the last one tried."""
    start = start_of(world, demo.task)
    deviated = execute(world, start, turns_through_deviation(exploration), "expert", settings)[-1]
    attempt = RepairAttempt("expert_suffix", deviated, rejection(exploration, deviated.trajectory))
    if deviated.trajectory.end != "running":
        return attempt
    for plan, run in _plans(world, deviated.resume(demo.task), exploration, settings, replan):
        played = run() or deviated
        attempt = RepairAttempt(plan, played, _rejection_of(exploration, played, deviated))
        if attempt.rejection is None:
            break
    return attempt


def _rejection_of(
    exploration: Exploration, played: PlayedEpisode, deviated: PlayedEpisode
) -> Rejection | None:
    if played is deviated:
        return Rejection("no_plan", "the expert knows no way on from the deviated state")
    return rejection(exploration, played.trajectory)


def _plans(
    world: CompleteWorld, start: Start, exploration: Exploration, settings: EpisodeSettings, replan: bool
) -> Iterator[tuple[RepairPlan, Callable[[], PlayedEpisode | None]]]:
    def executed(texts: Sequence[str]) -> PlayedEpisode | None:
        return execute(world, start, texts, "repair", settings)[-1] if texts else None

    def planned() -> PlayedEpisode | None:
        assert start.state, "it was just played"
        return executed([world.form.text(turn) for turn in world.plan_repair(start.state) or ()])

    yield "expert_suffix", lambda: executed([world.form.text(turn) for turn in exploration.expert_suffix])
    if replan:
        yield "expert_continuation", lambda: continue_expert(world, start, settings)
        yield "planner", planned


def _rows(
    repair: Repair, thought: Reflection | NoReflection | None, label: str, form: ActionFormat
) -> list[Record]:
    """The rows of a calibration and of its executed trajectory; `thought` is None if the execution failed."""
    played, reflection, deviation = repair.played, "", repair.deviation
    if isinstance(thought, Reflection):
        calibrated = calibrated_trajectory(repair.exploration, played.trajectory, thought.thought, form)
        reflection = calibrated.reflection  # as in the trajectory: on one line
        played = replace(played, trajectory=calibrated.trajectory)
    reason = _reason_to_reject(repair.attempt, thought)
    kept = reason is None
    joined = f"{reason[0]}: {reason[1]}" if reason else None  # ids hold it in this form
    trajectory_id, rows = trajectory_records(played, "calibrated" if kept else "rejected_repair", None)
    plan, attempts = repair.attempt.plan, [thought.attempts] if thought and thought.attempts else []
    head = CalibrationRecord(
        calibration_id=content_id(
            "calibration", deviation.deviation_id, trajectory_id, label, reflection, plan, joined, *attempts
        ),
        deviation_id=deviation.deviation_id,
        task_id=deviation.task_id,
        trajectory_id=trajectory_id,
        reflector=label,
        reflection=reflection,
        required_action=repair.required_action,
        plan=plan,
        kept=kept,
        rejection=reason[0] if reason else None,
        rejection_detail=reason[1] if reason else None,
        attempts=attempts[0] if attempts else None,
    )
    return [head, *rows]


def _reason_to_reject(
    attempt: RepairAttempt, thought: Reflection | NoReflection | None
) -> tuple[str, str] | None:
    """The reason and its detail; None if the calibration is kept."""
    if attempt.rejection:
        return attempt.rejection.reason, attempt.rejection.detail
    return ("no_reflection", thought.reason) if isinstance(thought, NoReflection) else None


def _labelled(played: PlayedEpisode, step: int) -> PlayedEpisode:
    """An executed attempt, kept or not, with its steps attributed: `step` expert turns, the deviation, the repair."""
    steps = played.trajectory.steps
    steps = (
        *steps[:step],
        *with_origin(steps[step : step + 1], "deviation"),
        *with_origin(steps[step + 1 :], "repair"),
    )
    return replace(played, trajectory=replace(played.trajectory, steps=steps, prefix=step + 1))
