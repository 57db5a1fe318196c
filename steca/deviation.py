"""Deviation detection (method section 2.4): which explored turns are deviated.

By eq. 5 the explored turn â_{t+1} is deviated when

    r(s_t, â_{t+1}) - r(s_{t-1}, a_t) < delta

so it is compared with the **previous expert turn** a_t, not with the expert turn a_{t+1} at its own step.
Indices are those of `steca.exploration`. `prefilter` rules out what needs no rewards, before any rollout is spent.

The published rules compare the two means. The rule `sequential` asks what the rollouts prove: "deviated" if a gap of
delta or more is rejected at the error rate, "not_deviated" if a drop of `smallest_drop` below delta is rejected, else
"undecided" (`steca.evidence`; valid for any stopping time). The rule `probable` asks what to believe: "deviated" if the
posterior probability of a gap below delta is larger than `probability` (`steca.posterior`). The rule `judge` compares
nothing: a language model says GOOD or BAD of the turn (the paper's variant with GPT-4o as the step judge).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from steca.distance import ElementDistance, lexical_distance
from steca.evidence import gap_interval
from steca.exploration import Exploration
from steca.posterior import drop_probability
from steca.rewards import TIE, Tally
from steca.vocabulary import Decision, JudgedLabel

FilterReason = Literal["run succeeded", "step too early", "equal action", "too similar", "no continuation"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One explored turn that may be deviated. `step` = t, the number of expert turns before it."""

    task_id: str
    step: int
    expert_action: str
    explored_action: str
    explored_success: bool
    similarity: float  # 1 - element distance of the two actions, in [0, 1]
    continues: bool  # whether the agent acted again after the explored turn


@dataclass(frozen=True, slots=True)
class Rule:
    """A deviation rule: filters, and how eq. 5 is decided. `PRESETS` has the published ones and ours.

    `strict`: gap < delta, else gap <= delta. `first_only`: only a task's first deviation is used. `min_step`:
    the smallest t that can deviate. `max_similarity`: turns at least this similar to the expert's cannot deviate.
    Without `needs_rewards`, every candidate that passes the filters is deviated, without rollouts, unless `test` is
    "judge": then those that a language model calls BAD.
    `test`: "means" compares the means; "evidence" asks what is proven at `error_rate`. There `smallest_drop` is how far
    below delta a gap must lie to matter. "posterior": deviated if P(drop) > `probability`. `strict` is for means only.
    Raises ValueError if rewards are needed at t = 0, which has no previous expert turn.
    """

    name: str
    strict: bool = True
    first_only: bool = True
    require_failure: bool = True
    min_step: int = 1
    max_similarity: float | None = None
    require_continuation: bool = False
    delta: float = 0.0
    needs_rewards: bool = True
    test: Literal["means", "evidence", "posterior", "judge"] = "means"
    error_rate: float = 0.05
    smallest_drop: float = 0.2
    probability: float = 0.5

    def __post_init__(self) -> None:
        if self.needs_rewards and self.min_step < 1:
            raise ValueError(
                f"rule {self.name}: min_step is {self.min_step}, but eq. 5 needs a previous expert turn; "
                "use 1 or more"
            )

    @property
    def comparison(self) -> str:
        if self.test == "posterior":
            return "P(drop) > p"
        return "gap < delta" if self.strict else "gap <= delta"


PRESETS = {
    rule.name: rule
    for rule in (
        Rule("paper"),
        Rule("sequential", test="evidence"),
        Rule("probable", test="posterior"),
        Rule("judge", needs_rewards=False, test="judge"),
        Rule(
            "release",
            strict=False,
            first_only=False,
            min_step=2,
            max_similarity=0.95,
            require_continuation=True,
        ),
        # A control: the paper's candidates without the Monte Carlo comparison.
        Rule("first_failure", needs_rewards=False),
        # All such candidates of a task, for policies whose values are too near 0 to compare.
        Rule("every_failure", first_only=False, needs_rewards=False),
    )
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision about one candidate. `rule` says why; `gap` is None if no rewards were compared."""

    verdict: Decision
    preset: str
    rule: str
    delta: float
    gap: float | None = None


def preset(
    name: str,
    delta: float = 0.0,
    error_rate: float = 0.05,
    smallest_drop: float = 0.2,
    probability: float = 0.5,
) -> Rule:
    """The preset called `name`, with its thresholds. Raises ValueError for an unknown name."""
    if name not in PRESETS:
        raise ValueError(f"no deviation preset is called {name!r}; known: {', '.join(PRESETS)}")
    return replace(
        PRESETS[name],
        delta=delta,
        error_rate=error_rate,
        smallest_drop=smallest_drop,
        probability=probability,
    )


def candidate_of(exploration: Exploration, element: ElementDistance = lexical_distance) -> Candidate:
    """The features of an exploration that the rules use."""
    expert, explored = exploration.expert_action, exploration.explored_step.action
    return Candidate(
        task_id=exploration.task_id,
        step=exploration.step,
        expert_action=expert,
        explored_action=explored,
        explored_success=exploration.explored.success,
        similarity=1.0 - element(expert, explored),
        continues=bool(exploration.continuation),
    )


def prefilter(candidate: Candidate, rule: Rule) -> FilterReason | None:
    """Why this rule cannot use the candidate, whatever its rewards; None if it can."""
    if rule.require_failure and candidate.explored_success:
        return "run succeeded"
    if candidate.step < rule.min_step:
        return "step too early"
    if candidate.explored_action.split() == candidate.expert_action.split():
        return "equal action"
    if rule.max_similarity is not None and candidate.similarity >= rule.max_similarity:
        return "too similar"
    if rule.require_continuation and not candidate.continues:
        return "no continuation"
    return None


def decide(reference: Tally, explored: Tally, rule: Rule) -> Verdict:
    """Decides eq. 5. `reference` is r(s_{t-1}, a_t) of the previous expert turn, `explored` is r(s_t, â_{t+1})."""
    if rule.test == "evidence":
        return _decide_by_evidence(reference, explored, rule)
    gap = explored.mean - reference.mean
    if rule.test == "posterior":
        deviated = drop_probability(reference, explored, rule.delta) > rule.probability + TIE
    else:
        deviated = gap < rule.delta - TIE if rule.strict else gap <= rule.delta + TIE
    words = rule.comparison if deviated else f"not {rule.comparison}"
    return Verdict("deviated" if deviated else "not_deviated", rule.name, words, rule.delta, gap)


def by_means(rule: Rule) -> Rule:
    """The rule, but comparing means where a language model would decide: for what its labels do not tell."""
    return replace(rule, test="means") if rule.test == "judge" else rule


def worth_scoring(candidate: Candidate) -> bool:
    """Whether some rule could use the candidate's rewards: no rule's filters are weaker than the paper's."""
    return prefilter(candidate, PRESETS["paper"]) is None


def gap_of(reference: Tally, explored: Tally) -> float | None:
    """The left side of eq. 5, r(s_t, â_{t+1}) - r(s_{t-1}, a_t), as estimated; None if one side has no outcome."""
    return None if reference.empty or explored.empty else explored.mean - reference.mean


def _decide_by_evidence(reference: Tally, explored: Tally, rule: Rule) -> Verdict:
    low, high = gap_interval(reference, explored, rule.error_rate)
    gap = gap_of(reference, explored)
    if high <= rule.delta + TIE and high < 1.0:  # an end at 1 or -1 may only be the limit of all gaps
        return Verdict("deviated", rule.name, "a drop is proven", rule.delta, gap)
    if low >= rule.delta - rule.smallest_drop - TIE and low > -1.0:
        return Verdict("not_deviated", rule.name, "no drop that matters", rule.delta, gap)
    return Verdict("undecided", rule.name, "the rollouts prove neither", rule.delta, gap)


def decide_by_label(label: JudgedLabel | None, rule: Rule) -> Verdict:
    """Decides by what a language model says of the turn; None: none of its replies was usable."""
    if label is None:
        return Verdict("undecided", rule.name, "no usable judgement", rule.delta)
    return Verdict("deviated" if label == "bad" else "not_deviated", rule.name, f"judged {label}", rule.delta)


def judge(
    candidate: Candidate,
    rule: Rule,
    reference: Tally | None = None,
    explored: Tally | None = None,
    label: JudgedLabel | None = None,
) -> Verdict:
    """The whole decision: the filters, then eq. 5 if the rule needs rewards, or the `label` that a language model gave.

    Raises ValueError if a reward that the rule needs is missing.
    """
    reason = prefilter(candidate, rule)
    if reason is not None:
        return Verdict("filtered", rule.name, reason, rule.delta)
    if rule.test == "judge":
        return decide_by_label(label, rule)
    if not rule.needs_rewards:
        return Verdict("deviated", rule.name, "differs in a failed run", rule.delta)
    if reference is None or explored is None:
        missing = "previous expert turn" if reference is None else "explored turn"
        raise ValueError(
            f"task {candidate.task_id}, step {candidate.step}: rule {rule.name} needs the step reward of the "
            f"{missing}; run its rollouts first"
        )
    return decide(reference, explored, rule)


def select(verdicts: Iterable[tuple[Candidate, Verdict]], rule: Rule) -> list[Candidate]:
    """The deviations to calibrate, in order of task and step: all of them, or (`first_only`) the earliest of each
    task."""
    deviated = [candidate for candidate, verdict in verdicts if verdict.verdict == "deviated"]
    ordered = sorted(deviated, key=lambda candidate: (candidate.task_id, candidate.step))
    if not rule.first_only:
        return ordered
    first: dict[str, Candidate] = {}
    for found in ordered:
        first.setdefault(found.task_id, found)
    return list(first.values())
