"""Stage calibrate: reflect on every selected deviation, and prove the repair by executing it (method section 2.5).

Plans are tried in order until one executes to success: the expert's own remaining turns, the exploring expert
from the deviated history, the planner. What was executed is stored, kept or rejected with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from configs.schema import FactoryConfig
from environments.base import Environment, World
from models.reflectors.reflector import NoReflection, Reflection, ReflectionRequest, Reflector
from rollouts.play import Played, Start, Wrapping, as_origin, beginning, execute
from rollouts.rows import Demonstration, demonstrations, of_type, stored, trajectory_records
from rollouts.stages.demonstrate import continue_expert
from steca.calibration import Rejection, assemble, rejection, splice
from steca.exploration import Exploration
from steca.vocabulary import Progress, RepairPlan
from storage.ids import content_id
from storage.records import CalibrationRecord, DeviationRecord, Record


@dataclass(frozen=True, slots=True)
class Attempt:
    """One executed plan, and why it cannot be kept (None where it can)."""

    plan: RepairPlan
    played: Played
    refused: Rejection | None


def calibrate(
    world: World,
    reflector: Reflector,
    records: Sequence[Record],
    config: FactoryConfig,
    progress: Progress | None = None,
) -> list[Record]:
    """Rows of the calibrations of all selected deviations, and of the trajectories that they executed."""
    environment = world.environment()
    wrapping = Wrapping(config.environment)
    demos = {demo.task.task_id: demo for demo in demonstrations(records)}
    runs = {run.id: run.trajectory for run in stored(records)}
    repairs = []
    for deviation in of_type(records, DeviationRecord):
        if deviation.selected:
            demo, explored = demos[deviation.task_id], runs[deviation.explored_trajectory_id]
            exploration = Exploration(demo.expert.trajectory, explored, deviation.step_index)
            attempt = best_attempt(environment, demo, exploration, wrapping, config.calibration.replan)
            repairs.append(Repair(deviation, demo, exploration, attempt))
    executed = [repair for repair in repairs if repair.attempt.refused is None]
    thoughts = reflector.reflect([repair.request() for repair in executed], progress)
    outcome = {
        repair.deviation.deviation_id: thought for repair, thought in zip(executed, thoughts, strict=True)
    }
    return [
        row
        for repair in repairs
        for row in _rows(repair, outcome.get(repair.deviation.deviation_id), reflector.label)
    ]


@dataclass(frozen=True, slots=True)
class Repair:
    """A deviation with the best attempt at its repair."""

    deviation: DeviationRecord
    demo: Demonstration
    exploration: Exploration
    attempt: Attempt

    @property
    def played(self) -> Played:
        """The attempt with its true authors."""
        return _labelled(self.attempt.played, self.exploration.step)

    @property
    def required_action(self) -> str:
        """The repair's first action; "" where nothing was executed."""
        repair = self.attempt.played.trajectory.steps[self.exploration.step + 1 :]
        return repair[0].action if repair else ""

    def request(self) -> ReflectionRequest:
        """What the reflector is shown: all up to the deviated turn and what it led to, and what has to come next."""
        return ReflectionRequest(
            instruction=self.demo.task.instruction,
            first_observation=self.demo.expert.trajectory.first_observation,
            steps=self.played.trajectory.steps[: self.exploration.step + 1],
            required_action=self.required_action,
        )


def best_attempt(
    environment: Environment, demo: Demonstration, exploration: Exploration, wrapping: Wrapping, replan: bool
) -> Attempt:
    """The first plan that executes to success, else the last one that was tried."""
    start = beginning(environment, demo.task)
    deviated = execute(environment, start, splice(exploration, ()), "expert", wrapping)[-1]
    attempt = Attempt("expert_suffix", deviated, rejection(exploration, deviated.trajectory))
    if deviated.trajectory.end != "running":
        return attempt
    for plan, run in _plans(environment, deviated.resume(demo.task), exploration, wrapping, replan):
        played = run() or deviated
        attempt = Attempt(plan, played, _refused(exploration, played, deviated))
        if attempt.refused is None:
            break
    return attempt


def _refused(exploration: Exploration, played: Played, deviated: Played) -> Rejection | None:
    if played is deviated:
        return Rejection("no_plan", "the expert knows no way on from the deviated state")
    return rejection(exploration, played.trajectory)


def _plans(
    environment: Environment, start: Start, exploration: Exploration, wrapping: Wrapping, replan: bool
) -> Iterator[tuple[RepairPlan, Callable[[], Played | None]]]:
    def written(texts: Sequence[str]) -> Played | None:
        return execute(environment, start, texts, "repair", wrapping)[-1] if texts else None

    def planned() -> Played | None:
        environment.restore(start.snapshot)
        return written([turn.text for turn in environment.plan_repair() or ()])

    yield "expert_suffix", lambda: written([turn.text for turn in exploration.expert_suffix])
    if replan:
        yield "expert_continuation", lambda: continue_expert(environment, start, wrapping)
        yield "planner", planned


def _rows(repair: Repair, thought: Reflection | NoReflection | None, label: str) -> list[Record]:
    """The rows of a calibration and of the trajectory that it executed; `thought` is None where that failed."""
    played, reflection, deviation = repair.played, "", repair.deviation
    if isinstance(thought, Reflection):
        calibrated = assemble(repair.exploration, played.trajectory, thought.thought)
        reflection = calibrated.reflection  # as it stands in the trajectory: on one line
        played = replace(played, trajectory=calibrated.trajectory)
    refused = _why_refused(repair.attempt, thought)
    kept = refused is None
    in_one = f"{refused[0]}: {refused[1]}" if refused else None  # as ids have always had it
    trajectory_id, rows = trajectory_records(played, "calibrated" if kept else "rejected_repair", None)
    plan, asked = repair.attempt.plan, [thought.attempts] if thought and thought.attempts else []
    head = CalibrationRecord(
        calibration_id=content_id(
            "calibration", deviation.deviation_id, trajectory_id, label, reflection, plan, in_one, *asked
        ),
        deviation_id=deviation.deviation_id,
        task_id=deviation.task_id,
        trajectory_id=trajectory_id,
        reflector=label,
        reflection=reflection,
        required_action=repair.required_action,
        plan=plan,
        kept=kept,
        rejection=refused[0] if refused else None,
        rejection_detail=refused[1] if refused else None,
        attempts=asked[0] if asked else None,
    )
    return [head, *rows]


def _why_refused(attempt: Attempt, thought: Reflection | NoReflection | None) -> tuple[str, str] | None:
    """The reason and its detail; None where nothing is against the calibration."""
    if attempt.refused:
        return attempt.refused.reason, attempt.refused.detail
    return ("no_reflection", thought.reason) if isinstance(thought, NoReflection) else None


def _labelled(played: Played, step: int) -> Played:
    """An executed attempt, kept or not, with its true authors: `step` expert turns, the deviation, the repair."""
    steps = played.trajectory.steps
    steps = (
        *steps[:step],
        *as_origin(steps[step : step + 1], "deviation"),
        *as_origin(steps[step + 1 :], "repair"),
    )
    return replace(played, trajectory=replace(played.trajectory, steps=steps, prefix=step + 1))
