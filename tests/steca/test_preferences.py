"""Preference pairs: each published rule on runs made by hand, and what only just is no pair."""

from __future__ import annotations

import pytest

from steca.preferences import (
    IPR_RULES,
    PUBLISHED,
    IprRule,
    Preference,
    SampledTurn,
    chosen_turn,
    eto_preference,
    first_of_each_task,
    ipr_possible_winners,
    ipr_preference,
    ipr_rule,
    published_loss,
)
from steca.vocabulary import IprPreset
from tests.support.steca_runs import exploration

PAPER, RELEASE = IPR_RULES["paper"], IPR_RULES["release"]
EXACT = IprRule(margin=0.2, shorter_wins=False)


def winner(found: Preference | None) -> str | None:
    return found.winner if found else None


def partly(expert: float, explored: float, at: int = 0, actions: str = "xyz"):  # type: ignore[no-untyped-def]
    """An exploration whose runs have these outcomes. Experts succeed, so outcomes above 1 stand for a better agent."""
    assert expert == 1.0
    return exploration("abc", "abc"[:at] + actions, at, explored)


# ETO


@pytest.mark.parametrize(
    ("explored", "expected"), [(0.0, "expert"), (0.75, "expert"), (1.0, None), (1.5, "explored")]
)
def test_eto_chooses_the_larger_outcome_and_drops_ties(explored: float, expected: str | None) -> None:
    found = eto_preference(partly(1.0, explored))
    assert winner(found) == expected
    if found:
        assert (found.kind, found.step) == ("outcome", 0)
        assert (found.expert_reward, found.explored_reward) == (1.0, explored)


def test_eto_explores_from_the_start_only() -> None:
    assert eto_preference(partly(1.0, 0.0, at=1)) is None


def test_a_difference_of_rounding_is_a_tie() -> None:
    assert eto_preference(partly(1.0, 0.1 + 0.2 + 0.7)) is None


# IPR: outcome pairs


@pytest.mark.parametrize(
    ("explored", "expected"),
    [(0.0, "expert"), (0.98, "expert"), (0.99, None), (1.0, None), (1.01, None), (1.02, "explored")],
)
@pytest.mark.parametrize("rule", [PAPER, RELEASE], ids=["paper", "release"])
def test_ipr_outcomes_must_differ_by_more_than_a_hundredth(
    explored: float, expected: str | None, rule: IprRule
) -> None:
    """Also where the agent's run is shorter: that clause is for suffixes only."""
    for actions in ("xyz", "x"):
        found = ipr_preference(partly(1.0, explored, actions=actions), rule, None, None)
        assert winner(found) == expected
        assert found is None or (found.kind, found.step) == ("outcome", 0)


# IPR: step pairs


@pytest.mark.parametrize(
    ("rule", "expert", "explored", "expected"),
    [
        (PAPER, 1.0, 0.4, "expert"),
        (PAPER, 1.0, 0.5, None),  # exactly the margin
        (PAPER, 0.6, 0.2, None),
        (RELEASE, 0.6, 0.2, "expert"),
        (RELEASE, 0.2, 0.2, None),
        (EXACT, 0.5, 0.3, None),  # 0.5 - 0.3 is more than 0.2 in binary
        (EXACT, 0.5, 0.29, "expert"),
        (PAPER, 0.0, 1.0, None),  # the agent's turn is worth more, but its run failed
    ],
)
def test_ipr_the_experts_suffix_wins_by_outcome_and_step_reward(
    rule: IprRule, expert: float, explored: float, expected: str | None
) -> None:
    found = ipr_preference(partly(1.0, 0.0, at=1), rule, expert, explored)
    assert winner(found) == expected
    if found:
        assert found == Preference("step", "expert", 1, expert, explored)


@pytest.mark.parametrize("rule", [PAPER, RELEASE], ids=["paper", "release"])
def test_ipr_a_run_as_good_as_the_experts_gives_no_pair_unless_it_is_shorter(rule: IprRule) -> None:
    """Step rewards alone never decide."""
    for expert, explored in ((1.0, 0.0), (0.0, 1.0)):
        assert ipr_preference(partly(1.0, 1.0, at=1, actions="xyz"), rule, expert, explored) is None


def test_ipr_release_the_agents_shorter_suffix_wins_even_if_it_failed() -> None:
    """The expert has two turns left after the first, the agent one."""
    for outcome in (0.0, 1.0):
        shorter = partly(1.0, outcome, at=1, actions="x")
        assert winner(ipr_preference(shorter, RELEASE, 0.2, 0.4)) == "explored"
        assert ipr_preference(shorter, PAPER, 0.0, 1.0) is None
        assert ipr_preference(shorter, RELEASE, 0.4, 0.4) is None
        assert ipr_preference(shorter, RELEASE, 0.4, 0.41) is None  # exactly the margin
    equally_long = partly(1.0, 1.0, at=1, actions="xy")
    assert ipr_preference(equally_long, RELEASE, 0.2, 0.4) is None


def test_ipr_release_a_shorter_failure_may_still_lose() -> None:
    assert winner(ipr_preference(partly(1.0, 0.0, at=1, actions="x"), RELEASE, 0.4, 0.2)) == "expert"


def test_ipr_a_better_agent_wins_with_a_larger_step_reward_only() -> None:
    better = partly(1.0, 1.5, at=2, actions="xyzx")
    assert winner(ipr_preference(better, PAPER, 0.0, 0.6)) == "explored"
    assert ipr_preference(better, PAPER, 0.0, 0.5) is None
    assert ipr_preference(better, PAPER, 0.6, 0.0) is None


def test_ipr_without_step_rewards_there_is_no_step_pair() -> None:
    for rewards in ((None, 0.0), (1.0, None), (None, None)):
        assert ipr_preference(partly(1.0, 0.0, at=1), RELEASE, *rewards) is None


@pytest.mark.parametrize(
    ("outcome", "actions", "paper", "release"),
    [
        (0.0, "xyz", {"expert"}, {"expert"}),
        (0.0, "x", {"expert"}, {"expert", "explored"}),
        (1.0, "xyz", set(), set()),
        (1.0, "xy", set(), set()),
        (1.0, "x", set(), {"explored"}),
        (1.5, "xyz", {"explored"}, {"explored"}),
    ],
)
def test_ipr_what_the_outcome_rules_out_needs_no_rollouts(
    outcome: float, actions: str, paper: set[str], release: set[str]
) -> None:
    explored = partly(1.0, outcome, at=1, actions=actions)
    for rule, possible in ((PAPER, paper), (RELEASE, release)):
        assert ipr_possible_winners(explored, rule) == possible
        found = {
            winner(ipr_preference(explored, rule, *rewards))
            for rewards in ((1.0, 0.0), (0.0, 1.0), (0.5, 0.5))
        }
        assert found - {None} == possible


def test_ipr_presets_and_margins() -> None:
    presets: list[IprPreset] = ["paper", "release"]
    assert [ipr_rule(preset, None).margin for preset in presets] == [0.5, 0.01]
    assert ipr_rule(None, None) == PAPER
    assert ipr_rule("release", 0.3) == IprRule(0.3, shorter_wins=True)


# Step-DPO

TURNS = [
    SampledTurn("r0", "go to desk 1", "Thought: a\nAction: go to desk 1", True),
    SampledTurn("r1", "take cup 1", "Thought: b\nAction: take cup 1", False),
    SampledTurn("r2", "open box 1", None, True),
    SampledTurn("r3", "look", "Thought: c\nAction: look", True),
]


def test_step_dpo_takes_the_first_successful_rollout_with_another_action() -> None:
    assert chosen_turn("look", TURNS) == TURNS[0]
    assert chosen_turn("go to  desk 1", TURNS) == TURNS[3]  # r1 failed, the text of r2 was not kept


def test_step_dpo_says_where_only_the_text_is_missing() -> None:
    assert chosen_turn("go to desk 1", TURNS[:3]) == TURNS[2]
    assert chosen_turn("go to desk 1", TURNS[:2]) is None
    assert chosen_turn("look", []) is None


def test_step_dpo_uses_the_first_wrong_step_of_each_task() -> None:
    steps = [("a", 4, "late"), ("b", 2, "only"), ("a", 1, "early"), ("a", 3, "between")]
    assert first_of_each_task(steps) == ["early", "only"]


# Losses


def test_published_losses() -> None:
    told = [
        (method, round, loss.beta, loss.sft_weight, PUBLISHED[method].reference)  # type: ignore[index]
        for method in ("dpo", "eto", "ipr", "step_dpo")
        for round in (1, 2)
        for loss in [published_loss(method, round)]  # type: ignore[arg-type]
    ]
    assert told == [
        ("dpo", 1, 0.1, 0.0, "current"),
        ("dpo", 2, 0.1, 0.0, "current"),
        ("eto", 1, 0.1, 0.0, "current"),
        ("eto", 2, 0.5, 0.0, "current"),
        ("ipr", 1, 0.1, 1.0, "warmup"),
        ("ipr", 2, 0.1, 1.0, "warmup"),
        ("step_dpo", 1, 0.05, 0.0, "current"),
        ("step_dpo", 2, 0.05, 0.0, "current"),
    ]
