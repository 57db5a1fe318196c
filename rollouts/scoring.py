"""Stage rewards, first half: Monte-Carlo values of expert and explored turns (method section 2.3).

What is scored does not depend on the deviation rule: every explored run from prefix j >= 1 that failed and
whose first action differs from the expert's (no rule could ever use another), the earliest `rewards.candidates`
of a task. Another threshold or preset is then decided from the stored rollouts. The value of an expert turn is
shared by the two comparisons that need it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from configs.schema import FactoryConfig
from environments.base import Environment, World
from models.policy import Policy, Sampling
from rollouts.exploring import prefix_starts
from rollouts.play import Played, Progress, Start, Wrapping, execute, play, seed_of
from rollouts.rows import Demonstration, Stored, demonstrations, explorations
from steca.rewards import StepReward
from storage.ids import content_id
from storage.records import Record, RolloutRecord, StepRewardRecord

Side = Literal["expert", "explored"]


@dataclass(frozen=True, slots=True)
class ScoredTurn:
    """A turn whose value is wanted: the trajectory that holds it, its index there, and the point after it."""

    side: Side
    holder: Stored
    step_index: int
    after: Played
    task_start: Start

    def stream(self, seed: int, scorer: str, sample: int) -> int:
        """The seed of one rollout after this turn."""
        return seed_of(seed, self.holder.id, self.step_index, scorer, sample)


def candidate_steps(demo: Demonstration, runs: dict[int, Stored], limit: int | None) -> list[int]:
    """The steps j (= replayed expert turns) whose explored turn is worth rollouts, earliest first."""
    expert = demo.expert.trajectory.actions
    useful = [
        j
        for j, run in sorted(runs.items())
        if j and not run.record.success and run.trajectory.actions[j].split() != expert[j].split()
    ]
    return useful if limit is None else useful[:limit]


def score(
    world: World,
    policy: Policy,
    records: Sequence[Record],
    config: FactoryConfig,
    progress: Progress | None = None,
) -> list[Record]:
    """Rows of all rollouts and the step rewards over them. `policy` is the scorer: the frozen warm-up policy."""
    return _sample(world, policy, scored_turns(world, records, config), config, progress)


def scored_turns(world: World, records: Sequence[Record], config: FactoryConfig) -> list[ScoredTurn]:
    """All turns whose value is wanted, each with the world's state after it."""
    environment = world.environment()
    wrapping = Wrapping(config.environment, config.policy.prompt)
    runs = explorations(records)
    turns: list[ScoredTurn] = []
    for demo in demonstrations(records):
        explored = runs.get(demo.task.task_id, {})
        steps = candidate_steps(demo, explored, config.rewards.candidates)
        if steps:
            turns += wanted_turns(environment, demo, explored, steps, wrapping)
    return turns


def wanted_turns(
    environment: Environment,
    demo: Demonstration,
    explored: dict[int, Stored],
    steps: Sequence[int],
    wrapping: Wrapping,
) -> list[ScoredTurn]:
    """For a candidate at step j: the explored turn j, the expert's turn j (for D_s) and the expert's turn j - 1 (the
    reference of eq. 5)."""
    starts = prefix_starts(environment, demo, wrapping)
    turns: list[ScoredTurn] = []
    for index in sorted({j - back for j in steps for back in (0, 1)}):
        turns.append(_after(environment, starts[index], "expert", demo.expert, index, wrapping))
    for j in steps:
        turns.append(_after(environment, starts[j], "explored", explored[j], j, wrapping))
    return turns


def _after(
    environment: Environment, start: Start, side: Side, holder: Stored, index: int, wrapping: Wrapping
) -> ScoredTurn:
    step = holder.trajectory.steps[index]
    after = execute(environment, start, [step.text], "policy", wrapping)[0]
    return ScoredTurn(side, holder, index, after, start)


def _sample(
    world: World,
    policy: Policy,
    turns: Sequence[ScoredTurn],
    config: FactoryConfig,
    progress: Progress | None,
) -> list[Record]:
    rewards = config.rewards
    wrapping = Wrapping(config.environment, config.policy.prompt)
    sampling = Sampling(rewards.temperature, rewards.top_p, config.policy.max_turn_tokens)
    open_turns = [turn for turn in turns if turn.after.trajectory.end == "running"]
    starts = [
        turn.after.resume(turn.task_start.task, turn.stream(config.seed, policy.digest, sample))
        for turn in open_turns
        for sample in range(rewards.rollouts)
    ]
    played = play(world, policy, starts, sampling, wrapping, progress)
    records: list[Record] = []
    for number, turn in enumerate(open_turns):
        window = slice(number * rewards.rollouts, (number + 1) * rewards.rollouts)
        records += _evidence(turn, starts[window], played[window], policy.digest, sampling)
    for turn in turns:
        if turn.after.trajectory.end != "running":
            records.append(_reward(turn, policy.digest, [turn.after], seen=[]))
    return records


def _evidence(
    turn: ScoredTurn, starts: Sequence[Start], played: Sequence[Played], scorer: str, sampling: Sampling
) -> list[Record]:
    seen = [_continuation(start, run, sampling) for start, run in zip(starts, played, strict=True)]
    reward = _reward(turn, scorer, played, seen)
    return [reward, *(_rollout(reward, sample, fields) for sample, fields in enumerate(seen))]


def _continuation(start: Start, run: Played, sampling: Sampling) -> dict[str, Any]:
    """How one rollout was drawn, and what came of it: the fields of its row."""
    own = run.trajectory.steps[len(start.steps) :]
    return {
        "seed": start.seed,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "outcome": run.trajectory.outcome,
        "progress": run.progress,
        "n_steps": len(own),
        "tokens": sum(step.tokens for step in own),
        "end_reason": run.trajectory.end,
        "actions": [step.action for step in own],
    }


def _rollout(reward: StepRewardRecord, sample: int, fields: dict[str, Any]) -> RolloutRecord:
    return RolloutRecord(
        rollout_id=content_id("rollout", reward.step_reward_id, sample, fields),
        step_reward_id=reward.step_reward_id,
        sample_index=sample,
        checkpoint=reward.checkpoint,
        **fields,
    )


def _reward(
    turn: ScoredTurn, scorer: str, played: Sequence[Played], seen: Sequence[dict[str, Any]]
) -> StepRewardRecord:
    """The step reward over `played`. Its id addresses all the evidence `seen`; none says that the turn is terminal."""
    value = StepReward(tuple(run.trajectory.outcome for run in played), terminal=not seen)
    progress = sum(run.progress for run in played) / len(played)
    low, high = value.interval
    return StepRewardRecord(
        step_reward_id=content_id(
            "step_reward", turn.holder.id, turn.step_index, turn.side, scorer, seen, value.mean, progress
        ),
        task_id=turn.holder.record.task_id,
        trajectory_id=turn.holder.id,
        step_index=turn.step_index,
        side=turn.side,
        checkpoint=scorer,
        n=value.n,
        successes=value.successes,
        reward=value.mean,
        progress=progress,
        low=low,
        high=high,
        terminal=value.terminal,
    )
