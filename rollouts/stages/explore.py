"""Stage explore: the policy's own turn after every expert prefix, continued greedily (method section 2.2).

A greedy run is a function of its history. Where the policy writes exactly the expert's turn after prefix j, its
run from j is its run from j + 1, so only runs whose first turn differs are played, beside the run from scratch.
"""

from __future__ import annotations

from collections.abc import Sequence

from configs.schema import FactoryConfig
from environments.base import Environment, World
from models.policy import Policy, Sampling
from rollouts.play import Played, Start, Wrapping, beginning, execute, play, sampling_of
from rollouts.rows import Demonstration, demonstrations, trajectory_records
from steca.vocabulary import Progress
from storage.records import Record


def prefix_starts(environment: Environment, demonstration: Demonstration, wrapping: Wrapping) -> list[Start]:
    """The starts after 0..T-1 expert turns (T = the expert's length)."""
    start = beginning(environment, demonstration.task)
    texts = [step.text for step in demonstration.expert.trajectory.steps]
    played = execute(environment, start, texts, "expert", wrapping)
    return [start, *(after.resume(demonstration.task) for after in played[:-1])]


def explore(
    world: World,
    policy: Policy,
    records: Sequence[Record],
    config: FactoryConfig,
    progress: Progress | None = None,
) -> list[Record]:
    """Rows of the run from scratch of every demonstrated task, and of each run from prefix j >= 1 whose first turn
    differs from the expert's. `prefix_steps` of a run is its j."""
    demos = demonstrations(records)
    wrapping = Wrapping.of(config)
    environment = world.environment()
    starts = [start for demo in demos for start in prefix_starts(environment, demo, wrapping)]
    expert_text = {
        (demo.task.task_id, j): step.text
        for demo in demos
        for j, step in enumerate(demo.expert.trajectory.steps)
    }
    greedy = sampling_of(config)
    probes = play(world, policy, starts, greedy, Wrapping.of(config, turns=1))
    wanted = [
        (start, probe)
        for start, probe in zip(starts, probes, strict=True)
        if not start.steps
        or probe.trajectory.steps[-1].text != expert_text[start.task.task_id, len(start.steps)]
    ]
    return _finish(world, policy, wanted, greedy, wrapping, progress)


def _finish(
    world: World,
    policy: Policy,
    wanted: Sequence[tuple[Start, Played]],
    sampling: Sampling,
    wrapping: Wrapping,
    progress: Progress | None,
) -> list[Record]:
    """Play the probed runs to their ends; the run's prefix stays what the expert had played."""
    running = [probe.resume(start.task) for start, probe in wanted if probe.trajectory.end == "running"]
    rest = iter(play(world, policy, running, sampling, wrapping, progress))
    records: list[Record] = []
    for start, probe in wanted:
        run = next(rest) if probe.trajectory.end == "running" else probe
        records += trajectory_records(run.with_prefix(len(start.steps)), "explored", policy.digest)[1]
    return records
