"""Preference pairs of the baselines, and what they are trained with.

All pairs come from an expert's run and an explored run that share their first j steps (`steca.exploration`). R is the
outcome of a run, r(j) the step reward of its turn after j expert turns.

    ETO       (Song et al. 2024)   j = 0: the run with the larger R is chosen, ties are dropped
    IPR       (Xiong et al. 2024)  j = 0 as ETO, with a margin; j >= 1: suffix against suffix, where R and r(j) agree
    Step-DPO  (Lai et al. 2024)    the first deviated turn is rejected, one turn after the same history is chosen
    dpo                            STeCa's variant: the targets and contrasts of D_c and D_s

All are trained with the sigmoid loss of DPO on sums over the tokens of the agent's turns:

    loss = -log sigmoid(beta * (log p(chosen)/p_ref(chosen) - log p(rejected)/p_ref(rejected)))
           - sft_weight * log p(chosen)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from steca.exploration import Exploration
from steca.rewards import TIE
from steca.vocabulary import IprPreset, PairKind, PreferenceMethod, ReferenceModel

Winner = Literal["expert", "explored"]


@dataclass(frozen=True, slots=True)
class PreferenceLoss:
    """The numbers of the loss. `beta`: how strongly the policy is held to the reference model; `sft_weight`: weight of
    -log p(chosen)."""

    beta: float
    sft_weight: float = 0.0


@dataclass(frozen=True, slots=True)
class PublishedSettings:
    """What a method trains with. `reference`: the model p_ref."""

    loss: PreferenceLoss
    reference: ReferenceModel


PUBLISHED: dict[PreferenceMethod, PublishedSettings] = {
    # STeCa's paper gives no values for its variant with DPO: those of ETO's first iteration.
    "dpo": PublishedSettings(PreferenceLoss(0.1), "current"),
    # Song et al. 2024 and their code: the reference model is renewed in every iteration.
    "eto": PublishedSettings(PreferenceLoss(0.1), "current"),
    # Xiong et al. 2024 and their code: every iteration has the SFT model as its reference.
    "ipr": PublishedSettings(PreferenceLoss(0.1, 1.0), "warmup"),
    # The configuration file of Lai et al.'s code. Their scripts set beta to 0.5 (7B) and 0.4 (72B).
    "step_dpo": PublishedSettings(PreferenceLoss(0.05), "current"),
}
"""By method, the published settings."""
ETO_LATER_BETA = 0.5
"""ETO from its second iteration on."""


def published_loss(method: PreferenceMethod, round: int) -> PreferenceLoss:
    """The published loss of a method in a round (an iteration of ETO and IPR)."""
    loss = PUBLISHED[method].loss
    return replace(loss, beta=ETO_LATER_BETA) if method == "eto" and round > 1 else loss


@dataclass(frozen=True, slots=True)
class IprRule:
    """When IPR takes a pair: R must differ by more than `outcome_margin`, and r(j) by more than `margin`.

    `shorter_wins`: the agent's suffix may be chosen without a larger R if it has fewer turns, even if it failed.
    """

    margin: float
    shorter_wins: bool
    outcome_margin: float = 0.01


IPR_RULES: dict[IprPreset, IprRule] = {
    # The paper's threshold on ALFWorld.
    "paper": IprRule(margin=0.5, shorter_wins=False),
    # The authors' code, as its pipeline calls it on ALFWorld.
    "release": IprRule(margin=0.01, shorter_wins=True),
}


def ipr_rule(preset: IprPreset | None, margin: float | None) -> IprRule:
    """The rule of a preset (None: paper), with another margin of step rewards if one is given."""
    rule = IPR_RULES[preset or "paper"]
    return rule if margin is None else replace(rule, margin=margin)


@dataclass(frozen=True, slots=True)
class Preference:
    """One run of an exploration is preferred to the other. Their steps before `step` are the prompt, all later ones are
    trained. The rewards are what was compared: R for kind outcome, r(j) for kind step."""

    kind: PairKind
    winner: Winner
    step: int
    expert_reward: float
    explored_reward: float


def eto_preference(exploration: Exploration) -> Preference | None:
    """ETO's pair of an exploration from scratch: the run with the larger outcome is chosen. None for a tie, and for an
    exploration that began after an expert's turn."""
    return _outcome_preference(exploration, margin=0.0)


def ipr_preference(
    exploration: Exploration, rule: IprRule, expert_reward: float | None, explored_reward: float | None
) -> Preference | None:
    """IPR's pair of an exploration, None if there is none. From scratch (j = 0) the outcomes decide. Else the rewards
    of the two turns at step j are compared as well, and without them there is no pair."""
    if exploration.step == 0:
        return _outcome_preference(exploration, rule.outcome_margin)
    if expert_reward is None or explored_reward is None:
        return None
    for winner, gap in (
        ("explored", explored_reward - expert_reward),
        ("expert", expert_reward - explored_reward),
    ):
        if winner in ipr_possible_winners(exploration, rule) and _exceeds(gap, rule.margin):
            return Preference("step", winner, exploration.step, expert_reward, explored_reward)
    return None


def ipr_possible_winners(exploration: Exploration, rule: IprRule) -> frozenset[Winner]:
    """Which side of an exploration with j >= 1 its step rewards could make the chosen one. Where it is empty, no
    rollout is needed."""
    gap = exploration.expert.outcome - exploration.explored.outcome
    shorter = len(exploration.agent_suffix) < len(exploration.expert_suffix)
    winners: set[Winner] = set()
    if _exceeds(gap, rule.outcome_margin):
        winners.add("expert")
    if _exceeds(-gap, rule.outcome_margin) or (rule.shorter_wins and shorter):
        winners.add("explored")
    return frozenset(winners)


def _outcome_preference(exploration: Exploration, margin: float) -> Preference | None:
    if exploration.step != 0:
        return None
    expert, explored = exploration.expert.outcome, exploration.explored.outcome
    if _exceeds(expert - explored, margin):
        return Preference("outcome", "expert", 0, expert, explored)
    if _exceeds(explored - expert, margin):
        return Preference("outcome", "explored", 0, expert, explored)
    return None


def _exceeds(gap: float, margin: float) -> bool:
    """gap > margin, where a difference of rounding is a tie."""
    return gap > margin + TIE


@dataclass(frozen=True, slots=True)
class SampledTurn:
    """The first turn of a rollout after the expert's turn a_t. `text` is None if it was not stored."""

    rollout_id: str
    action: str
    text: str | None
    success: bool


def chosen_turn(rejected_action: str, turns: Iterable[SampledTurn]) -> SampledTurn | None:
    """Step-DPO: the first turn, in the order of the rollouts, that led to success with another action than the
    rejected turn. A turn whose text was stored is preferred. None if there is no such turn."""
    other = [turn for turn in turns if turn.success and turn.action.split() != rejected_action.split()]
    return next((turn for turn in other if turn.text is not None), other[0] if other else None)


T = TypeVar("T")


def first_of_each_task(steps: Iterable[tuple[str, int, T]]) -> list[T]:
    """Step-DPO: of things given as (task id, step, thing), the one at the smallest step of each task."""
    first: dict[str, tuple[int, T]] = {}
    for task, step, thing in steps:
        if task not in first or step < first[task][0]:
            first[task] = step, thing
    return [thing for _, thing in first.values()]
