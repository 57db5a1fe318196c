"""Deviation rules: eq. 5 with numbers worked out by hand, each filter, and the presets."""

from __future__ import annotations

from dataclasses import replace
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steca.deviation import (
    Candidate,
    Rule,
    Verdict,
    by_means,
    candidate_of,
    decide,
    judge,
    prefilter,
    preset,
    select,
)
from steca.exploration import Exploration
from steca.rewards import Tally
from tests.support.steca_runs import REPEATABLE, exploration

PAPER, RELEASE, FIRST = preset("paper"), preset("release"), preset("first_failure")
SEQUENTIAL = preset("sequential")
GOOD = Candidate(
    "t1", 2, "open fridge 1", "go to shelf 3", explored_success=False, similarity=0.2, continues=True
)


def of(successes: int, n: int = 5) -> Tally:
    return Tally(n, successes)


@pytest.mark.parametrize(
    ("reference", "explored", "delta", "gap", "strict", "loose"),
    [
        (3, 2, 0.0, -0.2, True, True),
        (3, 3, 0.0, 0.0, False, True),
        (3, 4, 0.0, 0.2, False, False),
        (0, 0, 0.0, 0.0, False, True),
        (3, 3, 0.1, 0.0, True, True),
        (3, 3, -0.01, 0.0, False, False),
        (2, 3, 0.2, 0.2, False, True),  # .6 - .4 is .19999999999999996 in binary: still a tie
        (3, 2, -0.2, -0.2, False, True),
        (5, 0, -1.0, -1.0, False, True),
    ],
)
def test_equation_5(
    reference: int, explored: int, delta: float, gap: float, strict: bool, loose: bool
) -> None:
    for rule, deviated in ((preset("paper", delta), strict), (preset("release", delta), loose)):
        verdict = decide(of(reference), of(explored), rule)
        assert verdict.gap == pytest.approx(gap)
        assert verdict.delta == delta
        assert verdict.verdict == ("deviated" if deviated else "not_deviated")
        assert verdict.rule == (rule.comparison if deviated else f"not {rule.comparison}")


def test_the_reference_is_the_previous_expert_turn() -> None:
    """t = 2: r(s_2, â_3) = .4 is compared with r(s_1, a_2) = .6 (deviated), not with r(s_2, a_3) = .2."""
    expert_rewards = [of(5), of(3), of(1)]  # a_1, a_2, a_3
    found = candidate_of(exploration("abc", "abxy", at=2))
    assert (found.expert_action, found.explored_action) == ("c", "x")
    assert judge(found, PAPER, expert_rewards[found.step - 1], of(2)).verdict == "deviated"
    assert judge(found, PAPER, expert_rewards[found.step], of(2)).verdict == "not_deviated"


def test_published_false_alarm_rates_without_any_true_difference() -> None:
    """N = 5, both sides at rate .5: C(10, 5) = 252 of 1024 pairs tie, so `<` flags 386 and `<=` flags 638."""
    flags = {
        rule.name: sum(
            comb(5, x) * comb(5, y)
            for x in range(6)
            for y in range(6)
            if decide(of(y), of(x), rule).verdict == "deviated"
        )
        for rule in (PAPER, RELEASE)
    }
    assert flags == {"paper": 386, "release": 638}


ALL = {"paper", "sequential", "release", "first_failure", "every_failure"}
FILTERED = [
    (
        "run succeeded",
        replace(GOOD, explored_success=True),
        ALL,
    ),
    (
        "equal action",
        replace(GOOD, explored_action=" open  fridge 1"),
        ALL,
    ),
    ("step too early", replace(GOOD, step=0), ALL),
    ("step too early", replace(GOOD, step=1), {"release"}),
    ("too similar", replace(GOOD, similarity=0.95), {"release"}),
    ("no continuation", replace(GOOD, continues=False), {"release"}),
]


@pytest.mark.parametrize(("reason", "found", "filtered_by"), FILTERED)
@pytest.mark.parametrize("rule", [PAPER, SEQUENTIAL, RELEASE, FIRST], ids=lambda rule: rule.name)
def test_each_filter_of_each_preset(reason: str, found: Candidate, filtered_by: set[str], rule: Rule) -> None:
    assert prefilter(GOOD, rule) is None
    assert prefilter(found, rule) == (reason if rule.name in filtered_by else None)


def test_a_similarity_just_below_the_limit_passes() -> None:
    assert prefilter(replace(GOOD, similarity=0.9499), RELEASE) is None


def test_failure_is_required_only_where_the_rule_says_so() -> None:
    assert prefilter(replace(GOOD, explored_success=True), replace(PAPER, require_failure=False)) is None


def test_a_filtered_candidate_needs_no_rewards() -> None:
    verdict = judge(replace(GOOD, explored_success=True), PAPER)
    assert verdict == Verdict("filtered", "paper", "run succeeded", 0.0, None)


@pytest.mark.parametrize(
    ("reference", "explored", "verdict", "words"),
    [
        (of(30, 30), of(0, 30), "deviated", "a drop is proven"),
        (of(0, 30), of(30, 30), "not_deviated", "no drop that matters"),
        (of(200, 400), of(200, 400), "not_deviated", "no drop that matters"),
        (
            of(3, 5),
            of(2, 5),
            "undecided",
            "the rollouts prove neither",
        ),  # what the paper's rule calls deviated
        (of(12, 24), of(10, 24), "undecided", "the rollouts prove neither"),
    ],
)
def test_the_sequential_rule_asks_what_is_proven(
    reference: Tally, explored: Tally, verdict: str, words: str
) -> None:
    decided = decide(reference, explored, SEQUENTIAL)
    assert (decided.verdict, decided.rule) == (verdict, words)
    assert decided.gap == pytest.approx(explored.mean - reference.mean)


def test_the_sequential_rule_needs_no_outcome_to_be_undecided() -> None:
    assert decide(Tally(), of(5), SEQUENTIAL) == Verdict(
        "undecided", "sequential", "the rollouts prove neither", 0.0, None
    )


def test_the_thresholds_of_the_sequential_rule_move_its_verdicts() -> None:
    def verdict(reference: Tally, explored: Tally, **thresholds: float) -> str:
        return decide(reference, explored, preset("sequential", **thresholds)).verdict

    many = of(500, 1000), of(450, 1000)
    assert verdict(*many) == "not_deviated"  # .05 is less than the smallest drop that matters
    assert verdict(*many, smallest_drop=0.05) == "undecided"
    assert verdict(*many, delta=0.1) == "deviated"
    assert verdict(of(4, 5), of(0, 5), error_rate=0.2) == "deviated"
    assert verdict(of(4, 5), of(0, 5), error_rate=0.001) == "undecided"


@pytest.mark.parametrize(("delta", "smallest_drop"), [(1.0, 0.2), (-0.8, 0.2)])
def test_no_threshold_is_passed_without_evidence(delta: float, smallest_drop: float) -> None:
    """Gaps of 1 and -1 are possible too."""
    rule = preset("sequential", delta, smallest_drop=smallest_drop)
    assert decide(Tally(), Tally(), rule).verdict == "undecided"


@pytest.mark.parametrize(
    ("reference", "explored", "who"), [(None, of(1), "previous expert turn"), (of(1), None, "explored turn")]
)
def test_a_missing_reward_is_never_assumed(reference: Tally | None, explored: Tally | None, who: str) -> None:
    with pytest.raises(ValueError, match=f"task t1, step 2.*{who}"):
        judge(GOOD, PAPER, reference, explored)


def test_every_failure_uses_all_of_a_task_and_first_failure_one() -> None:
    found = [(replace(GOOD, step=step), judge(replace(GOOD, step=step), FIRST)) for step in (3, 1, 2)]
    assert [c.step for c in select(found, preset("every_failure"))] == [1, 2, 3]
    assert [c.step for c in select(found, FIRST)] == [1]


def test_first_failure_spends_no_rollouts() -> None:
    assert judge(GOOD, FIRST) == Verdict("deviated", "first_failure", "differs in a failed run", 0.0, None)


def test_the_judge_decides_by_labels_whatever_the_rewards_and_the_paper_s_filters_come_first() -> None:
    rule = preset("judge", 0.3)
    for label, verdict, words in (
        ("bad", "deviated", "judged bad"),
        ("good", "not_deviated", "judged good"),
        (None, "undecided", "no usable judgement"),
    ):
        found = judge(GOOD, rule, of(0), of(5), label)  # type: ignore[arg-type]
        assert found == Verdict(verdict, "judge", words, 0.3)  # type: ignore[arg-type]
    won = replace(GOOD, explored_success=True)
    assert judge(won, rule, label="bad").verdict == "filtered"
    for candidate in (GOOD, won, replace(GOOD, step=0), replace(GOOD, explored_action="open  fridge 1")):
        assert prefilter(candidate, rule) == prefilter(candidate, PAPER)
    assert rule.first_only
    assert not rule.needs_rewards


def test_where_labels_do_not_tell_a_judged_run_compares_means() -> None:
    rule = by_means(preset("judge"))
    assert decide(of(3), of(2), rule).verdict == decide(of(3), of(2), PAPER).verdict == "deviated"
    assert by_means(SEQUENTIAL) == SEQUENTIAL


def test_select_uses_the_first_deviation_of_each_task_or_all() -> None:
    def deviated(task: str, step: int) -> tuple[Candidate, Verdict]:
        return replace(GOOD, task_id=task, step=step), Verdict("deviated", "x", "y", 0.0)

    early = (replace(GOOD, task_id="b", step=1), Verdict("not_deviated", "x", "y", 0.0))
    ruled_out = (replace(GOOD, task_id="a", step=2), Verdict("filtered", "x", "y", 0.0))
    judged = [deviated("b", 5), deviated("a", 4), ruled_out, deviated("b", 3), early, deviated("a", 6)]
    places = {
        rule.name: [(found.task_id, found.step) for found in select(judged, rule)]
        for rule in (PAPER, RELEASE)
    }
    assert places["paper"] == [("a", 4), ("b", 3)]
    assert places["release"] == [("a", 4), ("a", 6), ("b", 3), ("b", 5)]
    assert select([early, ruled_out], PAPER) == []


def test_candidate_reads_the_exploration() -> None:
    found = candidate_of(exploration("abcd", "abxyz", at=2))
    assert (found.task_id, found.step, found.explored_success, found.continues) == ("t1", 2, False, True)
    assert found.similarity == 0.0
    last = candidate_of(exploration("abcd", "abc", at=2), element=lambda a, b: 0.25)
    assert (last.similarity, last.continues) == (0.75, False)


def test_presets_are_known_by_name() -> None:
    assert preset("release", 0.05).delta == 0.05
    with pytest.raises(
        ValueError,
        match="'strict'; known: paper, sequential, probable, judge, release, first_failure, every_failure",
    ):
        preset("strict")


def test_eq_5_has_no_reference_at_the_first_turn() -> None:
    with pytest.raises(ValueError, match="min_step is 0"):
        replace(PAPER, min_step=0)
    assert replace(FIRST, min_step=0).min_step == 0


rewards = st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=8).map(Tally.of)
deltas = st.floats(-1, 1)


@REPEATABLE
@given(rewards, rewards, deltas, deltas, st.booleans())
def test_a_larger_delta_never_takes_a_deviation_back(
    reference: Tally, explored: Tally, one: float, other: float, strict: bool
) -> None:
    small, large = (replace(PAPER, strict=strict, delta=delta) for delta in sorted((one, other)))
    if decide(reference, explored, small).verdict == "deviated":
        assert decide(reference, explored, large).verdict == "deviated"


@REPEATABLE
@given(rewards, rewards, deltas)
def test_strict_and_loose_differ_on_ties_only(reference: Tally, explored: Tally, delta: float) -> None:
    strict = decide(reference, explored, replace(PAPER, delta=delta))
    loose = decide(reference, explored, replace(PAPER, delta=delta, strict=False))
    tie = abs((explored.mean - reference.mean) - delta) <= 1e-9
    assert (strict.verdict != loose.verdict) == tie
    if tie:
        assert loose.verdict == "deviated"


@pytest.mark.parametrize(
    ("build", "word"),
    [
        (lambda e, x: Exploration(e, replace(x, task_id="t9"), 1), "another task, t9"),
        (lambda e, x: Exploration(replace(e, outcome=0.0), x, 1), "outcome 0.0"),
        (lambda e, x: Exploration(e, x, 3), "step must be 0..2"),
        (lambda e, x: Exploration(e, x, -1), "step must be 0..2"),
        (lambda e, x: Exploration(e, replace(x, steps=x.steps[:1]), 1), "only 1 turns"),
        (lambda e, x: Exploration(e, x, 2), "does not begin with the expert's prefix"),
    ],
)
def test_an_exploration_must_fit_its_expert_run(build, word: str) -> None:  # type: ignore[no-untyped-def]
    fitting = exploration("abc", "axy", at=1)
    with pytest.raises(ValueError, match=word):
        build(fitting.expert, fitting.explored)
