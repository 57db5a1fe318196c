"""The data sets of reinforced training (method section 2.6).

    set                context             target                          contrast
    calibrated (D_c)   prefix + deviation  reflection and repair           the agent's continuation
    explored_success   the task            a from-scratch explored success the expert's run
    sampled_success    the task            a sampled success               none: weight 1
    expert_suffix      expert prefix       the expert's suffix             the agent's suffix
    expert             the task            a whole expert run              none: weight 1

explored_success is D_e, expert_suffix is D_s; `expert` adds plain demonstrations, sampled_success the data of RFT.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from steca.calibration import CalibratedTrajectory
from steca.deviation import Rule, by_means
from steca.distance import ElementDistance, lexical_distance, ndtw
from steca.exploration import Exploration
from steca.types import Trajectory
from steca.vocabulary import DatasetName
from steca.weights import Weighting, lowered_weight

SUFFIX_MARGIN = 0.01
"""D_s: the margin by which the expert turn's reward must exceed the explored turn's at the same step."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Ids of the rows that a sample comes from."""

    trajectory_id: str
    contrast_trajectory_id: str | None = None
    deviation_id: str | None = None
    calibration_id: str | None = None


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """One weighted example. Steps before `target_from` are context, the others are targets.

    `distance` is nDTW(target, contrast), None if there is no contrast.
    Raises ValueError if no step would be a target, or a deviated turn would.
    """

    dataset: DatasetName
    trajectory: Trajectory
    target_from: int
    contrast: tuple[str, ...]
    weight: float
    distance: float | None
    sources: Sources

    def __post_init__(self) -> None:
        where = f"{self.dataset} sample of trajectory {self.sources.trajectory_id}"
        if not 0 <= self.target_from < len(self.trajectory.steps):
            raise ValueError(
                f"{where}: target_from is {self.target_from} of {len(self.trajectory.steps)} steps: no target"
            )
        if any(step.origin == "deviation" for step in self.trajectory.steps[self.target_from :]):
            raise ValueError(f"{where}: a deviated turn would be a target; set target_from after it")


def calibrated_sample(
    calibrated: CalibratedTrajectory,
    weighting: Weighting,
    sources: Sources,
    element: ElementDistance = lexical_distance,
    drop_probability: float = 1.0,
) -> TrainingSample:
    """D_c. Raises ValueError if the agent never acted after the deviated turn, so that there is no contrast."""
    distance = ndtw(calibrated.target_actions, calibrated.contrast, element)
    weight = weighting.raised(distance, drop_probability)
    return TrainingSample(
        "calibrated",
        calibrated.trajectory,
        calibrated.target_from,
        calibrated.contrast,
        weight,
        distance,
        sources,
    )


def explored_success_sample(
    exploration: Exploration,
    weighting: Weighting,
    sources: Sources,
    element: ElementDistance = lexical_distance,
) -> TrainingSample | None:
    """D_e. None unless the run is from scratch (step 0), succeeded, and passes the weighting's distance filter."""
    explored, contrast = exploration.explored, exploration.expert.actions
    if exploration.step != 0 or not explored.success:
        return None
    distance = ndtw(explored.actions, contrast, element)
    if not weighting.keeps_explored(distance):
        return None
    weight = lowered_weight(distance, weighting.lam)
    return TrainingSample("explored_success", explored, 0, contrast, weight, distance, sources)


def suffix_rule(rule: Rule) -> Rule:
    """The rule for D_s: r(s_t, a_{t+1}) > r(s_t, â_{t+1}) + 0.01 at the same step, decided as `rule` decides eq. 5; by
    means where `rule` asks a language model. Pass the expert turn's reward to `decide` as the reference; "deviated"
    then means that the expert turn is better."""
    return replace(by_means(rule), delta=-SUFFIX_MARGIN, strict=True)


def expert_suffix_sample(
    exploration: Exploration,
    expert_is_better: bool,
    weighting: Weighting,
    sources: Sources,
    element: ElementDistance = lexical_distance,
    better_probability: float = 1.0,
) -> TrainingSample | None:
    """D_s. None unless the explored run failed and `expert_is_better` by `suffix_rule`.

    At step 0 the failure alone decides, and the whole expert run is the target. (The released code compares from step
    2 on.)
    """
    if exploration.explored.success or not (exploration.step == 0 or expert_is_better):
        return None
    run, step, contrast = exploration.expert, exploration.step, exploration.agent_suffix
    distance = ndtw(run.actions[step:], contrast, element)
    weight = weighting.raised(distance, better_probability)
    return TrainingSample("expert_suffix", run, step, contrast, weight, distance, sources)


def expert_sample(run: Trajectory, sources: Sources) -> TrainingSample:
    """A whole expert run with weight 1. Raises ValueError if it did not succeed."""
    if not run.success:
        raise ValueError(f"expert run {sources.trajectory_id} has outcome {run.outcome}; leave it out")
    return TrainingSample("expert", run, 0, (), 1.0, None, sources)


def distinct_successes(runs: Iterable[Trajectory]) -> list[Trajectory]:
    """The successful runs of one task, each sequence of actions once: the first of equal ones (RFT, Yuan et al.
    2023)."""
    first: dict[tuple[str, ...], Trajectory] = {}
    for run in runs:
        if run.success:
            first.setdefault(run.actions, run)
    return list(first.values())


def sampled_sample(run: Trajectory, sources: Sources) -> TrainingSample:
    """A whole successful sampled run with weight 1."""
    return TrainingSample("sampled_success", run, 0, (), 1.0, None, sources)
