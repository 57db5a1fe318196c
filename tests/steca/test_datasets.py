"""The data sets: which samples enter, what is context and what is target, and the weights."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import pytest

from steca.calibration import calibrated_trajectory
from steca.datasets import (
    Sources,
    TrainingSample,
    calibrated_sample,
    distinct_successes,
    expert_sample,
    expert_suffix_sample,
    explored_success_sample,
    sampled_sample,
    suffix_rule,
)
from steca.deviation import decide, preset
from steca.rewards import Tally
from steca.weights import Weighting, weighting
from tests.support.steca_runs import expert, exploration, run, step

SOURCES = Sources("run-1", "run-2", "deviation-3", "calibration-4")
PLAIN = Weighting(0.5)


def targets(sample: TrainingSample) -> tuple[int, int]:
    """Index of the first target step, and the number of steps."""
    return sample.target_from, len(sample.trajectory.steps)


def differ(a: str, b: str) -> float:
    return float(a != b)


def expert_is_better(expert: Tally, explored: Tally, name: str) -> bool:
    return decide(expert, explored, suffix_rule(preset(name, delta=0.3))).verdict == "deviated"


def test_calibrated() -> None:
    """Target c d against y z w: three aligned pairs at distance 1 over sqrt(4 + 9)."""
    found = exploration("abcd", "abxyzw", at=2)
    played = run([step(a) for a in "abxcd"], 1.0)
    sample = calibrated_sample(calibrated_trajectory(found, played, "oops"), PLAIN, SOURCES, differ)
    assert sample.dataset == "calibrated"
    assert targets(sample) == (3, 5)
    assert sample.contrast == ("y", "z", "w")
    assert sample.distance == pytest.approx(3 / sqrt(13))
    assert sample.weight == pytest.approx(1 + 0.5 * 3 / sqrt(13))
    assert sample.sources == SOURCES


def test_calibrated_needs_a_contrast() -> None:
    found = exploration("abcd", "abx", at=2)
    calibrated = calibrated_trajectory(found, run([step(a) for a in "abxcd"], 1.0), "oops")
    with pytest.raises(ValueError, match="contrast sequence is empty"):
        calibrated_sample(calibrated, PLAIN, SOURCES)


def test_explored_success() -> None:
    """Target a x against a b: one pair at 0, one at 1, over sqrt(4 + 4)."""
    sample = explored_success_sample(exploration("ab", "ax", at=0, outcome=1.0), PLAIN, SOURCES, differ)
    assert sample is not None
    assert (sample.dataset, targets(sample), sample.contrast) == ("explored_success", (0, 2), ("a", "b"))
    assert sample.trajectory.actions == ("a", "x")
    assert sample.distance == pytest.approx(1 / sqrt(8))
    assert sample.weight == pytest.approx(1 - 0.5 / sqrt(8))


def test_an_explored_success_far_away_has_no_negative_weight() -> None:
    sample = explored_success_sample(exploration("ab", "xy", 0, 1.0), Weighting(9.0), SOURCES, differ)
    assert sample is not None
    assert sample.weight == 0.0


def test_explored_success_wants_a_success_from_scratch() -> None:
    assert explored_success_sample(exploration("ab", "ax", 0, outcome=0.0), PLAIN, SOURCES) is None
    assert explored_success_sample(exploration("ab", "ax", 1, outcome=1.0), PLAIN, SOURCES) is None


def test_the_releases_filter_keeps_only_near_explored_successes() -> None:
    released = weighting("release-alfworld", 1.0)
    assert explored_success_sample(exploration("ab", "ax", 0, 1.0), released, SOURCES, differ) is None
    equal = explored_success_sample(exploration("ab", "ab", 0, 1.0), released, SOURCES, differ)
    assert equal is not None
    assert (equal.distance, equal.weight) == (0.0, 1.0)


def test_expert_suffix() -> None:
    """At step 1 the expert goes b c, the agent x y z: three pairs at distance 1 over sqrt(4 + 9)."""
    found = exploration("abc", "axyz", at=1)
    sample = expert_suffix_sample(found, True, PLAIN, SOURCES, differ)
    assert sample is not None
    assert sample.dataset == "expert_suffix"
    assert sample.trajectory is found.expert
    assert (targets(sample), sample.contrast) == ((1, 3), ("x", "y", "z"))
    assert sample.distance == pytest.approx(3 / sqrt(13))
    assert sample.weight == pytest.approx(1 + 0.5 * 3 / sqrt(13))


@pytest.mark.parametrize("name", ["paper", "release"])
@pytest.mark.parametrize(
    ("expert_wins", "explored_wins", "better"),
    [
        (52, 50, True),
        (51, 50, False),
        (50, 50, False),
        (40, 50, False),
    ],  # of 100: the margin .01 itself is a tie, and no rule takes it for better
)
def test_the_margin_of_expert_suffixes(name: str, expert_wins: int, explored_wins: int, better: bool) -> None:
    assert expert_is_better(Tally(100, expert_wins), Tally(100, explored_wins), name) == better


def test_the_sequential_rule_wants_proof_of_expert_suffixes_too() -> None:
    assert not expert_is_better(Tally(100, 52), Tally(100, 50), "sequential")
    assert expert_is_better(Tally(100, 90), Tally(100, 50), "sequential")


def test_expert_suffix_wants_a_failure_and_a_better_expert_turn() -> None:
    failed = exploration("abc", "axy", 1, 0.0)
    assert expert_suffix_sample(exploration("abc", "axy", 1, 1.0), True, PLAIN, SOURCES) is None
    assert expert_suffix_sample(failed, False, PLAIN, SOURCES) is None
    assert expert_suffix_sample(failed, True, PLAIN, SOURCES) is not None


def test_expert_suffix_from_scratch_is_the_whole_run_and_needs_no_comparison() -> None:
    sample = expert_suffix_sample(exploration("abc", "xyz", 0), False, PLAIN, SOURCES, differ)
    assert sample is not None
    assert targets(sample) == (0, 3)
    assert sample.contrast == ("x", "y", "z")
    assert expert_suffix_sample(exploration("abc", "xyz", 0, 1.0), False, PLAIN, SOURCES) is None


def test_whole_expert_runs_have_weight_one() -> None:
    sample = expert_sample(expert("abc"), Sources("run-1"))
    assert (targets(sample), sample.weight, sample.distance) == ((0, 3), 1.0, None)
    with pytest.raises(ValueError, match=r"expert run run-9 has outcome 0\.0"):
        expert_sample(expert("abc", outcome=0.0), Sources("run-9"))


@pytest.mark.parametrize(
    ("target_from", "word"), [(3, "3 of 3 steps"), (-1, "-1 of 3"), (1, "deviated turn would be")]
)
def test_a_sample_without_a_proper_target_is_refused(target_from: int, word: str) -> None:
    trajectory = run([step("a", "expert"), step("x", "deviation"), step("b", "repair")], 1.0)
    with pytest.raises(ValueError, match=f"calibrated sample of trajectory run-1.*{word}"):
        TrainingSample("calibrated", trajectory, target_from, (), 1.0, None, Sources("run-1"))
    assert targets(TrainingSample("calibrated", trajectory, 2, (), 1.0, None, SOURCES)) == (2, 3)


def test_sampled_successes_are_distinct_by_their_actions() -> None:
    """Failures are left out, and of equal actions the first run stays, whatever it thought."""
    first, other = run([step("a"), step("b")], 1.0), run([step("a")], 1.0)
    again = run([replace(step("a"), thought="hm", text="hm"), step("b")], 1.0)
    failed = run([step("c")], 0.9)
    assert distinct_successes([failed, first, other, again, first]) == [first, other]
    assert distinct_successes([again, first]) == [again]
    assert distinct_successes([]) == []


def test_a_sampled_success_is_trained_whole_with_weight_1() -> None:
    sample = sampled_sample(run([step("a"), step("b")], 1.0), SOURCES)
    assert (sample.dataset, targets(sample), sample.weight, sample.distance) == (
        "sampled_success",
        (0, 2),
        1.0,
        None,
    )
