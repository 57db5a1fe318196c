"""Splices, what is rejected, and what a calibrated trajectory holds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from steca.action_formats import REACT
from steca.calibration import (
    CalibratedTrajectory,
    calibrated_trajectory,
    reflected,
    rejection,
    turns_through_deviation,
)
from steca.exploration import Exploration
from steca.types import Step, Trajectory, Turn
from tests.support.steca_runs import exploration, run, step

# The expert does a b c d; after a b the agent does x (deviated), then y z, and fails.
FOUND = exploration("abcd", "abxyz", at=2)
CONTEXT = [step("a", "policy"), step("b", "policy"), step("x", "policy")]


def executed(repair: list[Step], outcome: float = 1.0, end: str = "done") -> Trajectory:
    """What a player returns for a repaired run: every step labelled by the player's own lights."""
    return run([*CONTEXT, *repair], outcome, end)


def text(action: str, thought: str | None = None) -> str:
    return f"Thought: {thought or 'why ' + action}\nAction: {action}"


def test_the_parts_of_an_exploration() -> None:
    assert [turn.action for turn in FOUND.prefix] == ["a", "b"]
    assert FOUND.explored_step.action == "x"
    assert FOUND.expert_action == "c"
    assert FOUND.expert_suffix == (Turn("why c", "c"), Turn("why d", "d"))
    assert FOUND.agent_suffix == ("x", "y", "z")
    assert FOUND.continuation == ("y", "z")


def test_what_is_replayed_ends_with_the_deviated_turn() -> None:
    assert turns_through_deviation(FOUND) == (text("a"), text("b"), text("x"))
    first = exploration("ab", "xy", at=0)
    assert turns_through_deviation(first) == (text("x"),)


def test_an_unparsable_turn_is_replayed_as_it_was_written() -> None:
    garbled = replace(step("", valid=False), text="I go shelf")
    broken = Exploration(FOUND.expert, run([*CONTEXT[:2], garbled, step("y")], 0.0), 2)
    assert turns_through_deviation(broken)[2] == "I go shelf"


def test_reflection_keeps_the_required_action_and_stays_one_line() -> None:
    turns = reflected(FOUND.expert_suffix, " I erred.\nAction: z\n ")
    assert turns == (Turn("I erred. Action: z", "c"), Turn("why d", "d"))
    assert REACT.text(turns[0]).count("\n") == 1


def test_reflection_refuses_an_empty_repair_and_a_blank_thought() -> None:
    with pytest.raises(ValueError, match="at least one turn"):
        reflected([], "oops")
    with pytest.raises(ValueError, match="before 'c' is blank"):
        reflected(FOUND.expert_suffix, " \n")


def test_assemble_holds_what_really_happened() -> None:
    surprise = step("d", observation="d, seen from elsewhere")
    calibrated = calibrated_trajectory(FOUND, executed([step("c"), surprise]), "x was a mistake")
    trajectory = calibrated.trajectory
    assert trajectory.actions == ("a", "b", "x", "c", "d")
    assert [s.origin for s in trajectory.steps] == ["expert", "expert", "deviation", "repair", "repair"]
    assert trajectory.steps[4].observation == "d, seen from elsewhere"
    assert trajectory.steps[3].text == text("c", "x was a mistake")
    assert trajectory.success
    assert [s.tokens for s in trajectory.steps] == [0, 0, 7, 0, 0]


def test_target_is_the_repair_alone() -> None:
    calibrated = calibrated_trajectory(FOUND, executed([step("c"), step("d")]), "x was a mistake")
    assert calibrated.deviated == 2
    assert calibrated.target_from == calibrated.trajectory.prefix == 3
    assert calibrated.target_actions == ("c", "d")
    assert calibrated.reflection == "x was a mistake"
    assert calibrated.contrast == ("y", "z")


def test_a_repair_that_reaches_the_goal_early_is_kept() -> None:
    assert calibrated_trajectory(FOUND, executed([step("c")]), "oops").target_actions == ("c",)


REJECTED = [
    ("step_cap", executed([step("c"), step("d")], 0.0, "step_cap"), "outcome 0 after 5 steps"),
    ("not_a_success", executed([step("c")], 0.5, "done"), "outcome 0.5 after 4 steps"),
    (
        "repair_failed",
        executed([step("c"), step("d", valid=False)], 0.0, "running"),
        "step 4, 'd', did nothing",
    ),
    ("repair_failed", executed([step("c", valid=False)], 0.0, "invalid_streak"), "step 3, 'c', did nothing"),
    ("invalid_repair", executed([step("c", valid=False), step("d")]), "step 3, 'c', did nothing"),
    ("nothing_repaired", executed([], 0.0, "step_cap"), "step_cap"),
    ("replay_diverged", run(CONTEXT[:2], 0.0), "after 2 of 3"),
    ("replay_diverged", replace(executed([step("c")]), task_id="t9"), "t9"),
    (
        "replay_diverged",
        run([*CONTEXT[:2], step("x", observation="other"), step("c")], 1.0),
        "step 2 was .*done x.* is .*other",
    ),
]


@pytest.mark.parametrize(("reason", "played", "detail"), REJECTED, ids=[row[0] for row in REJECTED])
def test_rejections(reason: str, played: Trajectory, detail: str) -> None:
    refused = rejection(FOUND, played)
    assert refused is not None
    assert refused.reason == reason
    with pytest.raises(ValueError, match=f"task t1, step 2: the repair cannot be kept, {reason}: .*{detail}"):
        calibrated_trajectory(FOUND, played, "oops")


def test_a_sound_repair_is_not_rejected() -> None:
    assert rejection(FOUND, executed([step("c"), step("d")])) is None


def test_the_deviated_turn_may_itself_have_done_nothing() -> None:
    useless = step("x", valid=False)
    found = Exploration(FOUND.expert, run([*CONTEXT[:2], useless, step("y")], 0.0), 2)
    assert rejection(found, run([*CONTEXT[:2], useless, step("c"), step("d")], 1.0)) is None


def calibrated_steps(*origins: str) -> Trajectory:
    return run([step("a", origin) for origin in origins], 1.0)  # type: ignore[arg-type]


def test_a_calibrated_trajectory_in_order_is_accepted() -> None:
    assert CalibratedTrajectory(calibrated_steps("deviation", "repair"), 0, ("y",)).target_from == 1


@pytest.mark.parametrize(
    ("origins", "deviated"),
    [
        (("expert", "deviation"), 1),  # no repair
        (("expert", "repair", "deviation"), 1),  # the deviated turn would be a target
        (("expert", "deviation", "repair"), 0),  # the reference and the deviated turn would be targets
        (("expert", "policy", "repair"), 1),
        (("expert", "deviation", "expert"), 1),
    ],
)
def test_a_target_never_holds_the_deviated_turn_or_the_reference(
    origins: tuple[str, ...], deviated: int
) -> None:
    with pytest.raises(ValueError, match="its steps must be"):
        CalibratedTrajectory(calibrated_steps(*origins), deviated, ("y",))


def test_a_calibrated_trajectory_must_have_succeeded() -> None:
    with pytest.raises(ValueError, match=r"outcome is 0\.5; only successes"):
        CalibratedTrajectory(replace(calibrated_steps("deviation", "repair"), outcome=0.5), 0, ("y",))
