"""Stage train, before a training on preferences: the pairs of a method (steca/preferences.py), from stored rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from configs.schema import DatasetConfig, FactoryConfig
from environments.complete import CompleteWorld
from models.prompts import messages
from models.training.examples import Example, PreferencePair
from rollouts.rows import (
    Demonstration,
    StoredTrajectory,
    briefings_of,
    demonstrations,
    explorations,
    of_type,
    stored_trajectories,
)
from rollouts.stages.assemble import assemble
from rollouts.stages.decide import StepReward, StepRewards
from steca.exploration import Exploration
from steca.preferences import (
    IprRule,
    Preference,
    SampledTurn,
    chosen_turn,
    eto_preference,
    first_of_each_task,
    ipr_possible_winners,
    ipr_preference,
    ipr_rule,
)
from steca.types import Trajectory
from steca.vocabulary import PairKind, PreferenceMethod, PromptStyle, TrainingMethod
from storage.ids import content_id
from storage.records import (
    DeviationRecord,
    PreferencePairRecord,
    Record,
    RolloutRecord,
)

TIE = "ties"
TOO_FEW = "explored turns without all rollouts, as a budget ended them"
NO_TURN = "deviated turns without a successful rollout that begins with another action"
NO_TEXT = "deviated turns whose chosen turn was not stored by the version that played it"
NO_CONTRAST = "examples whose deviated turn was the agent's last"
NO_CANDIDATES: dict[TrainingMethod, str] = {
    "step_dpo": "no turn is deviated by the rule in deviation.preset",
    "dpo": "the sets that are on of D_c (datasets.calibrated) and D_s (datasets.expert_suffixes) are empty",
}
"""By method, why there is not even a candidate for a pair."""


@dataclass(frozen=True)
class PairSet:
    """The pairs of a round, and why other candidates gave none, with their numbers."""

    rows: list[PreferencePairRecord] = field(default_factory=list)
    without: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        kinds = Counter(row.kind for row in self.rows)
        parts = ", ".join(f"{n} by {kind}" for kind, n in sorted(kinds.items()))
        rest = "".join(f"; {reason}" for reason in self.reasons())
        return f"{len(self.rows)} preference pairs{f' ({parts})' if parts else ''}{rest}"

    def reasons(self) -> list[str]:
        """Why candidates gave no pair: one phrase a reason, with its number."""
        return [f"{n} {reason}" for reason, n in sorted(self.without.items())]


@dataclass(frozen=True, slots=True)
class _Side:
    """steps[start:end] of a trajectory, or the first turn of a rollout in their place."""

    trajectory: str
    start: int
    end: int
    reward: float | None
    rollout: str | None = None

    @classmethod
    def rest(cls, run: StoredTrajectory, start: int, reward: float | None) -> _Side:
        return cls(run.id, start, len(run.trajectory.steps), reward)


def assemble_pairs(records: Sequence[Record], config: FactoryConfig) -> PairSet:
    """The pairs of one round by `training.method`. `records` holds the rows of the explored tasks that the method
    needs."""
    method, preferences = config.training.method, config.training.preferences
    if method == "eto":
        return _eto(records)
    if method == "ipr":
        return _ipr(records, ipr_rule(preferences.preset, preferences.margin), config.rewards.rollouts)
    if method == "step_dpo":
        return _step_dpo(records, preferences.chosen or "rollout")
    return _dpo(records, config.datasets.calibrated, config.datasets.expert_suffixes)


def why_none(found: PairSet, method: TrainingMethod) -> str:
    """Why a method found no pair, in words."""
    if not found.without:
        return NO_CANDIDATES.get(method, "no task was explored")
    needs_rollout = bool({NO_TURN, NO_TEXT} & found.without.keys())
    advice = ["training.preferences.chosen=expert would need none"] if needs_rollout else []
    return "; ".join([*found.reasons(), *advice])


def _explored(records: Sequence[Record]) -> Iterator[tuple[Demonstration, StoredTrajectory, Exploration]]:
    runs = explorations(records)
    for demo in demonstrations(records):
        for step, run in sorted(runs.get(demo.task.task_id, {}).items()):
            yield demo, run, Exploration(demo.expert.trajectory, run.trajectory, step)


def _eto(records: Sequence[Record]) -> PairSet:
    found = PairSet()
    for demo, run, exploration in _explored(records):
        preference = eto_preference(exploration)
        if preference:
            found.rows.append(_preferred("eto", preference, demo, run))
        elif exploration.step == 0:
            found.without[TIE] += 1
    return found


def _ipr(records: Sequence[Record], rule: IprRule, rollouts: int) -> PairSet:
    found = PairSet()
    rewards, compared = StepRewards(records, "success"), _deviations(records)
    for demo, run, exploration in _explored(records):
        step = exploration.step
        turns = (rewards.at(demo.expert, step), rewards.at(run, step)) if step else (None, None)
        values = [_mean(turn, rollouts) for turn in turns]
        preference = ipr_preference(exploration, rule, *values)
        if preference:
            row = compared.get((run.id, step))
            found.rows.append(_preferred("ipr", preference, demo, run, row.deviation_id if row else None))
        elif step == 0:
            found.without[TIE] += 1
        elif ipr_possible_winners(exploration, rule) and None in values and any(turns):
            found.without[TOO_FEW] += 1
    return found


def _mean(turn: StepReward | None, rollouts: int) -> float | None:
    """A step reward, if it is known or the mean of N rollouts."""
    if turn is None or (turn.tally.known is None and turn.tally.n < rollouts):
        return None
    return turn.tally.mean


def _deviations(records: Sequence[Record]) -> dict[tuple[str, int], DeviationRecord]:
    return {(row.explored_trajectory_id, row.step_index): row for row in of_type(records, DeviationRecord)}


def _preferred(
    method: PreferenceMethod,
    preference: Preference,
    demo: Demonstration,
    run: StoredTrajectory,
    deviation_id: str | None = None,
) -> PreferencePairRecord:
    expert = _Side.rest(demo.expert, preference.step, preference.expert_reward)
    explored = _Side.rest(run, preference.step, preference.explored_reward)
    chosen, rejected = (expert, explored) if preference.winner == "expert" else (explored, expert)
    return _row(method, preference.kind, demo.task.task_id, chosen, rejected, deviation_id)


def _step_dpo(records: Sequence[Record], chosen: str) -> PairSet:
    found = PairSet()
    deviated = [row for row in of_type(records, DeviationRecord) if row.verdict == "deviated"]
    turns = _sampled_turns(records)
    for row in first_of_each_task((row.task_id, row.step_index, row) for row in deviated):
        at, after = row.step_index, row.step_index + 1
        side = _Side(row.expert_trajectory_id, at, after, row.expert_reward)
        if chosen == "rollout":
            turn = chosen_turn(row.explored_action, turns.get(row.reference_step_reward_id or "", ()))
            if turn is None or turn.text is None:
                found.without[NO_TEXT if turn else NO_TURN] += 1
                continue
            side = replace(side, reward=1.0, rollout=turn.rollout_id)
        rejected = _Side(row.explored_trajectory_id, at, after, row.explored_reward)
        found.rows.append(_row("step_dpo", "step", row.task_id, side, rejected, row.deviation_id))
    return found


def _sampled_turns(records: Sequence[Record]) -> dict[str, list[SampledTurn]]:
    """By step reward, the first turns of its rollouts, in their order."""
    turns: dict[str, list[SampledTurn]] = {}
    for row in sorted(of_type(records, RolloutRecord), key=lambda row: row.sample_index):
        turn = SampledTurn(row.rollout_id, row.actions[0], row.first_turn, row.outcome >= 1.0)
        turns.setdefault(row.step_reward_id, []).append(turn)
    return turns


def _dpo(records: Sequence[Record], calibrated: bool, expert_suffixes: bool) -> PairSet:
    """Targets and contrasts begin at the same step, after the same history. The flags switch D_c and D_s on."""
    found = PairSet()
    datasets = DatasetConfig(
        calibrated=calibrated, expert_suffixes=expert_suffixes, explored_successes=False, expert_runs=False
    )
    runs = {run.id: run for run in stored_trajectories(records)}
    for example in assemble(records, (), datasets):
        target, contrast = runs[example.trajectory_id], runs[example.contrast_trajectory_id or ""]
        start = example.target_from
        if start >= len(contrast.trajectory.steps):
            found.without[NO_CONTRAST] += 1
            continue
        found.rows.append(
            _row(
                "dpo",
                "step" if start else "outcome",
                example.task_id,
                _Side.rest(target, start, target.record.outcome),
                _Side.rest(contrast, start, contrast.record.outcome),
                example.deviation_id,
            )
        )
    return found


def _row(
    method: PreferenceMethod,
    kind: PairKind,
    task_id: str,
    chosen: _Side,
    rejected: _Side,
    deviation_id: str | None,
) -> PreferencePairRecord:
    known = chosen.reward is not None and rejected.reward is not None
    fields: dict[str, Any] = {
        "method": method,
        "kind": kind,
        "task_id": task_id,
        "chosen_trajectory_id": chosen.trajectory,
        "chosen_from": chosen.start,
        "chosen_to": chosen.end,
        "chosen_rollout_id": chosen.rollout,
        "rejected_trajectory_id": rejected.trajectory,
        "rejected_from": rejected.start,
        "rejected_to": rejected.end,
        "deviation_id": deviation_id,
        "chosen_reward": chosen.reward,
        "rejected_reward": rejected.reward,
        "margin": (chosen.reward or 0.0) - (rejected.reward or 0.0) if known else None,
    }
    return PreferencePairRecord(pair_id=content_id("pair", fields), **fields)


def pair_inputs(
    world: CompleteWorld,
    rows: Sequence[PreferencePairRecord],
    records: Sequence[Record],
    style: PromptStyle,
    thinking: bool = False,
) -> list[PreferencePair]:
    """The trainer's pairs for rows of `preference_pairs`; `records` holds their trajectories, tasks and rollouts."""
    runs = {run.id: run for run in stored_trajectories(records)}
    briefings = briefings_of(world, records, style)
    first_turns = {row.rollout_id: row.first_turn for row in of_type(records, RolloutRecord)}

    def side(run: StoredTrajectory, start: int, end: int, turn: str | None = None) -> Example:
        briefing = briefings[run.record.task_id]
        return pair_side(run.id, run.trajectory, start, end, briefing, thinking, turn)

    return [
        PreferencePair(
            row.pair_id,
            side(
                runs[row.chosen_trajectory_id],
                row.chosen_from,
                row.chosen_to,
                first_turns[row.chosen_rollout_id] if row.chosen_rollout_id else None,
            ),
            side(runs[row.rejected_trajectory_id], row.rejected_from, row.rejected_to),
        )
        for row in rows
    ]


def pair_side(
    name: str,
    trajectory: Trajectory,
    start: int,
    end: int,
    briefing: str,
    thinking: bool = False,
    turn: str | None = None,
) -> Example:
    """One side of a pair: the history up to step `start`, then steps[start:end] as targets. `turn` replaces the text of
    the last one. Both sides end with the agent."""
    steps = trajectory.steps[:end]
    if turn is not None:
        steps = (*steps[:-1], replace(steps[-1], text=turn))
    chat = messages(trajectory.first_observation, steps, briefing)
    targets = [index >= start for index in range(end)]
    return Example(name, chat[:-1], targets, thinking=thinking)
